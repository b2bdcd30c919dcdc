"""Printing for command lines: a closed stdout or stderr never ends a run."""

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# Output lost to these is an error; to a closed pipe or terminal it is not.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Where JAX looks for its devices: an error from there is no mistake in a program.
_BACKENDS = "xla_bridge.py"


class Stop(Exception):
    """An error that is shown as one line, with the exit status.

    A status above 128 is that of a program which a signal ended, and no error.
    """

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


class Stream:
    """`sys.stdout` or `sys.stderr`; silent once its reader has gone, or without one.

    Args:
      name: "stdout" or "stderr", looked up at each write; "__stdout__" or "__stderr__"
        for what they were when Python began.

    Attributes:
      full: the error, once something could not be written for want of room.
    """

    def __init__(self, name: str):
        self._name = name
        self.full: OSError | None = None

    def write(self, text: str) -> None:
        """Writes if that is possible; what the encoding lacks is escaped."""
        try:
            self._attempt("write", text)
        except UnicodeEncodeError as error:
            known = text.encode(error.encoding, "backslashreplace")
            self._attempt("write", known.decode(error.encoding))

    def flush(self) -> None:
        """Flushes if that is possible."""
        self._attempt("flush")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        stream = getattr(sys, self._name)
        return stream is not None and stream.isatty()

    def __getattr__(self, name):
        """Whatever else a progress bar asks of a stream, such as its terminal."""
        return getattr(getattr(sys, self._name), name)

    def _attempt(self, what, *arguments):
        stream = getattr(sys, self._name)
        if stream is None:  # Closed before Python began.
            return
        try:
            getattr(stream, what)(*arguments)
        except OSError as error:
            if error.errno in _FULL:
                self.full = error
            _mute(stream)


OUT, ERR = Stream("stdout"), Stream("stderr")


def first_line(error: Exception) -> str:
    """What an error says, which may be pages: at most 500 characters, no full stop."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return lines[0][:500].rstrip(".")


def tell(error: Exception) -> int:
    """Prints what ended a program, in one line; returns its status: 2, or a Stop's."""
    status = error.status if isinstance(error, Stop) else 2
    print(error if status > 128 else f"error: {error}", file=ERR, flush=True)
    return status


def tell_of_device(error: RuntimeError | AssertionError) -> int:
    """The same of a device that JAX cannot use, or whose memory is full.

    Raises:
      RuntimeError, AssertionError: the error, if it is another: a mistake in a program
        wants its trace.
    """
    reason = first_line(error) if str(error).strip() else "JAX finds no such device"
    if "RESOURCE_EXHAUSTED" in reason:
        advice = "see who else uses that memory, or ask for a smaller batch"
    elif _BACKENDS in {
        Path(frame.f_code.co_filename).name
        for frame, _ in traceback.walk_tb(error.__traceback__)
    }:
        advice = "see to it, or name another by JAX_PLATFORMS, such as cpu"
    else:
        raise error
    return tell(Stop(f"{reason}; {advice}."))


def hold_streams() -> None:
    """Opens standard streams that are closed, to nowhere.

    The next file that a program opens, its log, say, would get a closed one's number,
    and everything that is printed would land in it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def run(main: Callable[[], int]) -> NoReturn:
    """Ends the process with the status that `main()` returns.

    Ctrl-C is one line, and so is a device that JAX cannot use, or whose memory is full.
    Whatever is printed need not be heard; but where it goes to a full disk, the process
    says so at its end, and has status 1.
    """
    hold_streams()
    output, sys.stderr = Stream("__stdout__"), Stream("__stderr__")
    sys.stdout = output
    sys.unraisablehook = _but_interrupts(sys.unraisablehook)
    try:
        try:
            status = main()
        except SystemExit as end:  # As of --help.
            status = end.code
        except (RuntimeError, AssertionError) as error:
            status = tell_of_device(error)
        output.flush()
        if output.full and not status:
            reason = f"standard output could not be written: {output.full.strerror}."
            status = tell(Stop(reason, status=1))
        sys.exit(status)
    except KeyboardInterrupt:
        _end_by_interrupt()
        raise


def _end_by_interrupt():
    print("interrupted.", file=sys.stderr)
    sys.stdout.flush()
    # By the signal itself, as shells expect, and at once: on Python's own way out JAX
    # crashes while the device still computes.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)


def _but_interrupts(report):
    """An `unraisablehook` for which Ctrl-C in a destructor or a callback counts too.

    JAX has one that the garbage collector calls; Python drops what is raised there.
    What `signals.Interrupts` raises instead is dropped too, but it keeps the number.
    """

    def report_others(seen):
        if issubclass(seen.exc_type, KeyboardInterrupt):
            _end_by_interrupt()
        report(seen)

    return report_others


def _mute(stream):
    """Drops what is written from here on, by Python's last flush too."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

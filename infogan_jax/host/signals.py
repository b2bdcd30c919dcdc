"""SIGINT and SIGTERM: what they do while a run trains, and elsewhere."""

import contextlib
import os
import signal
from collections.abc import Iterator

_WAITING = b"""
stopping once what is under way is done and saved; a second signal kills at once
"""


class Interrupted(BaseException):
    """A signal came while there was nothing to save."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = number


class Interrupts:
    """Handles the first SIGINT or SIGTERM; the second one kills, as by default.

    Also one that was ignored before, as SIGINT is in what a script leaves running.
    Inside `deferred()` it is only noted in `signal`, and whoever sent it told that it
    waits; elsewhere it raises `Interrupted`.
    """

    def __enter__(self) -> "Interrupts":
        """Itself."""
        self.signal, self._is_deferred, self._old = 0, False, {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        """Puts the former handlers back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """As long as it lasts, a signal waits in `signal`."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _note(self, number, frame):
        self.signal = number
        for each in self._old:
            signal.signal(each, signal.SIG_DFL)
        if not self._is_deferred:
            raise Interrupted(number)
        # By no stream: one that is just writing a line cannot be entered twice.
        with contextlib.suppress(OSError):
            os.write(2, _WAITING)

"""Orbax tells an error several times over; here all but the exception is silenced."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator

# An item for each who wants silence just now: threads may append and pop at once.
_silences: list[None] = []


@contextlib.contextmanager
def of_orbax() -> Iterator[None]:
    """Within it, what Orbax raises is not told by its logs as well.

    It treats all arrays at once in an event loop. The first error closes that and is
    raised; it is logged several times too, with traces, and every other array reports
    an unraisable error of its own, or a task's that nobody asked for, whenever it is
    done: for these the silence stays.
    """
    if not getattr(sys.unraisablehook, "is_ours", False):
        sys.unraisablehook = _but_orbax(sys.unraisablehook)
    _silences.append(None)
    for name, keep in _FILTERS.items():
        logging.getLogger(name).addFilter(keep)
    try:
        yield
    finally:
        _silences.pop()
        for name, keep in _FILTERS.items() if not _silences else ():
            logging.getLogger(name).removeFilter(keep)


def of_threads() -> None:
    """Once a save has failed: the threads that took part log it whenever they end."""
    logging.getLogger("absl").addFilter(_is_of_no_thread)


def _but_orbax(report):
    """An `unraisablehook` that leaves the rest to `report`."""

    def report_others(seen):
        # Orbax's come from a callback, for which no object stands; others' do.
        is_closed = not seen.object and "Event loop is closed" in str(seen.exc_value)
        if not is_closed and not _in_orbax(seen.exc_traceback):
            report(seen)

    report_others.is_ours = True
    return report_others


def _in_orbax(trace):
    frames = traceback.walk_tb(trace)
    return any("orbax" in frame.f_code.co_filename for frame, _ in frames)


def _is_other(record):
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


def _is_of_no_thread(record):
    return _is_other(record) or "_SignalingThread" not in str(record.msg)


def _is_other_task(record):
    return not (record.exc_info and _in_orbax(record.exc_info[2]))


_FILTERS = {"absl": _is_other, "asyncio": _is_other_task}  # By the logger's name.

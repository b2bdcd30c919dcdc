"""SIGINT and SIGTERM: what they do while a run trains, and elsewhere."""

import contextlib
import signal
from collections.abc import Iterator


class Interrupted(BaseException):
    """A signal came while there was nothing to save."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = number


class Interrupts:
    """What the first SIGINT or SIGTERM does; the second one kills, as by default.

    In its `patience` it is a wish, elsewhere it raises `Interrupted`.
    """

    def __enter__(self) -> "Interrupts":
        """Itself."""
        self.signal, self._is_patient, self._old = 0, False, {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        """Puts the former handlers back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """As long as it lasts, a signal waits in `signal`."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    def _note(self, number, frame):
        self.signal = number
        for each in self._old:
            signal.signal(each, signal.SIG_DFL)
        if not self._is_patient:
            raise Interrupted(number)

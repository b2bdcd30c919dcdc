"""How far a run is: a bar on a terminal, a line now and then in a log."""

import time

import tqdm

from infogan_jax.host import console

_SECONDS = 60.0  # between lines, where there is nothing else to tell


class Progress:
    """Tells of updates on standard error; use it in a `with`.

    Args:
      total: updates in all.
      first: those done before.
      name: of what is trained, where there are several.
    """

    def __init__(self, total: int, first: int = 0, name: str = ""):
        self._total, self._done, self._name = total, first, name
        self._told, self._told_at = first, time.monotonic()
        self._bar = None
        if console.ERR.isatty():
            self._bar = tqdm.tqdm(
                total=total,
                initial=first,
                desc=name or None,
                unit="update",
                mininterval=1.0,
                file=console.ERR,
                dynamic_ncols=True,
            )

    def __enter__(self) -> "Progress":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int) -> None:
        """`n` more updates are done."""
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._told_at >= _SECONDS:
            self._tell("")

    def note(self, text: str) -> None:
        """Tells what is known after these updates."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            self._tell(text)

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(line, file=console.ERR)
        else:
            print(line, file=console.ERR, flush=True)

    def _tell(self, text):
        now = time.monotonic()
        rate = (self._done - self._told) / max(now - self._told_at, 1e-6)
        self._told, self._told_at = self._done, now
        parts = [self._name, f"update {self._done} of {self._total}"]
        parts += [f"{rate:.3g} a second", text]
        print(", ".join(filter(None, parts)), file=console.ERR, flush=True)

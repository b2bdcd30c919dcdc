"""A file that one process at a time holds; the system lets go of it when that ends."""

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def hold(file: TextIO, wait: bool = False) -> Iterator[str]:
    """Locks a file that was opened by "a+", and signs it.

    Args:
      file: of any content, which a signature replaces.
      wait: for another who holds it.

    Yields:
      "", or why the file system has no lock. On Windows nobody is kept out: processes
      there have to keep out of each other's way.

    Raises:
      BlockingIOError: another holds it; "process N" is its `strerror`.
      OSError: it cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield ""
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = f"process {file.read() or 'unknown'}"
        raise BlockingIOError(error.errno, holder) from None
    except OSError as error:
        yield error.strerror or str(error)
        return
    try:
        file.truncate(0)
        # Unbuffered: what a full disk refuses would be written again on closing.
        os.write(file.fileno(), str(os.getpid()).encode())
        yield ""
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # Of a child too, which would keep it.

"""Files and directories, checked where users name them; files written whole."""

import contextlib
import os
import re
from pathlib import Path


def check_new(*files: str | os.PathLike[str]) -> None:
    """Raises an OSError unless these can be written, and hold nothing yet.

    For what a long work measures: before it, not after it.
    """
    for path in map(Path, files):
        is_new = not path.exists()
        if not (is_new or path.is_file()):  # A device would become one.
            raise OSError(f"{path} is no file; name another.")
        try:
            with path.open("a") as file:
                size = file.tell()
        except OSError as error:
            raise OSError(f"cannot write {path}: {error.strerror}.") from error
        if size:
            raise FileExistsError(f"{path} exists, and is kept; name another.")
        if is_new:
            path.unlink()


def expand(text: str | os.PathLike[str]) -> Path:
    """A path as people write it, ~ expanded.

    Raises:
      ValueError: ~NAME, where nobody of this name has a home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text}: {error} Write the whole path.") from error


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """All or nothing: a kill or a full disk leaves the file that was there.

    A kill half-way leaves a NAME.new besides. What is no file, such as /dev/stdout, is
    written to as it stands.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))  # A link stays one.
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def to_path(directory: str | os.PathLike[str]) -> Path:
    """The whole path of a directory, ~ expanded; raises for an address such as gs://."""
    if re.match("[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(directory)):
        raise ValueError(
            f"{os.fspath(directory)} is an address, and checkpoints are kept in a file "
            "system; mount it, or name a directory."
        )
    return Path(os.path.realpath(expand(directory)))  # A loop of links is no error yet.


def check_path(directory: str | os.PathLike[str]) -> None:
    """Raises unless Orbax can restore what it saves in this directory.

    It looks for its files by a pattern, in which some characters of the path would
    count as part of the pattern.
    """
    path = to_path(directory)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"checkpoints cannot be kept in {str(path)!r}: its path must be UTF-8; "
            "name another directory."
        ) from None
    if found := sorted(set(str(path)) & (set("[]\\") - {os.sep})):
        raise ValueError(
            f"checkpoints cannot be kept in {path}: its path must be without "
            f"{' '.join(found)}; name another directory."
        )

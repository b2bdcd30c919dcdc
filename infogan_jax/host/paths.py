"""Files and directories, checked where users name them; files written whole."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from pathlib import Path

# Of a folder without the right to write, and of a file that is mounted by itself.
_NOT_REPLACED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)


def check_new(*files: str | os.PathLike[str]) -> None:
    """Raises an OSError unless these can be written, and hold nothing yet.

    For what a long work measures: before it, not after it.
    """
    for path in map(Path, files):
        is_new = not path.exists()
        if not (is_new or path.is_file()):
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

    A kill half-way leaves a file besides for which `is_unfinished` holds. What is no
    file of its own, such as /dev/stdout, is written to as it stands; so is a file that
    cannot be replaced, as in a folder without the right to write.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(path)
    is_file = path.is_file() or not path.exists()
    if not is_file or _is_a_device(path.absolute()):
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # A link stays one.
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    try:
        _replace(path, content)
    except OSError as error:
        if error.errno not in _NOT_REPLACED or not path.exists():
            raise
        path.write_bytes(content)


def _is_a_device(path):
    """Whether it leads to one, such as the file that is the standard output."""
    return path.parts[1] in ("dev", "proc") and path.parts[2:3] != ("shm",)


def is_unfinished(name: str) -> bool:
    """Whether a file is what a kill leaves of `write`, by its name."""
    return re.fullmatch(r"\.[0-9a-f]{8}\.new", name) is not None


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


def _replace(path, content):
    """Puts a file with the content in a path's place, of the mode of what was there."""
    new = path.with_name(f".{secrets.token_hex(4)}.new")
    try:
        with new.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, new)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise

"""JSON files, one object or one a line: read in words, written whole or not at all."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from infogan_jax.host import paths


def read(path: Path) -> dict:
    """The object in a file.

    Raises:
      ValueError: it is missing or damaged. What is returned raises one, too, that names
        the file, where a field is read that it lacks.
    """

    def one(text, kind):
        found = json.loads(text, object_hook=kind)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found

    return _parsed(path, one)


def read_lines(path: Path, hint: str = "") -> list[dict]:
    """The objects in a file of one a line, at least one.

    Raises:
      ValueError: it is missing, damaged or empty, for which `hint` may be why. As with
        `read`, so does a field that a line lacks.
    """

    def each(text, kind):
        found = [json.loads(line, object_hook=kind) for line in text.splitlines()]
        if not found:
            raise ValueError("it has no lines" + (f", {hint}" if hint else ""))
        if not all(isinstance(line, dict) for line in found):
            raise ValueError("a line is no object")
        return found

    return _parsed(path, each)


def rows(path: Path) -> list[dict]:
    """The lines of a log up to the first that is not whole; none of a missing one.

    Each is an object of numbers, of which one is its "step".
    """
    found = []
    damage = ValueError, KeyError, TypeError, AttributeError, RecursionError
    with contextlib.suppress(*damage, FileNotFoundError):
        for line in path.read_bytes().split(b"\n"):
            row = json.loads(line)
            row["step"] + sum(row.values())  # raises for what is no line of ours
            found.append(row)
    return found


def cut(path: Path, keep: Callable[[dict], bool]) -> list[dict]:
    """Drops the rows that `keep` refuses, and what is damaged; returns those kept."""
    kept = [row for row in rows(path) if keep(row)]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    if path.exists() and path.read_bytes() != text.encode():
        write_text(path, text)
    return kept


def write(path: Path, value: Any) -> None:
    """Writes a value; arrays become lists."""
    write_text(path, json.dumps(value, indent=2, default=np.ndarray.tolist) + "\n")


def write_text(path: Path, text: str) -> None:
    """All or nothing, as `paths.write`.

    Raises:
      OSError: it cannot be written.
    """
    paths.write(path, text.encode())


def _parsed(path, parse):
    class Fields(dict):
        def __missing__(self, key):
            raise ValueError(f"{path} is damaged: it has no {key!r}.")

    try:
        return parse(path.read_text(), Fields)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error

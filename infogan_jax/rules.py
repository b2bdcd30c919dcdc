"""Checks of single numbers that the Python API is given, each with its message."""

import contextlib
import math
import operator
from numbers import Integral, Real
from typing import Any

MOST = 2**31 - 1  # Steps are counted in int32.


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether it is a whole number from `least` on."""
    return isinstance(value, Integral) and int(value) >= least


def is_finite(value: Any) -> bool:
    """Whether it is a number, neither infinite nor NaN."""
    return isinstance(value, Real) and math.isfinite(value)


def check_whole(name: str, value: Any, least: int = 1, or_else: str = "") -> None:
    """Raises a ValueError unless `is_whole`, and in an int32, as of steps.

    `or_else` is what it may be besides.
    """
    if not is_whole(value, least):
        raise ValueError(
            f"{name} must be whole, at least {least}{or_else}, not {value!r}."
        )
    if value > MOST:
        raise ValueError(f"{name} must be at most 2**31 - 1, not {value!r}.")


def check_finite(name: str, value: Any, or_else: str = "") -> None:
    """Raises a ValueError unless `is_finite`; `or_else` is what it may be besides."""
    if not is_finite(value):
        raise ValueError(f"{name} must be a finite number{or_else}, not {value!r}.")


def check_positive(name: str, value: Any, or_else: str = "") -> None:
    """Raises a ValueError unless it is finite and above 0."""
    if not (is_finite(value) and value > 0):
        raise ValueError(f"{name} must be finite, above 0{or_else}, not {value!r}.")


def check_share(name: str, value: Any) -> None:
    """Raises a ValueError unless it is a number in [0, 1)."""
    if not (is_finite(value) and 0 <= value < 1):
        raise ValueError(f"{name} must lie in [0, 1), not {value!r}.")


def as_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number from `least` on, or an array of a single one, as an int.

    Raises:
      ValueError: it is none.
    """
    with contextlib.suppress(TypeError):  # If not, `check_whole` raises.
        value = operator.index(value)
    check_whole(name, value, least)
    return value

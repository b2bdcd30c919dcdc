"""Numbers that change during training: a float, or a registered function of the step.

Wherever a rate or a weight is asked for, a frozen dataclass with `__call__(step)` may
stand instead of the float.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp

from infogan_jax import registry


@registry.register
@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `start` at step 0 to `end` at `steps`, then constant.

    Source: Loshchilov and Hutter 2017 (arXiv:1608.03983), without restarts.
    """

    start: float
    steps: int
    end: float = 0.0

    def __post_init__(self):
        _check_finite(self, "start", "steps", "end")
        if self.steps < 1:
            raise ValueError(f"Cosine steps must be at least 1, not {self.steps!r}.")

    def __call__(self, step: jax.Array) -> jax.Array:
        """The value at `step`."""
        done = jnp.clip(step / self.steps, 0.0, 1.0)
        return self.end + (self.start - self.end) * (1 + jnp.cos(jnp.pi * done)) / 2


@registry.register
@dataclass(frozen=True)
class Linear:
    """`start` until step `begin`, straight to `end` at step `finish`, then constant."""

    start: float
    end: float
    begin: int
    finish: int

    def __post_init__(self):
        _check_finite(self, "start", "end", "begin", "finish")
        if not 0 <= self.begin < self.finish:
            raise ValueError(
                f"Linear needs 0 <= begin < finish, not {self.begin}, {self.finish}."
            )

    def __call__(self, step: jax.Array) -> jax.Array:
        """The value at `step`."""
        done = (step - self.begin) / (self.finish - self.begin)
        return self.start + (self.end - self.start) * jnp.clip(done, 0.0, 1.0)


@registry.register
@dataclass(frozen=True)
class Exponential:
    """`start` until step `begin`, by equal factors to `end` at `finish`, then constant.

    Both must be above 0.
    """

    start: float
    end: float
    begin: int
    finish: int

    def __post_init__(self):
        _check_finite(self, "start", "end", "begin", "finish")
        if not 0 <= self.begin < self.finish or not min(self.start, self.end) > 0:
            raise ValueError(
                "Exponential needs start and end above 0 and 0 <= begin < finish, not "
                f"{self.start}, {self.end}, {self.begin}, {self.finish}."
            )

    def __call__(self, step: jax.Array) -> jax.Array:
        """The value at `step`."""
        done = (step - self.begin) / (self.finish - self.begin)
        return self.start * (self.end / self.start) ** jnp.clip(done, 0.0, 1.0)


@registry.register
@dataclass(frozen=True)
class Switch:
    """`before` until step `at`, `after` from that step on: numbers or schedules."""

    before: Any
    after: Any
    at: int

    def __post_init__(self):
        for name in ("before", "after"):
            if not _is_schedule(getattr(self, name)):
                _check_finite(self, name, or_else=" or a schedule")
        _check_finite(self, "at")
        if self.at < 0:
            raise ValueError(f"Switch needs a step of at least 0, not {self.at}.")

    def __call__(self, step: jax.Array) -> jax.Array:
        """The value at `step`."""
        before, after = at(self.before, step), at(self.after, step)
        return jnp.where(step < self.at, before, after)


def _check_finite(schedule, *names, or_else=""):
    for name in names:
        value = getattr(schedule, name)
        if not (isinstance(value, Real) and math.isfinite(value)):
            raise ValueError(
                f"{type(schedule).__name__} {name} must be a finite number{or_else}, "
                f"not {value!r}."
            )


def check(name: str, value, hint: str = "") -> None:
    """Raises a ValueError unless it is a finite number of at least 0, or a schedule.

    Those of this module may not fall below 0 either; others cannot be asked.
    """
    is_number = isinstance(value, Real) and value < math.inf
    if not (is_number or _is_schedule(value)) or min(_ends(value), default=0) < 0:
        raise ValueError(
            f"{name} must be a finite number of at least 0, or a schedule, such as "
            f"Linear(0.0, 1.0, begin=0, finish=1000), that stays so, not {value!r}"
            f"{hint}."
        )


def _is_schedule(value):
    return callable(value) and not isinstance(value, type)


def _ends(value):
    """The numbers between which a value lies, if it is known."""
    if isinstance(value, Switch):
        return [*_ends(value.before), *_ends(value.after)]
    if isinstance(value, Cosine | Linear | Exponential):
        return [value.start, value.end]
    return [] if callable(value) else [value]


def at(value, step: jax.Array):
    """`value` at `step`: itself where it is a number."""
    return value(step) if callable(value) else value

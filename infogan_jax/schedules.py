"""Numbers that change during training: a float, or a registered function of the step.

Wherever a rate or a weight is asked for, a frozen dataclass with `__call__(step)` may
stand instead of the float.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from infogan_jax import registry, rules

Value = float | Callable[[jax.Array], Any]  # A number, or one for each step.


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
        _check_finite(self, "start", "end")
        rules.check_whole("Cosine steps", self.steps)

    def __call__(self, step: jax.Array | int) -> jax.Array:
        """The value at `step`."""
        done = jnp.clip(step / self.steps, 0.0, 1.0)
        return self.end + (self.start - self.end) * (1 + jnp.cos(jnp.pi * done)) / 2


@dataclass(frozen=True)
class _Ramp:
    """Of the value `start` until step `begin`, of `end` from step `finish` on."""

    start: float
    end: float
    begin: int
    finish: int

    def __post_init__(self):
        _check_finite(self, "start", "end")
        kind = type(self).__name__
        rules.check_whole(f"{kind} begin", self.begin, 0)
        rules.check_whole(f"{kind} finish", self.finish)
        if self.begin >= self.finish:
            raise ValueError(
                f"{kind} needs begin < finish, not {self.begin}, {self.finish}."
            )

    def _done(self, step):
        """The share of the way, in [0, 1]."""
        return jnp.clip((step - self.begin) / (self.finish - self.begin), 0.0, 1.0)


@registry.register
@dataclass(frozen=True)
class Linear(_Ramp):
    """`start` until step `begin`, straight to `end` at step `finish`, then constant."""

    def __call__(self, step: jax.Array | int) -> jax.Array:
        """The value at `step`."""
        done = self._done(step)
        on_the_way = self.start + (self.end - self.start) * done
        return jnp.where(done < 1, on_the_way, self.end)  # Which is not rounded.


@registry.register
@dataclass(frozen=True)
class Exponential(_Ramp):
    """`start` until step `begin`, by equal factors to `end` at `finish`, then constant.

    Both must be above 0.
    """

    def __post_init__(self):
        super().__post_init__()
        for name in ("start", "end"):
            rules.check_positive(f"Exponential {name}", getattr(self, name))

    def __call__(self, step: jax.Array | int) -> jax.Array:
        """The value at `step`."""
        return self.start * (self.end / self.start) ** self._done(step)


@registry.register
@dataclass(frozen=True)
class Switch:
    """`before` until step `at`, `after` from that step on: numbers or schedules."""

    before: Value
    after: Value
    at: int

    def __post_init__(self):
        for name in ("before", "after"):
            if not _is_schedule(getattr(self, name)):
                _check_finite(self, name, or_else=" or a schedule")
        rules.check_whole("Switch at", self.at, 0)

    def __call__(self, step: jax.Array | int) -> jax.Array:
        """The value at `step`."""
        before, after = at(self.before, step), at(self.after, step)
        return jnp.where(step < self.at, before, after)


def check(name: str, value: Any, hint: str = "") -> None:
    """Raises a ValueError unless it is a finite number of at least 0, or a schedule.

    Those of this module may not fall below 0 either; others cannot be asked.
    """
    fits = rules.is_finite(value) or _is_schedule(value)
    if not fits or min(_ends(value), default=0) < 0:
        raise ValueError(
            f"{name} must be a finite number of at least 0, or a schedule, such as "
            f"Linear(0.0, 1.0, begin=0, finish=1000), that stays so, not {value!r}"
            f"{hint}."
        )


def at(value: Value, step: Any) -> jax.Array | float:
    """`value` at `step`: itself where it is a number."""
    return value(step) if callable(value) else value


def _check_finite(schedule, *names, or_else=""):
    for name in names:
        label = f"{type(schedule).__name__} {name}"
        rules.check_finite(label, getattr(schedule, name), or_else)


def _is_schedule(value):
    return callable(value) and not isinstance(value, type)


def _ends(value):
    """The numbers between which a value lies, if it is known."""
    if isinstance(value, Switch):
        return [*_ends(value.before), *_ends(value.after)]
    if isinstance(value, Cosine | _Ramp):
        return [value.start, value.end]
    return [] if callable(value) else [value]

"""`Pass`, what a term reads, and `Term`, what it has to offer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp

from infogan_jax import latents, schedules, types

if TYPE_CHECKING:
    from infogan_jax.config import Config


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass over all networks: everything that a term may read.

    What no term reads is never computed: XLA removes it.

    Attributes:
      codes: the prior of the codes.
      step: updates done so far, int32.
      keys: [B] one key per example, for the noise of terms. Every term gets the same
        ones: a term whose draws are to be independent of the others' folds a number of
        its own into them first.
      real, fake: images [B, H, W, C] in [0, 1].
      label: int32 [B], -1 where unknown; None if the batch brought none.
      z, c: noise [B, noise.dim] and codes [B, codes.dim] of the fakes.
      d_real, d_fake: D's logits [B]. D learns through them.
      d_fooled: d_fake again, through a D that does not learn: what a generator that
        wants to fool D must use, or D learns to be fooled wherever it is listed too.
      q_real, q_fake: Q's parameters [B, codes.n_params].
      generate: (z, c) -> images; with train=False by G's running statistics.
      score: images -> logits [B].
      recognise: images -> Q's parameters.
      apply: (name, *inputs) -> output of a network that a term brought.
      mean: [B, ...] -> the mean over the examples of all devices, for what is not
        itself a mean of examples' losses.
    """

    codes: latents.Product
    step: jax.Array
    keys: jax.Array
    real: jax.Array
    fake: jax.Array
    label: jax.Array | None
    z: jax.Array
    c: jax.Array
    d_real: jax.Array
    d_fake: jax.Array
    d_fooled: jax.Array
    q_real: jax.Array
    q_fake: jax.Array
    generate: Callable[..., jax.Array]
    score: Callable[[jax.Array], jax.Array]
    recognise: Callable[[jax.Array], jax.Array]
    apply: Callable[..., jax.Array]
    mean: Callable[[jax.Array], jax.Array]


class Term(Protocol):
    """A term of the objective; `infogan_jax.objectives` has what is optional."""

    def __call__(self, p: Pass, /) -> Mapping[str, jax.Array]:
        """A scalar loss for each update by its name; one that is missing is 0."""


# A term's optional members are read here, and nowhere else.


def name_of(term: Term) -> str:
    """A term's name in the metrics: its own, or its class's."""
    return getattr(term, "name", None) or type(term).__name__


def check(term: Term, config: "Config") -> None:
    """Calls the term's own `check`, if it has one: a ValueError if it cannot work."""
    if own := getattr(term, "check", None):
        own(config)


def networks_of(
    term: Term, config: "Config", axis_name: types.Axis = None
) -> dict[str, Any]:
    """The modules that a term brings, by name."""
    own = getattr(term, "networks", None)
    return own(config, axis_name) if own else {}


def input_shapes_of(term: Term, config: "Config") -> dict[str, tuple]:
    """The shapes of their inputs, without the batch."""
    own = getattr(term, "input_shapes", None)
    return own(config) if own else {}


def teaches_q_in(term: Term, updates: set[str]) -> bool:
    """Whether Q may learn from it in one of these updates, by what the term says."""
    taught = getattr(term, "updates", getattr(term, "update", None))
    if taught is None:  # It does not say.
        taught = updates
    names = {taught} if isinstance(taught, str) else set(taught)
    return getattr(term, "teaches_q", True) and not names.isdisjoint(updates)


def now(p: Pass, *values: schedules.Value) -> list[jax.Array]:
    """Each of the values, numbers or schedules, at the step of the pass."""
    return [jnp.asarray(schedules.at(value, p.step), p.real.dtype) for value in values]


def check_updates(term: Any, config: "Config") -> None:
    """Raises a ValueError unless `term.updates` names updates that there are."""
    known = {update.name for update in config.updates}
    if not isinstance(term.updates, tuple) or not term.updates:
        raise ValueError(
            f"{type(term).__name__} updates must be a tuple of one or more, such as "
            f"('g',), not {term.updates!r}."
        )
    if not set(term.updates) <= known:
        raise ValueError(
            f"{type(term).__name__} is told to teach {term.updates}, but the updates "
            f"are {sorted(known)}."
        )

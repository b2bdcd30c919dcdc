"""L_I(G, Q), the lower bound of the mutual information of codes and images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from infogan_jax import latents, registry, schedules, types
from infogan_jax.objectives import terms

if TYPE_CHECKING:
    from infogan_jax.config import Config

Weights = schedules.Value | tuple[schedules.Value, ...] | None  # One for each code.


@registry.register
@dataclass(frozen=True)
class MutualInformation:
    """-weight * L_I(G, Q): what makes a GAN an InfoGAN.

    Attributes:
      weight: the paper's lambda, at least 0; a number or schedule, or a tuple with one
        for each code. None is 1, but 0.1 for a continuous code whose sigma is learned:
        at sigma 0.1 its gradient is a hundred times that of the released code's sigma
        of 1, and it would take over what a category should carry.
      updates: the updates that minimise it. Which networks then learn from it is for
        the nets of those updates to say: "g" alone is the paper's eq. 6; the released
        code adds it to "d" too, whose update there holds Q's head.
      name: in the metrics, if not the class's; of two in one objective one needs it.

    Source: Chen et al. 2016 (arXiv:1606.03657), eq. 5 and 6.
    """

    weight: Weights = None
    updates: tuple[str, ...] = ("g",)
    name: str | None = None

    def check(self, config: "Config") -> None:
        """Raises unless all codes have a weight, all updates exist, and Q learns."""
        _check_weight(self.weight, config.codes)
        terms.check_updates(self, config)
        if not _is_q_taught(config):
            raise ValueError(
                "MutualInformation needs a Q that learns, but no term teaches an "
                f"update that lists 'q': {[(u.name, u.nets) for u in config.updates]}; "
                "list 'q' in one of its updates."
            )

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """The same loss for every update in `updates`."""
        information = p.codes.information(p.q_fake, p.c)
        return dict.fromkeys(self.updates, -_weighted(self.weight, information, p))


@registry.register
@dataclass(frozen=True)
class Recognition:
    """-weight * L_I as a lesson for Q alone: G does not learn from it.

    Beside an adversarial term it gives the paper's control (Fig. 1): a plain GAN whose
    codes are read by a Q on the side, on D's features, without touching them.

    Attributes:
      weight: as in MutualInformation.
      update: the update that trains Q.
    """

    weight: Weights = None
    update: str = "g"

    def check(self, config: "Config") -> None:
        """Raises unless there is a weight for every code and Q is all that learns."""
        _check_weight(self.weight, config.codes)
        for update in config.updates:
            if update.name == self.update and "trunk" in update.nets:
                raise ValueError(
                    f"Recognition in update {self.update!r} would teach the trunk too; "
                    "put Q into an update without it."
                )
        if not any(u.name == self.update and "q" in u.nets for u in config.updates):
            raise ValueError(
                f"Recognition teaches Q in update {self.update!r}, but no update of "
                "that name lists 'q'."
            )

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """The loss of `update`."""
        q = p.recognise(jax.lax.stop_gradient(p.fake))
        information = p.codes.information(q, p.c)
        return {self.update: -_weighted(self.weight, information, p)}


def weight_of_each(
    weight: Weights, codes: latents.Product
) -> tuple[schedules.Value, ...]:
    """A weight for each code, a number or schedule, of what MutualInformation takes."""
    if weight is None:
        learned = [getattr(part, "sigma", 1.0) is None for part in codes.parts]
        return tuple(0.1 if is_learned else 1.0 for is_learned in learned)
    return weight if isinstance(weight, tuple) else (weight,) * len(codes.parts)


def _weighted(weight, information, p):
    return jnp.stack(terms.now(p, *weight_of_each(weight, p.codes))) @ information


def _check_weight(weight, codes):
    weights = weight_of_each(weight, codes)
    if len(weights) != len(codes.parts):
        raise ValueError(
            f"{len(weights)} weights for {len(codes.parts)} codes; give one number, or "
            "one for each code."
        )
    for weight in weights:
        schedules.check("weight", weight, "; give a tuple for one weight for each code")


def _is_q_taught(config):
    """Whether an update that lists Q has a term that teaches it, as far as they say."""
    with_q = {update.name for update in config.updates if "q" in update.nets}
    return any(terms.teaches_q_in(term, with_q) for term in config.objective)

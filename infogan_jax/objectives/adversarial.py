"""The game of G and D."""

from dataclasses import dataclass
from typing import ClassVar

import chex
import jax

from infogan_jax import registry, types
from infogan_jax.objectives import terms


@registry.register
@dataclass(frozen=True)
class NonSaturating:
    """The usual GAN game: D maximises V, G maximises E log D(G(z, c)).

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 3.
    """

    teaches_q: ClassVar[bool] = False

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """Losses of "d" and "g"."""
        return {"d": _discriminator_loss(p), "g": jax.nn.softplus(-p.d_fooled).mean()}


@registry.register
@dataclass(frozen=True)
class Minimax:
    """The game as written: G minimises E log(1 - D(G(z, c))), which D maximises.

    Source: Chen et al. 2016 (arXiv:1606.03657), eq. 1.
    """

    teaches_q: ClassVar[bool] = False

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """Losses of "d" and "g"."""
        # log(1 - sigmoid(x)) = -softplus(x): finite for every logit.
        return {"d": _discriminator_loss(p), "g": -jax.nn.softplus(p.d_fooled).mean()}


def _discriminator_loss(p: terms.Pass) -> jax.Array:
    """-V(D, G) = -E log D(x) - E log(1 - D(G(z, c))), from logits."""
    chex.assert_equal_shape((p.d_real, p.d_fake))
    return (jax.nn.softplus(-p.d_real) + jax.nn.softplus(p.d_fake)).mean()

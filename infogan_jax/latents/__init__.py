"""Latent codes: the prior P(c), the auxiliary distribution Q(c|x), and H(c).

Every latent is a frozen dataclass with one protocol, `Latent`, used for codes and for
noise. All information is in nats. A `Product` puts latents side by side: its
`log_prob`, `log_q` and `entropy` return a value for each part, so that L_I can be
reported and weighted per code. It has `assign` in place of `encode`; `grid` and
`bounds` are its parts' own. A latent may have a `sigma`: where that is None, Q learns
it, and L_I of this code weighs .1 by default.
"""

from infogan_jax.latents.continuous import Gaussian, Uniform
from infogan_jax.latents.discrete import Bernoulli, Categorical
from infogan_jax.latents.product import Product
from infogan_jax.latents.protocol import Latent, Prior

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Latent",
    "Prior",
    "Product",
    "Uniform",
]

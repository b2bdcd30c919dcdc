"""The protocol of latents."""

from typing import Any, Protocol

import jax

from infogan_jax import types


class Prior(Protocol):
    """What noise has to offer: a latent that is drawn and never read."""

    @property
    def dim(self) -> int:
        """Width of a sample."""

    def sample(self, key: jax.Array, /) -> jax.Array:
        """One draw, float32 [dim]; `vmap` it over keys."""


class Latent(Prior, Protocol):
    """What a latent offers, of the library or of a user's own."""

    @property
    def n_params(self) -> int:
        """Width of Q's parameters for it."""

    def log_prob(self, c: jax.Array, /) -> jax.Array:
        """Log P(c), [B]; for `Product.log_prob`, which training does not call."""

    def log_q(self, q: jax.Array, c: jax.Array, /) -> jax.Array:
        """Log Q(c|x), [B], of `c` [B, dim] under parameters `q` [B, n_params]."""

    def entropy(self) -> float:
        """Exact H(c)."""

    def bounds(self) -> tuple[float, float]:
        """L_I of the best blind Q, and of one without error; for `watch`'s alarms."""

    def mean(self, q: jax.Array, /) -> jax.Array:
        """Mean of Q(c|x), [B, dim]: the representation of x."""

    def grid(self, n: int, /) -> jax.Array:
        """The values that a traversal shows, [n, dim]."""

    def encode(self, value: Any, /) -> types.Array:
        """A person's number, such as a face or a place, as a code [dim]."""

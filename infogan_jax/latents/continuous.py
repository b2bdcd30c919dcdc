"""Codes of real numbers, of which Q says a mean and a standard deviation."""

import math
from dataclasses import dataclass
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import registry, rules, types

# raw log-sigma is squashed to +-_LIMIT, so that exp and its gradient stay finite.
_LIMIT = 10.0


@dataclass(frozen=True)
class _NormalQ:
    """What continuous codes share: Q(c|x) is a diagonal normal distribution.

    Attributes:
      size: number of dimensions.
      sigma: None to learn it, or a fixed standard deviation of Q. The mean squared
        error is the fixed case: -log Q = r^2 / (2 sigma^2) + const; mind the half.
      sigma_min: what a learned sigma never falls below. Without it L_I has no ceiling,
        for differential entropy sets none: it grows without end as sigma shrinks.
    """

    size: int = 1
    sigma: float | None = None
    sigma_min: float = 0.1

    _variance: ClassVar[float]  # of the prior, per dimension
    _entropy: ClassVar[float]  # of the prior, per dimension
    _reach: ClassVar[float]  # half the width of `grid`

    def __post_init__(self):
        rules.check_whole("size", self.size)
        if self.sigma is not None:
            rules.check_positive("sigma", self.sigma, ", or None")
        rules.check_positive("sigma_min", self.sigma_min)

    @property
    def dim(self) -> int:
        """Width of a sample."""
        return self.size

    @property
    def n_params(self) -> int:
        """Width of Q's parameters: means, and raw log-sigmas where learned."""
        return self.size if self.sigma is not None else 2 * self.size

    def moments(self, q: types.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation of Q(c|x), each [B, size].

        A learned sigma is sigma_min + exp(raw), with raw squashed smoothly to +-10:
        a hard maximum would leave no gradient below it.
        """
        chex.assert_axis_dimension(q, -1, self.n_params)
        q = types.as_float(q)
        if self.sigma is not None:
            return q, jnp.full_like(q, self.sigma)
        mean, raw = jnp.split(q, 2, -1)
        return mean, self.sigma_min + jnp.exp(_LIMIT * jnp.tanh(raw / _LIMIT))

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x) of `c` [B, size] under parameters `q` [B, n_params]; [B]."""
        mean, sigma = self.moments(q)
        chex.assert_equal_shape((mean, c))
        return _log_normal(c, mean, sigma).sum(-1)

    def entropy(self) -> float:
        """H(c), differential."""
        return self.size * self._entropy

    def bounds(self) -> tuple[float, float]:
        """L_I of the best Q that sees no image, and of one whose mean is c.

        The first has the prior's mean, 0, and its deviation if sigma is learned.
        """
        deviation = max(math.sqrt(self._variance), self.sigma_min)
        blind = self.sigma or deviation
        exact = self.sigma or self.sigma_min + math.exp(-_LIMIT)  # As `moments` has it.
        of_blind, of_exact = (
            math.log(2 * math.pi * sigma**2) / 2 + squared / (2 * sigma**2)
            for sigma, squared in ((blind, self._variance), (exact, 0.0))
        )
        return (
            self.entropy() - self.size * of_blind,
            self.entropy() - self.size * of_exact,
        )

    def mean(self, q: types.Array) -> jax.Array:
        """Mean of Q(c|x), [B, size]."""
        return self.moments(q)[0]

    def grid(self, n: int) -> jax.Array:
        """`n` values across the prior, the same in every dimension; [n, size]."""
        values = jnp.linspace(-self._reach, self._reach, n, dtype=jnp.float32)
        return jnp.repeat(values[:, None], self.size, 1)


@registry.register
@dataclass(frozen=True)
class Uniform(_NormalQ):
    """`size` dimensions uniform on [-1, 1], under a normal Q(c|x).

    With squared residual r^2, L_I = ln 2 - ln(2 pi)/2 - ln sigma - r^2/(2 sigma^2):
    at sigma = 1 never above -0.2258 nats per dimension, with the default bound
    (sigma > 0.1) never above 2.077.
    """

    _variance = 1 / 3
    _entropy = math.log(2)
    _reach = 1.0

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw from U(-1, 1), [size]."""
        return jax.random.uniform(key, (self.size,), jnp.float32, -1.0, 1.0)

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c), [B]; -inf outside [-1, 1]."""
        inside = jnp.full_like(c, -math.log(2), jnp.result_type(c, float))
        return jnp.where(jnp.abs(c) <= 1, inside, -math.inf).sum(-1)

    def encode(self, value: float) -> np.ndarray:
        """The same value, in [-1, 1], for every dimension."""
        if not -1 <= value <= 1:
            raise ValueError(f"value {value} lies outside a uniform code's [-1, 1].")
        return np.full(self.size, value, np.float32)


@registry.register
@dataclass(frozen=True)
class Gaussian(_NormalQ):
    """`size` standard normal dimensions, under a normal Q(c|x)."""

    _variance = 1.0
    _entropy = (math.log(2 * math.pi) + 1) / 2
    _reach = 2.0  # standard deviations

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw from N(0, 1), [size]."""
        return jax.random.normal(key, (self.size,), jnp.float32)

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c), [B]."""
        return _log_normal(c, 0.0, 1.0).sum(-1)

    def encode(self, value: float) -> np.ndarray:
        """The same value, a finite number, for every dimension."""
        if not math.isfinite(value):
            raise ValueError(f"value {value} is no number on a normal code's axis.")
        return np.full(self.size, value, np.float32)


def _log_normal(x, mean, sigma):
    return -0.5 * (((x - mean) / sigma) ** 2 + math.log(2 * math.pi)) - jnp.log(sigma)

"""Codes of a few values: one of n, or coins."""

import math
from dataclasses import dataclass
from numbers import Real

import chex
import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import registry, rules, types


@registry.register
@dataclass(frozen=True)
class Categorical:
    """A fair die with `n` faces, as a one-hot vector; Q gives `n` logits."""

    n: int

    def __post_init__(self):
        rules.check_whole("n", self.n, 2)

    @property
    def dim(self) -> int:
        """Width of a sample."""
        return self.n

    @property
    def n_params(self) -> int:
        """Width of Q's parameters: one logit per value."""
        return self.n

    def sample(self, key: jax.Array) -> jax.Array:
        """One-hot draw, [n]."""
        value = jax.random.randint(key, (), 0, self.n, jnp.int32)
        return jax.nn.one_hot(value, self.n, dtype=jnp.float32)

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c), [B]."""
        return jnp.full(c.shape[:-1], -math.log(self.n), jnp.result_type(c, float))

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x) of one-hot `c` [B, n] under logits `q` [B, n]; [B].

        The softmax is applied here and nowhere else: applied twice, L_I could never
        pass 0.8414 nats for ten values.
        """
        chex.assert_equal_shape((q, c))
        return (jax.nn.log_softmax(types.as_float(q)) * c).sum(-1)

    def entropy(self) -> float:
        """H(c) = ln n."""
        return math.log(self.n)

    def bounds(self) -> tuple[float, float]:
        """L_I of a Q that knows only P(c), and of an exact one: 0 and H(c)."""
        return 0.0, self.entropy()

    def mean(self, q: types.Array) -> jax.Array:
        """Q's probabilities, [B, n]."""
        return jax.nn.softmax(types.as_float(q))

    def grid(self, n: int) -> jax.Array:
        """The values in order, and again from the first on; `n` rows, [n, self.n]."""
        return jax.nn.one_hot(jnp.arange(n) % self.n, self.n, dtype=jnp.float32)

    def encode(self, value: int) -> np.ndarray:
        """One-hot vector of a value in 0 .. n-1."""
        if value not in range(self.n):
            raise ValueError(f"value {value} is not one of 0 .. {self.n - 1}.")
        return np.eye(self.n, dtype=np.float32)[int(value)]


@registry.register
@dataclass(frozen=True)
class Bernoulli:
    """`size` independent coins in {0, 1}; Q gives one logit each.

    Attributes:
      size: number of coins.
      p: P(c = 1), strictly between 0 and 1.
    """

    size: int = 1
    p: float = 0.5

    def __post_init__(self):
        rules.check_whole("size", self.size)
        if not isinstance(self.p, Real) or not 0 < self.p < 1:
            raise ValueError(f"Bernoulli p must lie strictly in (0, 1), not {self.p}.")

    @property
    def dim(self) -> int:
        """Width of a sample."""
        return self.size

    @property
    def n_params(self) -> int:
        """Width of Q's parameters: one logit per coin."""
        return self.size

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw of zeros and ones, [size]."""
        draw = jax.random.uniform(key, (self.size,), jnp.float32)
        return (draw < self.p).astype(jnp.float32)

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c), [B]."""
        yes, no = math.log(self.p), math.log1p(-self.p)
        dtype = jnp.result_type(c, float)
        return jnp.where(c > 0.5, jnp.full_like(c, yes, dtype), no).sum(-1)

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x) of `c` [B, size] under logits `q` [B, size]; [B]."""
        chex.assert_equal_shape((q, c))
        q, c = types.as_float(q), types.as_float(c)
        # c log s(q) + (1-c) log s(-q), with log s(x) = -softplus(-x): always finite.
        return (c * q - jax.nn.softplus(q)).sum(-1)

    def entropy(self) -> float:
        """H(c): `size` times the entropy of one coin."""
        p = self.p
        return -self.size * (p * math.log(p) + (1 - p) * math.log1p(-p))

    def bounds(self) -> tuple[float, float]:
        """L_I of a Q that knows only P(c), and of an exact one: 0 and H(c)."""
        return 0.0, self.entropy()

    def mean(self, q: types.Array) -> jax.Array:
        """Q(c = 1|x), [B, size]."""
        return jax.nn.sigmoid(types.as_float(q))

    def grid(self, n: int) -> jax.Array:
        """All coins 0, then all coins 1, in turns; [n, size]."""
        return jnp.repeat(jnp.float32(jnp.arange(n) % 2)[:, None], self.size, 1)

    def encode(self, value: float) -> np.ndarray:
        """The same value, 0 or 1, for every coin."""
        if value not in (0, 1):
            raise ValueError(f"value {value} of a Bernoulli code must be 0 or 1.")
        return np.full(self.size, value, np.float32)

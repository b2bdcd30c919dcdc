"""Latent codes: the prior P(c), the auxiliary distribution Q(c|x), and H(c).

Every latent is a frozen dataclass with one protocol, `Latent`, used for codes and for
noise. All information is in nats. A `Product` puts latents side by side: its
`log_prob`, `log_q`, `entropy` and `grid` keep them apart, so that L_I can be reported
and weighted per code, its `assign` encodes, and `bounds` are for its parts to say.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import registry, rules, types

# raw log-sigma is squashed to +-_LIMIT, so that exp and its gradient stay finite.
_LIMIT = 10.0


class Latent(Protocol):
    """What a latent offers, of the library or of a user's own."""

    @property
    def dim(self) -> int:
        """Width of a sample."""

    @property
    def n_params(self) -> int:
        """Width of Q's parameters for it."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw from P(c), float32 [dim]; `vmap` it over keys."""

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c), [B]."""

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x), [B], of `c` [B, dim] under parameters `q` [B, n_params]."""

    def entropy(self) -> float:
        """Exact H(c)."""

    def bounds(self) -> tuple[float, float]:
        """L_I of the best blind Q, and of one without error."""

    def mean(self, q: types.Array) -> jax.Array:
        """Mean of Q(c|x), [B, dim]: the representation of x."""

    def grid(self, n: int) -> jax.Array:
        """The values that a traversal shows, [n, dim]."""

    def encode(self, value: Any) -> np.ndarray:
        """A person's number, such as a face or a place, as a code [dim]."""


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
        return jnp.full(c.shape[:-1], -math.log(self.n), jnp.result_type(c))

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x) of one-hot `c` [B, n] under logits `q` [B, n]; [B].

        The softmax is applied here and nowhere else: applied twice, L_I could never
        pass 0.8414 nats for ten values.
        """
        chex.assert_equal_shape((q, c))
        return (jax.nn.log_softmax(q) * c).sum(-1)

    def entropy(self) -> float:
        """H(c) = ln n."""
        return math.log(self.n)

    def bounds(self) -> tuple[float, float]:
        """L_I of a Q that knows only P(c), and of an exact one: 0 and H(c)."""
        return 0.0, self.entropy()

    def mean(self, q: types.Array) -> jax.Array:
        """Q's probabilities, [B, n]."""
        return jax.nn.softmax(q)

    def grid(self, n: int) -> jax.Array:
        """The values in order, and again from the first on; [n, values]."""
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
        return _either(c > 0.5, yes, no, jnp.result_type(c)).sum(-1)

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c|x) of `c` [B, size] under logits `q` [B, size]; [B]."""
        chex.assert_equal_shape((q, c))
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
        return jax.nn.sigmoid(q)

    def grid(self, n: int) -> jax.Array:
        """All coins 0, then all coins 1, in turns; [n, size]."""
        return jnp.repeat(jnp.float32(jnp.arange(n) % 2)[:, None], self.size, 1)

    def encode(self, value: float) -> np.ndarray:
        """The same value, 0 or 1, for every coin."""
        if value not in (0, 1):
            raise ValueError(f"value {value} of a Bernoulli code must be 0 or 1.")
        return np.full(self.size, value, np.float32)


@dataclass(frozen=True)
class _NormalQ:
    """What continuous codes share: Q(c|x) is a diagonal normal distribution.

    Attributes:
      size: number of dimensions.
      sigma: None to learn it, or a fixed standard deviation of Q. The mean squared
        error is the fixed case: -log Q = r^2 / (2 sigma^2) + const; mind the half.
      sigma_min: lower bound of a learned sigma. Without one the bound has no ceiling,
        for differential entropy sets none: L_I grows without end as sigma shrinks.
    """

    size: int = 1
    sigma: float | None = None
    sigma_min: float = 0.1

    _variance: ClassVar[float]  # of a dimension of the prior, as is the next
    _entropy: ClassVar[float]
    _reach: ClassVar[float]  # of `grid`

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
        if self.sigma is not None:
            return jnp.asarray(q), jnp.full_like(q, self.sigma)
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
        blind, exact = self.sigma or deviation, self.sigma or self.sigma_min
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
        return _either(
            jnp.abs(c) <= 1, -math.log(2), -math.inf, jnp.result_type(c)
        ).sum(-1)

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


@registry.register
@dataclass(frozen=True)
class Product:
    """Independent latents side by side: P(c) = prod_i P(c_i), and the same for Q."""

    parts: tuple[Latent, ...]

    def __post_init__(self):
        if not isinstance(self.parts, tuple) or not self.parts:
            raise ValueError(f"Product needs a tuple of latents, not {self.parts!r}.")
        for part in self.parts:
            is_single = not isinstance(part, type | Product)
            if not is_single or not hasattr(part, "log_q"):
                raise ValueError(
                    f"{part!r} in a Product is no single latent, such as Uniform(); "
                    "give all in one tuple."
                )

    @property
    def dim(self) -> int:
        """Width of a sample."""
        return sum(part.dim for part in self.parts)

    @property
    def n_params(self) -> int:
        """Width of Q's parameters."""
        return sum(part.n_params for part in self.parts)

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw of every part, [dim]."""
        keys = jax.random.split(key, len(self.parts))
        draws = [part.sample(k) for part, k in zip(self.parts, keys, strict=True)]
        return jnp.concatenate(draws)

    def split(self, c: types.Array) -> list[jax.Array]:
        """The parts of `c` [..., dim].

        Raises:
          ValueError: another width.
        """
        _check_width("c", c, self.dim)
        return _split(c, [part.dim for part in self.parts])

    def split_params(self, q: types.Array) -> list[jax.Array]:
        """Each part's parameters in `q` [..., n_params].

        Raises:
          ValueError: another width.
        """
        _check_width("q", q, self.n_params)
        return _split(q, [part.n_params for part in self.parts])

    def log_prob(self, c: types.Array) -> jax.Array:
        """Log P(c_i) for each part, [B, n_codes]."""
        pairs = zip(self.parts, self.split(c), strict=True)
        return jnp.stack([part.log_prob(ci) for part, ci in pairs], -1)

    def log_q(self, q: types.Array, c: types.Array) -> jax.Array:
        """Log Q(c_i|x) for each part, [B, n_codes]."""
        parts = zip(self.parts, self.split_params(q), self.split(c), strict=True)
        return jnp.stack([part.log_q(qi, ci) for part, qi, ci in parts], -1)

    def entropy(self) -> np.ndarray:
        """H(c_i) of each part, [n_codes]."""
        return np.array([part.entropy() for part in self.parts], np.float32)

    def information(self, q: types.Array, c: types.Array) -> jax.Array:
        """L_I = E[log Q(c_i|x)] + H(c_i) of each part, [n_codes], in nats.

        A lower bound of I(c; G(z, c)) when `c` was drawn from P(c) and x = G(z, c).

        Source: Chen et al. 2016 (arXiv:1606.03657), eq. 5 and Lemma 5.1.
        """
        return self.log_q(q, c).mean(0) + self.entropy()

    def mean(self, q: types.Array) -> jax.Array:
        """Mean of Q(c|x), [B, dim]."""
        pairs = zip(self.parts, self.split_params(q), strict=True)
        return jnp.concatenate([part.mean(qi) for part, qi in pairs], -1)

    def grid(self, n: int) -> list[jax.Array]:
        """The traversal values of each part: a list of [n, part.dim]."""
        return [part.grid(n) for part in self.parts]

    def assign(self, c: types.Array, values: Mapping[int, float]) -> jax.Array:
        """`c` [..., dim] with some codes set to people's numbers.

        Args:
          c: [..., dim], usually drawn from the prior.
          values: `{0: 3, 1: 0.5}` sets code 0 to face 3 and code 1 to +0.5, in all
            of its dimensions.

        Raises:
          ValueError: no such code, a value outside its prior, or one that is no single
            number known by now, such as an array or what is traced.
        """
        parts = self.split(c)
        for index, value in values.items():
            self.check_index(index)
            arrays = np.ndarray | np.bool_ | jax.Array
            is_scalar = isinstance(value, arrays) and not value.ndim
            is_traced = isinstance(value, jax.core.Tracer)
            if is_traced or not (is_scalar or isinstance(value, Real)):
                raise ValueError(
                    f"code {index}: {value!r} is not one number; give the codes of "
                    "single dimensions, or what is traced, as an array."
                )
            try:
                encoded = self.parts[index].encode(value)
            except ValueError as error:
                raise ValueError(f"code {index}: {error}") from None
            parts[index] = jnp.broadcast_to(encoded, parts[index].shape)
        return jnp.concatenate(parts, -1)

    def check_index(self, index: int) -> None:
        """Raises a ValueError unless `index` names a code."""
        if not isinstance(index, Integral) or index not in range(len(self.parts)):
            raise ValueError(
                f"there is no code {index!r}; the codes are 0 .. {len(self.parts) - 1}."
            )


def _log_normal(x, mean, sigma):
    return -0.5 * (((x - mean) / sigma) ** 2 + math.log(2 * math.pi)) - jnp.log(sigma)


def _either(condition, yes, no, dtype):
    """One of two numbers, in this dtype rather than JAX's default."""
    return jnp.where(condition, jnp.asarray(yes, dtype), jnp.asarray(no, dtype))


def _check_width(name, x, width):
    if x.shape[-1:] != (width,):
        raise ValueError(f"{name} has shape {x.shape}; give [..., {width}].")


def _split(x, widths):
    return jnp.split(x, np.cumsum(widths)[:-1].tolist(), -1)

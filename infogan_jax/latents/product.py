"""`Product`: several latents side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import registry, sharding, types
from infogan_jax.latents import protocol


@registry.register
@dataclass(frozen=True)
class Product:
    """Independent latents side by side: P(c) = prod_i P(c_i), and the same for Q."""

    parts: tuple[protocol.Latent, ...]

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

    def assign(self, c: types.Array, values: Mapping[int, float]) -> jax.Array:
        """`c` [..., dim] with some codes set to people's numbers.

        Args:
          c: [..., dim], usually drawn from the prior.
          values: `{0: 3, 1: 0.5}` sets code 0 to face 3 and code 1 to +0.5, in all
            of its dimensions.

        Raises:
          ValueError: no such code, a value outside its prior, or one that is not a
            single concrete number: an array of several, or traced.
        """
        known = {}
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
                known[index] = self.parts[index].encode(value)
            except ValueError as error:
                raise ValueError(f"code {index}: {error}") from None

        def put(c):
            parts = self.split(c)
            for index, encoded in known.items():
                encoded = jnp.broadcast_to(encoded, parts[index].shape)
                # Or where all are set nothing would lie where c does.
                parts[index] = jnp.where(False, parts[index], encoded)
            return jnp.concatenate(parts, -1)

        return sharding.with_auto_axes(
            put, c, out=lambda mesh: sharding.shardings_of(mesh, c)
        )

    def check_index(self, index: int) -> None:
        """Raises a ValueError unless `index` names a code."""
        if not isinstance(index, Integral) or index not in range(len(self.parts)):
            raise ValueError(
                f"there is no code {index!r}; the codes are 0 .. {len(self.parts) - 1}."
            )


def _check_width(name, x, width):
    if x.shape[-1:] != (width,):
        raise ValueError(f"{name} has shape {x.shape}; give [..., {width}].")


def _split(x, widths):
    return jnp.split(x, np.cumsum(widths)[:-1].tolist(), -1)

"""Images with known factors, rendered on demand: like dSprites, and as many as needed.

A white square, ellipse or heart on black, 64x64, in any scale, orientation and place.
`Space` says which values each factor takes; its default are dSprites' own: 737,280
combinations, of which at most 718,848 are distinct, since orientations 0 and 2 pi are
both among the 40. A square turns into itself every 90 degrees and an ellipse every 180,
so orientations are comparable on hearts only.

The outlines were fitted to published dSprites frames, and are not theirs to a pixel, so
scores on them are scores on dSprites-like images, not on dSprites.

Source of the factors: Matthey et al. 2017, dSprites (Higgins et al. 2017, ICLR).
"""

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import rules, sharding, types

FACTORS = ("shape", "scale", "orientation", "x", "y")
SIDE = 64

_ANGLES = 1024


@dataclass(frozen=True)
class Space:
    """The values that each factor takes; one value keeps a factor fixed.

    Attributes:
      shape: 0 square, 1 ellipse, 2 heart.
      scale: 1 is a square of 19.2 pixels.
      orientation: radians.
      x, y: 0 to 1 across the middle half of the image; y points down.
    """

    shape: tuple[int, ...] = (0, 1, 2)
    scale: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    orientation: tuple[float, ...] = tuple(2 * math.pi * i / 39 for i in range(40))
    x: tuple[float, ...] = tuple(i / 31 for i in range(32))
    y: tuple[float, ...] = tuple(i / 31 for i in range(32))

    def __post_init__(self):
        for name in FACTORS:
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                raise ValueError(f"{name} must be a tuple of values, not {values!r}.")
        if not set(self.shape) <= {0, 1, 2}:
            raise ValueError(f"shapes are 0, 1 and 2, not {self.shape}.")
        for scale in self.scale:
            rules.check_positive("every scale", float(scale))
        for turn in self.orientation:
            rules.check_finite("every orientation", float(turn))
        for name in ("x", "y"):
            values = getattr(self, name)
            if not all(0 <= place <= 1 for place in values):
                raise ValueError(f"{name} must lie in [0, 1], not {values}.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor takes, in the order of FACTORS."""
        return tuple(len(getattr(self, name)) for name in FACTORS)

    def values(self, indices: types.Array) -> jax.Array:
        """The factors' exact values, float32 [B, 5].

        Args:
          indices: int [B, 5], each from 0 to below the factor's of `sizes`. (The first
            of six columns of the published `latents_classes` is a color.)

        Raises:
          ValueError: other columns, or, unless it is traced, an index out of range.
        """
        _check_columns("indices", indices)
        if sharding.is_readable(indices):
            known = np.asarray(indices)
            if known.size and not ((known >= 0) & (known < self.sizes)).all():
                raise ValueError(
                    f"indices must lie below {self.sizes}, from 0 on, and reach from "
                    f"{known.min(0)} to {known.max(0)}."
                )
        return self._values(indices)

    def _values(self, indices):
        columns = [
            jnp.asarray(getattr(self, name), jnp.float32)[indices[:, k]]
            for k, name in enumerate(FACTORS)
        ]
        return jnp.stack(columns, 1)

    def sample(self, key: jax.Array, n: int) -> jax.Array:
        """Indices of `n` images' factors, uniform and independent, int32 [n, 5]."""
        sizes = jnp.array([self.sizes])
        return jax.random.randint(key, (n, len(FACTORS)), 0, sizes, jnp.int32)

    def sample_fixed(
        self, key: jax.Array, n: int, factor: jax.Array | int
    ) -> jax.Array:
        """As `sample`, but all `n` share one value of a factor: a vote's images.

        Args:
          key: of the drawing.
          n: images.
          factor: its column, 0 .. 4; may be traced.

        Raises:
          ValueError: there is no such column, or they are several.
        """
        is_column = np.ndim(factor) == 0
        if is_column and sharding.is_readable(factor):
            is_column = np.asarray(factor) in range(len(FACTORS))
        if not is_column:
            raise ValueError(f"factor must be a column, 0 .. 4, not {factor!r}.")
        key, key_shared = jax.random.split(key)
        indices, shared = self.sample(key, n), self.sample(key_shared, 1)
        return jnp.where(jnp.arange(len(FACTORS))[None] == factor, shared, indices)

    def all(self) -> np.ndarray:
        """Every combination's indices, int32 [N, 5], y fastest, as dSprites orders."""
        return np.indices(self.sizes, np.int32).reshape(len(FACTORS), -1).T

    def draw(self, key: jax.Array, n: int) -> dict[str, jax.Array]:
        """A batch: {"image": uint8 [n, 64, 64, 1], "factors": int32 [n, 5]}."""

        def make(key):
            indices = self.sample(key, n)
            # In range: to look would be to wait for the device.
            return {"image": _render(self._values(indices)), "factors": indices}

        return sharding.with_auto_axes(make, key, out=sharding.replicated)


def render(values: types.Array) -> jax.Array:
    """The images of factor values.

    Args:
      values: float [B, 5]: shape, scale, orientation, x, y, as in `Space`. (The shapes
        of the published `latents_values` are 1 to 3, not 0 to 2.)

    Returns:
      uint8 [B, 64, 64, 1], 0 or 255.

    Raises:
      ValueError: other columns, or, unless it is traced, a shape that is none.
    """
    _check_columns("values", values)
    if (
        sharding.is_readable(values)
        and not np.isin(np.asarray(values)[:, 0], (0, 1, 2)).all()
    ):
        raise ValueError("shapes, the first column of values, must be 0, 1 or 2.")
    return _render(values)


@types.jit()
def _render(values: types.Array) -> jax.Array:
    shape, scale, turn, x, y = (values[:, k, None, None] for k in range(len(FACTORS)))
    pixel = jnp.arange(SIDE, dtype=jnp.float32) + 0.5
    dx = pixel[None, None, :] - (SIDE / 4 + SIDE / 2 * x)
    dy = pixel[None, :, None] - (SIDE / 4 + SIDE / 2 * y)
    u = (jnp.cos(turn) * dx - jnp.sin(turn) * dy) / scale
    v = (jnp.sin(turn) * dx + jnp.cos(turn) * dy) / scale

    square = (jnp.abs(u) < 9.6) & (jnp.abs(v) < 9.6)
    ellipse = (u / 12.8) ** 2 + (v / 7.2) ** 2 < 1
    angle = jnp.arctan2(v, u) / (2 * jnp.pi) * _ANGLES
    edge = jnp.asarray(_heart_radius())[jnp.round(angle).astype(jnp.int32) % _ANGLES]
    heart = jnp.hypot(u, v) < edge

    inside = jnp.select([shape == 0, shape == 1], [square, ellipse], heart)
    return inside[..., None].astype(jnp.uint8) * 255


def _check_columns(name, array):
    if np.ndim(array) != 2 or np.shape(array)[1] != len(FACTORS):
        raise ValueError(
            f"{name} must be [B, 5], columns {', '.join(FACTORS)}, not "
            f"{list(np.shape(array))}."
        )


@functools.cache
def _heart_radius():
    """Distance of the heart's outline at 1,024 angles; it is star-shaped."""
    t = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    x = 9.625 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    y = (y - 2.5) * 9.625 / 14.5 + 0.2
    angles = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    radius = np.interp(angles, np.arctan2(y, x), np.hypot(x, y), period=2 * np.pi)
    return radius.astype(np.float32)

"""Correlations with 2x2 taps by nine products for sixteen: Winograd's F(2x2, 2x2).

In one dimension two outputs of two taps each,

    y0 = d0 w0 + d1 w1    and    y1 = d1 w0 + d2 w1,

are m0 + m1 and m1 - m2 of three products,

    m0 = (d0 - d1) w0,    m1 = d1 (w0 + w1),    m2 = (d1 - d2) w1;

in two dimensions rows and columns are treated so in turn (Lavin and Gray 2016,
arXiv:1509.09308). The taps' gradients are p0 + p1 and p1 + p2 of

    p0 = (d0 - d1) g0,    p1 = d1 (g0 + g1),    p2 = (d1 - d2) -g1.

Coefficients of 1 and -1 keep the error that of rounding, in float32 one to two times as
large as that of the plain sums.
"""

import jax
import jax.numpy as jnp
from jax import lax


def correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The sums over a and b of x[:, i + a, j + b] @ kernel[a, b].

    Args:
      x: [B, H + 1, W + 1, C].
      kernel: [2, 2, C, F].

    Returns:
      [B, H, W, F].
    """
    height, width, n_features = x.shape[1] - 1, x.shape[2] - 1, kernel.shape[3]
    inputs = _nine(_of_inputs, _with_whole_tiles(x, 1), (1, 2))
    taps = _nine(_of_taps, kernel, (0, 1))
    shape = *inputs[0].shape[:3], n_features
    nine = [
        (_as_rows(d) @ _as_rows(w)).reshape(shape)
        for d, w in zip(inputs, taps, strict=True)
    ]
    tiles = _two_by_two(lambda m0, m1, m2: (m0 + m1, m1 - m2), nine)
    y = jnp.stack([jnp.stack(row, 3) for row in tiles], 2)
    y = y.reshape(shape[0], 2 * shape[1], 2 * shape[2], n_features)
    return y[:, :height, :width]


def kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """Gradient of <g, correlate(x, kernel)> in the kernel.

    Args:
      x: [B, H + 1, W + 1, C].
      g: [B, H, W, F].

    Returns:
      [2, 2, C, F].
    """
    inputs = _nine(_of_inputs, _with_whole_tiles(x, 1), (1, 2))
    outputs = _nine(_of_outputs, _with_whole_tiles(g, 0), (1, 2))
    nine = [_as_rows(d).T @ _as_rows(g) for d, g in zip(inputs, outputs, strict=True)]
    taps = _two_by_two(lambda p0, p1, p2: (p0 + p1, p1 + p2), nine)
    return jnp.stack([jnp.stack(row) for row in taps])


def _with_whole_tiles(x, overlap):
    """Zeros after it, so that two outputs at a time make all of them."""
    around = [(0, (side - overlap) % 2) for side in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *around, (0, 0)))


def _nine(three, x, axes):
    """The parts of the parts: along the first axis, and each along the second."""
    return [part for row in three(x, axes[0]) for part in three(row, axes[1])]


def _two_by_two(two, nine):
    """The same back: to two along the first axis, and each to two along the second."""
    return [
        two(*row) for row in zip(*(two(*nine[i::3]) for i in range(3)), strict=True)
    ]


def _of_inputs(x, axis):
    n_tiles = x.shape[axis] // 2
    d0, d1, d2 = (
        lax.slice_in_dim(x, i, i + 2 * n_tiles - 1, 2, axis) for i in range(3)
    )
    return d0 - d1, d1, d1 - d2


def _of_taps(kernel, axis):
    w0, w1 = jnp.split(kernel, 2, axis)
    return w0, w0 + w1, w1


def _of_outputs(g, axis):
    g0, g1 = (lax.slice_in_dim(g, i, None, 2, axis) for i in range(2))
    return g0, g0 + g1, -g1


def _as_rows(x):
    return x.reshape(-1, x.shape[-1])

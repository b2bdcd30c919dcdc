"""Convolutions of stride 2, by whatever XLA does fastest.

`strided_conv` and `conv_transpose` are the plain 4x4 operations of stride 2, to
rounding; what differs is how they are computed on CPUs and NVIDIA's GPUs. There the
gradient of a kernel is one matrix product with the image's patches: inside a loop
XLA:CPU's own is many times slower, which would rule out `lax.scan` over steps. So is a
strided convolution that learns, which has these patches anyway. A transposed
convolution makes whole blocks of 2x2 pixels, where XLA would multiply by the zeros
between its inputs; that is what counts on a GPU. Wide arrays on a CPU have all three as
correlations with 2x2 taps, which take nine products for sixteen (`winograd`). Under
`vmap` over kernels, as of many seeds, all become matrix products: XLA would make
grouped convolutions of them. On other platforms they are XLA's own.
(`experiments/operations.py` measures the forms, `accelerator.py` whole steps on a GPU.)

The price: no forward-mode derivatives (`jax.jvp`) through the convolutions. Reverse
over reverse, as gradient penalties need it, works to any order.
"""

import jax
import jax.numpy as jnp
from jax import lax

from infogan_jax.ops import products, winograd

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))  # A pixel of padding on each side.
_WIDE = 32  # Channels and features from which on `winograd` gains, for many images.


@jax.custom_vjp
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution of stride 2 and SAME padding.

    Args:
      x: [B, 2H, 2W, C].
      kernel: [4, 4, C, F].

    Returns:
      [B, H, W, F].

    Raises:
      ValueError: an odd height or width.
    """
    _check_even(x)
    return _by_platform(_plain_conv, _conv, _conv_by_tiles, x, kernel)


@jax.custom_vjp
def conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution of stride 2 and SAME padding, as `lax.conv_transpose`.

    Args:
      x: [B, H, W, C].
      kernel: [4, 4, C, F].

    Returns:
      [B, 2H, 2W, F].
    """
    blocks, tiles = _transpose_by_blocks, _transpose_by_tiles
    return _by_platform(_plain_transpose, blocks, tiles, x, kernel)


def _check_even(x):
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"sides must be even to be halved, not {x.shape[1:3]}.")


def _by_platform(plain, ours, tiles, x, other):
    """The form that was measured to be the fastest one.

    The one by `winograd` is where a CPU gains by fewer products of more arrays; of two
    bytes the sums before a product would be rounded too coarsely.
    """
    is_wide = x.dtype.itemsize >= 4 and min(x.shape[3], other.shape[3]) >= _WIDE
    on_cpu = tiles if is_wide else ours
    return lax.platform_dependent(x, other, cpu=on_cpu, cuda=ours, default=plain)


def _plain_conv(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
    )


def _plain_transpose(x, kernel):
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")


@jax.custom_vjp
def _learning_conv(x, kernel):
    """`strided_conv` where the kernel's gradient will want the same of x as well."""
    return _by_platform(_plain_conv, _conv_by_patches, _conv_by_tiles, x, kernel)


def _conv_forward(x, kernel):
    _check_even(x)
    return _learning_conv(x, kernel), (x, kernel)


def _conv_backward(residuals, g):
    x, kernel = residuals
    return conv_transpose(g, _adjoint(kernel)), _kernel_gradient(x, g)


def _transpose_forward(x, kernel):
    return conv_transpose(x, kernel), (x, kernel)


def _transpose_backward(residuals, g):
    x, kernel = residuals
    return _learning_conv(g, _adjoint(kernel)), _adjoint(_kernel_gradient(g, x))


strided_conv.defvjp(_conv_forward, _conv_backward)
_learning_conv.defvjp(_conv_forward, _conv_backward)
conv_transpose.defvjp(_transpose_forward, _transpose_backward)


def _adjoint(kernel):
    """The kernel by which the transposed convolution undoes the strides of the other.

    <g, conv(x, k)> = <conv_transpose(g, adjoint(k)), x>, and the other way round.
    """
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _kernel_gradient(x, g):
    """Gradient of <g, strided_conv(x, kernel)> in the kernel: [4, 4, C, F]."""
    return _by_platform(_by_convolution, _by_patches, _by_tiles, x, g)


def _unless_kernels_vary(product):
    """Decorator of a convolution, which is `product` under `vmap` over kernels."""

    def decorate(convolution):
        operation = jax.custom_batching.custom_vmap(convolution)

        @operation.def_vmap
        def batched(size, is_batched, x, kernel):
            x_varies, kernels_vary = is_batched
            if kernels_vary:
                axes = (0 if x_varies else None, 0)
                return jax.vmap(product, axes)(x, kernel), True
            out = operation(x.reshape(-1, *x.shape[2:]), kernel)
            return out.reshape(size, -1, *out.shape[1:]), True

        return operation

    return decorate


def _conv_by_patches(x, kernel):
    """One matrix product of the patches, which the kernel's gradient then shares."""
    batch, height, width, _ = x.shape
    product = products.matmul(_patches(x), kernel.reshape(-1, kernel.shape[3]))
    return product.reshape(batch, height // 2, width // 2, kernel.shape[3])


@_unless_kernels_vary(_conv_by_patches)
def _conv(x, kernel):
    return products.on_cpu(_conv_by_patches, _plain_conv, x, kernel)


def _conv_by_tiles(x, kernel):
    """A correlation of blocks of 2x2 pixels."""
    taps = _regrouped(kernel).reshape(2, 2, -1, kernel.shape[3])
    return winograd.correlate(_squares(x), taps)


def _by_tiles(x, g):
    taps = winograd.kernel_gradient(_squares(x), g)
    return _regrouped(taps).reshape(4, 4, -1, g.shape[3])


def _regrouped(taps):
    """From 4x4 taps to 2x2 of blocks of 2x2, and back: [2, 2, 2, 2, C, F]."""
    return taps.reshape(2, 2, 2, 2, -1, taps.shape[-1]).swapaxes(1, 2)


def _squares(x):
    """Four pixels as one, [B, H/2 + 1, W/2 + 1, 4 C], from the first padding on."""
    batch, height, width, n_channels = x.shape
    rows, columns = height // 2 + 1, width // 2 + 1
    x = jnp.pad(x, _AROUND).reshape(batch, rows, 2, columns, 2, n_channels)
    return x.swapaxes(2, 3).reshape(batch, rows, columns, 4 * n_channels)


def _by_patches(x, g):
    """One matrix product."""
    patches, g = _patches(x), g.reshape(-1, g.shape[3])
    if 16 * x.shape[3] < g.shape[1]:
        return products.on_cpu(_by_narrow_patches, _by_features, patches, g)
    return _by_features(patches, g)


def _by_features(patches, g):
    """In g's transpose first, the order that XLA:CPU does fast in float32."""
    kernel = products.of_transposed(g, patches).reshape(g.shape[1], 4, 4, -1)
    return kernel.transpose(1, 2, 3, 0)


def _by_narrow_patches(patches, g):
    """In the patches' transpose: for bfloat16 it is made, so it had better be small."""
    return products.of_transposed(patches, g).reshape(4, 4, -1, g.shape[1])


@products.as_integers
def _patches(x):
    """The 4x4 patches that stride 2 meets, [B H/2 W/2, 16 C]; x is [B, H, W, C]."""
    batch, height, width, n_channels = x.shape
    x = jnp.pad(x, _AROUND)
    # Two neighbouring columns and their channels lie side by side: pairs are copied.
    pairs = [
        x[:, row : row + height : 2, column : column + width].reshape(
            batch, height // 2, width // 2, 2 * n_channels
        )
        for row in range(4)
        for column in (0, 2)
    ]
    return jnp.stack(pairs, 3).reshape(-1, 16 * n_channels)


def _transpose_by_blocks(x, kernel):
    """Blocks of 2x2 pixels, which are then put in place.

    Pixel (2i - 1 + a, 2j - 1 + b) of the result is (a, b) of block (i, j), and depends
    on no pixels of x but (i - 1, j - 1) to (i, j).
    """
    blocks = _overlapped if kernel.shape[3] == 1 else _convolved
    return _in_place(blocks(x, _to_blocks(kernel)))


def _transpose_by_tiles(x, kernel):
    return _in_place(winograd.correlate(jnp.pad(x, _AROUND), _to_blocks(kernel)))


def _to_blocks(kernel):
    """The kernel from 2x2 pixels to a block, its features: [2, 2, C, 4 F]."""
    n_channels, n_features = kernel.shape[2:]
    taps = jnp.flip(kernel.reshape(2, 2, 2, 2, n_channels, n_features), (1, 3))
    return taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, n_channels, 4 * n_features)


def _in_place(blocks):
    """The pixels of the blocks, [B, H + 1, W + 1, 4 F]: [B, 2H, 2W, F]."""
    batch, rows, columns, _ = blocks.shape
    pixels = blocks.reshape(batch, rows, columns, 2, 2, -1).swapaxes(2, 3)
    return pixels.reshape(batch, 2 * rows, 2 * columns, -1)[:, 1:-1, 1:-1]


def _overlapped(x, kernel):
    """The blocks as sums of what each pixel gives to the four that it touches.

    A convolution to one channel's blocks has four outputs, which XLA:CPU does slowly.
    """
    by_pixel = jnp.flip(kernel, (0, 1)).transpose(2, 0, 1, 3)
    shares = products.matmul(x, by_pixel.reshape(x.shape[3], -1))
    shares = shares.reshape(*x.shape[:3], 2, 2, kernel.shape[3])
    return sum(
        jnp.pad(shares[:, :, :, a, b], ((0, 0), (a, 1 - a), (b, 1 - b), (0, 0)))
        for a in (0, 1)
        for b in (0, 1)
    )


@_unless_kernels_vary(_overlapped)
def _convolved(x, kernel):
    """The blocks by a 2x2 convolution."""
    return products.on_cpu(_by_corners, _by_2x2, x, kernel)


def _by_2x2(x, kernel):
    return lax.conv_general_dilated(
        jnp.pad(x, _AROUND), kernel, (1, 1), "VALID", dimension_numbers=_DIMENSIONS
    )


def _by_corners(x, kernel):
    """The same as one matrix product."""
    return products.matmul(_corners(x), kernel.reshape(-1, kernel.shape[3]))


@products.as_integers
def _corners(x):
    """The four pixels around each corner of a pixel, [B, H + 1, W + 1, 4 C]."""
    x = jnp.pad(x, _AROUND)
    pixels = x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]
    return jnp.concatenate(pixels, 3)


def _by_convolution(x, g):
    kernel = jnp.zeros((4, 4, x.shape[3], g.shape[3]), g.dtype)
    return jax.vjp(lambda kernel: _plain_conv(x, kernel), kernel)[1](g)[0]

"""Winograd's nine products against the sixteen that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from infogan_jax.ops import convolutions, winograd


def plain(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def plain_gradient(x, g):
    zeros = jnp.zeros((2, 2, x.shape[3], g.shape[3]), x.dtype)
    return jax.vjp(lambda kernel: plain(x, kernel), zeros)[1](g)[0]


def arrays(height, width, channels=5, features=4):
    rng, rows, columns = np.random.default_rng(0), height + 1, width + 1
    kernel = 2, 2, channels, features
    shapes = (3, rows, columns, channels), kernel, (3, height, width, features)
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("sides", [(4, 6), (1, 2), (5, 3), (1, 1)])
def test_it_is_the_plain_correlation_for_even_and_odd_sides(sides):
    with jax.enable_x64(True):
        x, kernel, g = arrays(*sides)
        found, expected = winograd.correlate(x, kernel), plain(x, kernel)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        found, expected = winograd.kernel_gradient(x, g), plain_gradient(x, g)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_rounding_error_is_no_more_than_a_few_times_the_plain_one():
    with jax.enable_x64(True):
        x, kernel, g = arrays(8, 8, 64, 64)
        for ours, theirs, arguments in (
            (winograd.correlate, plain, (x, kernel)),
            (winograd.kernel_gradient, plain_gradient, (x, g)),
        ):
            exact = theirs(*arguments)
            rounded = [array.astype("float32") for array in arguments]
            ours, theirs = (np.std(f(*rounded) - exact) for f in (ours, theirs))
            assert 0 < ours < 3 * theirs
            assert ours < 2e-6 * np.std(exact)


def kernels_gradient(x, kernel):
    return jax.grad(lambda kernel: convolutions.strided_conv(x, kernel).sum())(kernel)


@pytest.mark.parametrize(
    ("wide", "side", "multiplications"),
    [
        (convolutions.strided_conv, 16, 8 * 8 * 16),
        (kernels_gradient, 16, 8 * 8 * 16),
        (
            convolutions.conv_transpose,
            15,
            16 * 16 * 4 * 4,
        ),  # Blocks of 2x2 pixels of 2x2 taps.
    ],
)
def test_wide_convolutions_multiply_nine_times_for_sixteen(wide, side, multiplications):
    if jax.default_backend() != "cpu":
        pytest.skip("other backends have forms of their own")
    x, kernel = jnp.zeros((2, side, side, 64)), jnp.zeros((4, 4, 64, 64))
    cost = jax.jit(wide).lower(x, kernel).compile().cost_analysis()
    due = 2 * 2 * multiplications * 64 * 64
    assert cost["flops"] / due == pytest.approx(9 / 16, rel=0.1)


@pytest.mark.parametrize(("channels", "features"), [(32, 31), (31, 32)])
def test_narrow_convolutions_multiply_sixteen_times(channels, features):
    if jax.default_backend() != "cpu":
        pytest.skip("other backends have forms of their own")
    x, kernel = jnp.zeros((2, 15, 15, channels)), jnp.zeros((4, 4, channels, features))
    cost = (
        jax.jit(convolutions.conv_transpose).lower(x, kernel).compile().cost_analysis()
    )
    due = 2 * 2 * 16 * 16 * 4 * 4 * channels * features
    assert cost["flops"] / due == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(
    "fast", [convolutions.strided_conv, convolutions.conv_transpose]
)
def test_a_gpu_has_one_convolution_of_wide_arrays_too(fast):
    x, kernel = jnp.zeros((2, 8, 8, 64)), jnp.zeros((4, 4, 64, 64))
    lowered = jax.jit(fast).trace(x, kernel).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("stablehlo.convolution") == 1
    assert "stablehlo.dot_general" not in lowered.as_text()

"""The fast forms against the plain ones, in float64, wherever they may be used."""

import jax
import jax.numpy as jnp
import numpy as np
import plain
import pytest
from jax import lax

from infogan_jax.ops import convolutions

PAIRS = [
    (plain.conv, convolutions.strided_conv),
    (plain.conv_transpose, convolutions.conv_transpose),
]
N = 3  # seeds, steps or devices


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[(5, 3), (5, 1), (1, 3), (32, 32)], ids="{0[0]}to{0[1]}".format)
def arrays(request):
    """Images and kernels, N of each; 1 and 32 are of forms of their own."""
    channels, features = request.param
    rng = np.random.default_rng(0)
    images = rng.normal(size=(N, 2, 6, 4, channels))
    return images, rng.normal(size=(N, 4, 4, channels, features))


def gradients(conv):
    return jax.grad(lambda x, kernel: (conv(x, kernel) ** 3).sum(), argnums=(0, 1))


def penalty(conv):
    """A gradient penalty's gradient: reverse over reverse."""

    def squared(x, kernel):
        return sum((g**2).sum() for g in gradients(conv)(x, kernel))

    return jax.grad(squared, argnums=(0, 1))


def one_by_one(f, x, kernel):
    each = [f(*pair) for pair in zip(x, kernel, strict=True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def scanned(f, x, kernel):
    return lax.scan(lambda carry, pair: (carry, f(*pair)), 0, (x, kernel))[1]


def jitted(f, x, kernel):
    return one_by_one(jax.jit(f), x, kernel)


def vmapped(f, x, kernel):
    return jax.jit(jax.vmap(f))(x, kernel)


def pmapped(f, x, kernel):
    return jax.pmap(f)(x, kernel)


@pytest.mark.parametrize("way", [jitted, scanned, vmapped, pmapped])
@pytest.mark.parametrize("of", [lambda conv: conv, gradients, penalty])
@pytest.mark.parametrize(("plain", "fast"), PAIRS)
def test_fast_form_is_the_plain_form(plain, fast, of, way, arrays):
    expected, found = one_by_one(of(plain), *arrays), way(of(fast), *arrays)
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", [convolutions._by_patches, convolutions._by_tiles])
def test_all_kernel_gradients_are_the_same(form, arrays):
    x, g = arrays[0][0], np.random.default_rng(1).normal(size=(2, 3, 2, 3))
    np.testing.assert_allclose(
        form(x, g), convolutions._by_convolution(x, g), rtol=1e-9
    )


@pytest.mark.parametrize(
    "fast", [convolutions.strided_conv, convolutions.conv_transpose]
)
@pytest.mark.parametrize("of", [lambda conv: conv, gradients])
@pytest.mark.parametrize(("channels", "features"), [(5, 7), (32, 32)])
def test_seeds_with_kernels_of_their_own_need_no_grouped_convolution(
    channels, features, of, fast
):
    x = jnp.zeros((2, 4, 4, channels))
    kernels = jnp.zeros((N, 4, 4, channels, features))
    for axes, images in ((None, x), (0, jnp.stack([x] * N))):
        together = jax.vmap(of(fast), (axes, 0))
        text = jax.jit(together).lower(images, kernels).as_text()
        assert "stablehlo.convolution" not in text
        assert "stablehlo.dot_general" in text


@pytest.mark.parametrize(("plain", "fast"), PAIRS)
def test_one_kernel_for_all_seeds_is_one_convolution(plain, fast, arrays):
    images, (kernel, *_) = arrays
    expected = jnp.stack([plain(x, kernel) for x in images])
    found = jax.vmap(fast, (0, None))(images, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_odd_sides_are_refused():
    image, kernel = jnp.zeros((1, 7, 8, 1)), jnp.zeros((4, 4, 1, 2))
    for convolve in (
        convolutions.strided_conv,
        jax.grad(lambda *x: convolutions.strided_conv(*x).sum()),
    ):
        with pytest.raises(ValueError, match="even"):
            convolve(image, kernel)

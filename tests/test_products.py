"""Products in bfloat16: against float64, and that XLA:CPU takes them as meant."""

import platform
import re

import jax
import jax.numpy as jnp
import numpy as np
import plain
import pytest
from jax import lax

from infogan_jax.networks import layers
from infogan_jax.ops import convolutions, products

ROUNDING = 2.0**-8  # bfloat16's: half of the last bit, at most
N = 3  # seeds, steps or devices

FORMS = [
    (products.matmul, lambda a, b: a @ b, (24, 40), (40, 16)),
    (products.of_transposed, lambda a, b: a.T @ b, (40, 24), (40, 16)),
]
CONVOLUTIONS = [
    (convolutions.strided_conv, plain.conv),
    (convolutions.conv_transpose, plain.conv_transpose),
]


def draw(*shapes, of=N):
    """N arrays of each shape, whose numbers bfloat16 has exactly."""
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(of, *s)), jnp.bfloat16) for s in shapes]


def gradients(f):
    return jax.grad(lambda a, b: (f(a, b) ** 2).sum() / 2, argnums=(0, 1))


def penalty(f):
    """A gradient penalty's gradient: reverse over reverse."""

    def squared(a, b):
        return sum((g**2).sum() for g in gradients(f)(a, b)) / 2

    return jax.grad(squared, argnums=(0, 1))


def in_float64(f, *arrays):
    """By NumPy's or XLA's plain operation on the same numbers."""
    with jax.enable_x64(True):
        wide = [np.asarray(x, np.float64) for x in arrays]
        each = [jax.tree.leaves(f(*pair)) for pair in zip(*wide, strict=True)]
        return [np.stack(leaves) for leaves in zip(*each, strict=True)]


def jitted(f, a, b):
    each = [jax.tree.leaves(jax.jit(f)(*pair)) for pair in zip(a, b, strict=True)]
    return [jnp.stack(leaves) for leaves in zip(*each, strict=True)]


def scanned(f, a, b):
    return jax.tree.leaves(lax.scan(lambda c, pair: (c, f(*pair)), 0, (a, b))[1])


def vmapped(f, a, b):
    return jax.tree.leaves(jax.jit(jax.vmap(f))(a, b))


def pmapped(f, a, b):
    return jax.tree.leaves(jax.pmap(f)(a, b))


def assert_rounded(found, exact, times):
    """Each number right but for so many roundings of numbers of the usual size."""
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        ours = np.asarray(ours, np.float64)
        size = np.sqrt(np.mean(theirs**2))
        np.testing.assert_allclose(
            ours, theirs, rtol=times * ROUNDING, atol=times * ROUNDING * size
        )


WAYS = pytest.mark.parametrize("way", [jitted, scanned, vmapped, pmapped])


@WAYS
@pytest.mark.parametrize(("form", "plain", "of_a", "of_b"), FORMS)
def test_a_product_is_rounded_once(form, plain, of_a, of_b, way):
    a, b = draw(of_a, of_b)
    for ours, theirs in zip(way(form, a, b), in_float64(plain, a, b), strict=True):
        assert ours.dtype == jnp.bfloat16
        ours = np.asarray(ours, np.float64)
        # Of factors rounded once more it would be further off.
        np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=1e-5)


@WAYS
@pytest.mark.parametrize(("form", "plain", "of_a", "of_b"), FORMS)
@pytest.mark.parametrize("of", [gradients, penalty])
def test_gradients_are_those_of_the_plain_product(of, form, plain, of_a, of_b, way):
    a, b = draw(of_a, of_b)
    assert_rounded(way(of(form), a, b), in_float64(of(plain), a, b), times=3)


@WAYS
@pytest.mark.parametrize(("channels", "features"), [(5, 3), (5, 1), (1, 24)])
@pytest.mark.parametrize("of", [lambda f: f, gradients, penalty])
@pytest.mark.parametrize(("form", "plain"), CONVOLUTIONS)
def test_convolutions_are_the_plain_ones(form, plain, of, channels, features, way):
    x, kernel = draw((2, 6, 4, channels), (4, 4, channels, features))
    # Four: shares of a pixel are rounded, and then summed.
    assert_rounded(way(of(form), x, kernel), in_float64(of(plain), x, kernel), times=4)


@pytest.mark.parametrize(("form", "plain", "of_a", "of_b"), FORMS)
@pytest.mark.parametrize("of", [lambda f: f, gradients])
def test_other_backends_have_the_same_product(of, form, plain, of_a, of_b, monkeypatch):
    def elsewhere(*arrays, default, **ours):
        assert "cpu" in ours
        return default(*arrays)

    monkeypatch.setattr(lax, "platform_dependent", elsewhere)
    a, b = draw(of_a, of_b)
    assert_rounded(jitted(of(form), a, b), in_float64(of(plain), a, b), times=3)


def test_a_bias_learns_from_a_sum_in_float32():
    """Of 4,096 ones bfloat16 would count 256."""
    layer = layers.DownConv(1, kernel_init=jax.nn.initializers.zeros)
    x = jnp.ones((4, 64, 64, 1), jnp.bfloat16)
    params = layer.init(jax.random.key(0), x)
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    gradient = jax.grad(lambda p: layer.apply(p, x).astype(jnp.float32).sum())(half)
    assert gradient["params"]["bias"] == 4 * 32 * 32


def test_float32_is_left_alone():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 2))
    pushed = jax.jvp(lambda a: products.matmul(a, b), (a,), (a,))
    np.testing.assert_array_equal(pushed, (a @ b, a @ b))
    text = jax.jit(products.matmul).lower(a, b).as_text()
    assert "bf16" not in text and "convert" not in text


def multiplied(f, *arrays):
    """The types of the factors of each product in the compiled program."""
    text = jax.jit(f).lower(*arrays).compile().as_text()
    types = dict(re.findall(r"%?([\w.\-]+)(?: =|:) (\w+)\[", text))
    calls = re.findall(r" dot\((?:\S+ )?%([\w.\-]+), (?:\S+ )?%([\w.\-]+)\)", text)
    return [(types[a], types[b]) for a, b in calls]


LARGE = [
    (products.matmul, (128, 256), (256, 64)),
    (products.of_transposed, (256, 128), (256, 64)),
    (convolutions.strided_conv, (8, 16, 16, 32), (4, 4, 32, 64)),
    (convolutions.strided_conv, (8, 16, 16, 1), (4, 4, 1, 64)),
    (convolutions.conv_transpose, (8, 16, 16, 32), (4, 4, 32, 64)),
    (convolutions.conv_transpose, (8, 16, 16, 32), (4, 4, 32, 1)),
]


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="another library of products"
)
@pytest.mark.parametrize("within", [lambda f: f, lambda f: lambda *x: scanned(f, *x)])
@pytest.mark.parametrize(("form", "of_a", "of_b"), LARGE)
def test_the_library_multiplies_bfloat16(form, of_a, of_b, within):
    """What `products` is for; in another order of its operations it is float32."""
    arrays = draw(of_a, of_b, of=1)
    if within(form) is form:
        arrays = [x[0] for x in arrays]
    for f, n in ((form, 1), (gradients(form), 3)):
        found = multiplied(within(f), *arrays)
        assert len(found) == n and set(found) == {("bf16", "bf16")}

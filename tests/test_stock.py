"""D and G as networks: with the library's layers what they are with Flax's own."""

import functools

import contenders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infogan_jax import networks

N = 2  # seeds, steps or devices
# Wide enough for every form of the layers.
ARCHITECTURE = networks.Dcgan((8, 8, 1), width=32, dense=16, init_std=None)
MODULES = ARCHITECTURE.networks(5, 4, None)


def renamed(variables):
    """The library's variables as Flax's layers find them."""
    if not isinstance(variables, dict):
        return variables
    names = {"DownConv": "Conv", "UpConv": "ConvTranspose"}
    return {
        "_".join(names.get(part, part) for part in name.split("_")): renamed(value)
        for name, value in variables.items()
    }


def apply(name, variables, x):
    return MODULES[name].apply(variables, x, train=True, mutable=["batch_stats"])[0]


def penalised_d(variables, images):
    """D's scores and its R1 penalty (Mescheder et al. 2018): reverse over reverse."""

    def score(x):
        return apply("d", variables["d"], apply("trunk", variables["trunk"], x)).sum()

    found, gradient = jax.value_and_grad(score)(images)
    return found + (gradient**2).sum()


def penalised_g(variables, latents):
    """G's images, and how far they move with its input (a path-length penalty)."""

    def drawn(z):
        return (apply("g", variables["g"], z) ** 2).sum()

    found, gradient = jax.value_and_grad(drawn)(latents)
    return found + (gradient**2).sum()


@pytest.fixture(params=[(penalised_d, (8, 8, 1)), (penalised_g, (5,))], ids="DG")
def case(request):
    """A loss, and N of its networks with N batches for them, in float64."""
    loss, shape = request.param
    rng = np.random.default_rng(0)
    of_d = {"trunk": jnp.zeros((2, 8, 8, 1)), "d": jnp.zeros((2, 16))}
    inputs = of_d if loss is penalised_d else {"g": jnp.zeros((2, 5))}
    with jax.enable_x64(True):
        variables = {}
        for name, x in inputs.items():
            init = functools.partial(MODULES[name].init, train=False)
            shapes = jax.eval_shape(init, jax.random.key(0), x)
            variables[name] = jax.tree.map(
                lambda x: jnp.asarray(rng.normal(0, 0.3, (N, *x.shape))), shapes
            )
        yield loss, variables, jnp.asarray(rng.uniform(size=(N, 4, *shape)))


def looped(f, variables, x):
    each = [f(jax.tree.map(lambda v, i=i: v[i], variables), x[i]) for i in range(N)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def scanned(f, *arrays):
    return jax.lax.scan(lambda carry, pair: (carry, f(*pair)), 0, arrays)[1]


def vmapped(f, *arrays):
    return jax.vmap(f)(*arrays)


def pmapped(f, *arrays):
    return jax.pmap(f)(*arrays)


def test_losses_and_their_gradients_are_those_of_stock_flax(case):
    loss, variables, x = case
    with contenders.stock_layers():
        of_flax = jax.jit(jax.value_and_grad(loss))
        expected = looped(of_flax, renamed(variables), x)
    params = [variables["params"] for variables in expected[1].values()]
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(params))
    ours = jax.jit(jax.value_and_grad(loss))
    for way in (looped, scanned, vmapped, pmapped):
        value, gradient = way(ours, variables, x)
        found = value, renamed(gradient)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            largest = float(np.abs(b).max())
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * largest)

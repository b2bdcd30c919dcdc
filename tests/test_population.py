import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax
from infogan_jax import population

N = 3


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(5), N)


@pytest.mark.parametrize("how", ["map", "vmap", None])
def test_each_seed_is_its_single_run(tiny, dataset, keys, how):
    data = jax.device_put(dataset)
    numbers = dict(steps=3, batch_size=16)
    found, metrics = population.train_steps(
        tiny, population.init(tiny, keys), data, keys, how=how, **numbers
    )
    assert metrics["d/NonSaturating"].shape == (N, 3)
    for i, key in enumerate(keys):
        state = infogan_jax.init(tiny, key)
        alone, seen = infogan_jax.train_steps(tiny, state, data, key, **numbers)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
        jax.tree.map(close, population.of_seed(metrics, i), seen)
        jax.tree.map(close, population.of_seed(found, i).nets, alone.nets)


def test_seeds_differ(tiny, keys):
    kernels = population.init(tiny, keys).nets["g"].params["Dense_0"]["kernel"]
    assert not jnp.array_equal(kernels[0], kernels[1])


def test_unknown_way_is_refused(tiny, dataset, keys):
    states = population.init(tiny, keys)
    with pytest.raises(ValueError, match="how must be one of"):
        population.train_steps(
            tiny, states, dataset, keys, steps=1, batch_size=4, how="scan"
        )

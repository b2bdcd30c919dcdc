import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax
from infogan_jax import population

N = 3
# The tests' flags (conftest) may take them away, and with them the last bit of it.
EMITTERS = "xla_cpu_use_fusion_emitters"
AS_USERS = {EMITTERS: True} if EMITTERS in os.environ["XLA_FLAGS"] else {}


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(5), N)


def run(tiny, data, keys, how, steps):
    """The population's states and metrics, and each seed's alone."""

    def compiled(train_steps, **options):
        run = functools.partial(
            train_steps, tiny, steps=steps, batch_size=16, **options
        )
        return jax.jit(run, compiler_options=AS_USERS)

    one = compiled(infogan_jax.train_steps)
    alone = [one(infogan_jax.init(tiny, key), data, key) for key in keys]
    states = population.init(tiny, keys)
    return compiled(population.train_steps, how=how)(states, data, keys), alone


def test_seed_by_seed_is_bitwise_the_single_runs(tiny, dataset, keys):
    together, alone = run(tiny, jax.device_put(dataset), keys, "map", 3)
    assert together[1]["d/NonSaturating"].shape == (N, 3)
    for i, single in enumerate(alone):
        jax.tree.map(
            np.testing.assert_array_equal, population.of_seed(together, i), single
        )


def test_all_seeds_together_are_the_single_runs_to_rounding(tiny, dataset, keys):
    together, alone = run(tiny, jax.device_put(dataset), keys, "vmap", 3)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for i, single in enumerate(alone):
        squares = jax.tree.leaves([opt.nu for opt in single[0].opt.values()])
        # No true gradient is 0, where Adam would follow the rounding.
        assert min(float(nu.min()) for nu in squares) > 1e-8**2
        jax.tree.map(close, population.of_seed(together, i), single)


def test_one_program_serves_fewer_steps_and_donated_states_are_gone(
    tiny, dataset, keys
):
    data, states = jax.device_put(dataset), population.init(tiny, keys)
    go = functools.partial(population.train_steps, batch_size=16, how="map")
    expected, metrics = go(tiny, states, data, keys, steps=2)
    traces = population._donating_train._cache_size()
    found, rows = go(tiny, states, data, keys, steps=2, at_most=3, donate=True)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    for name, row in rows.items():
        np.testing.assert_array_equal(row[:, :2], metrics[name])
        assert row.shape == (N, 3) and not row[:, 2].any()
    assert all(array.is_deleted() for array in jax.tree.leaves(states))
    go(tiny, found, data, keys, steps=1, at_most=3, donate=True)
    assert population._donating_train._cache_size() == traces + 1
    with pytest.raises(ValueError, match="1 .. 3, not 4"):
        go(tiny, expected, data, keys, steps=4, at_most=3)


def test_seeds_differ(tiny, keys):
    kernels = population.init(tiny, keys).nets["g"].params["Dense_0"]["kernel"]
    assert not jnp.array_equal(kernels[0], kernels[1])


def test_images_out_of_range_are_refused_before_jit(tiny, dataset, keys):
    wrong = dataset | {"image": dataset["image"].astype(np.float32)}
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        population.train_steps(
            tiny, population.init(tiny, keys), wrong, keys, steps=1, batch_size=4
        )


def test_unknown_way_is_refused(tiny, dataset, keys):
    states = population.init(tiny, keys)
    with pytest.raises(ValueError, match="how must be one of"):
        population.train_steps(
            tiny, states, dataset, keys, steps=1, batch_size=4, how="scan"
        )


def test_seeds_are_not_counted_from_the_end(tiny, key):
    many = population.init(tiny, jax.random.split(key, 2))
    with pytest.raises(ValueError, match="no seed -1"):
        population.of_seed(many, -1)


def test_images_on_a_device_are_looked_at_too(tiny, dataset, key):
    keys = jax.random.split(key, 2)
    wrong = {"image": jax.numpy.float32(dataset["image"])}
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], not \[0, 2"):
        population.train_steps(
            tiny, population.init(tiny, keys), wrong, keys, steps=1, batch_size=4
        )

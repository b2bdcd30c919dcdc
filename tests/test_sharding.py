"""Arrays on a mesh with explicit axes, which `jax.make_mesh` has by default."""

import functools

import jax
import numpy as np
import pytest

import infogan_jax
from infogan_jax import population

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def mesh():
    kind = jax.sharding.AxisType.Explicit
    return jax.make_mesh((4,), ("x",), axis_types=(kind,))


def split(mesh, tree):
    """The arrays' first axes over the mesh."""
    spec = jax.sharding.PartitionSpec("x")
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, spec))


def is_split(array):
    return array.sharding.shard_shape(array.shape)[0] == array.shape[0] // 4


def test_images_lie_where_their_latents_do(mesh, tiny, state, key):
    images, z, c = infogan_jax.sample(tiny, state, key, 8)
    for latents in ((z, c), (z, split(mesh, c)), (split(mesh, z), split(mesh, c))):
        made = infogan_jax.generate(tiny, state, *latents)
        close(made, images)
        assert is_split(made) == any(map(is_split, latents))
    close(infogan_jax.sample(tiny, state, key, 8, c=split(mesh, c)).images, images)


def test_what_q_reads_lies_where_its_images_do(mesh, tiny, state, batch):
    read = infogan_jax.infer(tiny, state, split(mesh, batch["image"]))
    close(read, infogan_jax.infer(tiny, state, batch["image"]))
    assert is_split(read)


def test_a_dataset_may_be_split(mesh, tiny, state, dataset, key):
    steps = functools.partial(
        infogan_jax.train_steps, tiny, state, key=key, steps=1, batch_size=16
    )
    after, seen = steps(split(mesh, dataset))
    expected = steps(jax.device_put(dataset))
    assert after.step == 1
    for name, value in seen.items():
        np.testing.assert_allclose(value, expected[1][name], rtol=1e-3, err_msg=name)


def test_seeds_are_split_over_a_mesh(mesh, tiny, dataset):
    keys, data = jax.random.split(jax.random.key(5), 4), jax.device_put(dataset)
    train = functools.partial(
        population.train_steps, tiny, steps=1, batch_size=16, how="vmap"
    )
    states = population.init(tiny, split(mesh, keys))
    jax.tree.map(close, states, population.init(tiny, keys))
    after, seen = train(states, data, split(mesh, keys))
    assert all(map(is_split, jax.tree.leaves((states, after, seen))))
    expected = train(population.init(tiny, keys), data, keys)
    jax.tree.map(close, (after.opt, seen), (expected[0].opt, expected[1]))
    jax.tree.map(
        np.testing.assert_array_equal,
        population.of_seed(seen, 2),
        jax.tree.map(lambda array: np.asarray(array)[2], seen),
    )


def test_a_users_vmap_over_split_seeds(mesh, tiny, batch):
    keys = jax.random.split(jax.random.key(5), 4)
    states = jax.eval_shape(functools.partial(population.init, tiny), keys)
    step = jax.vmap(lambda state, key: infogan_jax.step(tiny, state, batch, key))
    placed = split(mesh, population.init(tiny, keys)), split(mesh, keys)
    after, seen = jax.eval_shape(step, *placed)
    assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, states)
    assert {value.shape for value in seen.values()} == {(4,)}

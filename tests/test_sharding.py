"""Arrays on a mesh with explicit axes, which `jax.make_mesh` has by default."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax
from infogan_jax import data, evaluation, latents, population, sharding

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def mesh():
    kind = jax.sharding.AxisType.Explicit
    return jax.make_mesh((4,), ("x",), axis_types=(kind,))


def split(mesh, tree):
    """The arrays' first axes over the mesh."""
    spec = jax.sharding.PartitionSpec("x")
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, spec))


def is_sharded(array):
    return array.sharding.shard_shape(array.shape)[0] == array.shape[0] // 4


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_fresh_state_lies_in_one_place(kind, tiny, key):
    """Or JAX would compile a step for it, and another for what that step returns."""
    kinds = (getattr(jax.sharding.AxisType, kind),)
    with jax.set_mesh(jax.make_mesh((4,), ("x",), axis_types=kinds)):
        fresh = infogan_jax.init(tiny, key)
    places = {(len(x.sharding.device_set), x.committed) for x in jax.tree.leaves(fresh)}
    assert places == {(4, True)}
    without = jax.tree.leaves(infogan_jax.init(tiny, key))
    assert not any(x.committed for x in without)


@pytest.mark.parametrize("kind", ["device", "Auto", "Explicit"])
def test_a_state_lies_where_its_key_was_put(kind, tiny, key):
    """All of it: a counter elsewhere would have the first step compiled twice."""
    where = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    if kind != "device":
        kinds = (getattr(jax.sharding.AxisType, kind),)
        mesh = jax.make_mesh((4,), ("a",), axis_types=kinds)
        where = sharding.replicated(mesh)
    state = infogan_jax.init(tiny, jax.device_put(key, where))
    for x in jax.tree.leaves(state):
        assert x.committed and x.sharding.is_equivalent_to(where, x.ndim)


def test_images_lie_where_their_latents_do(mesh, tiny, state, key):
    images, z, c = infogan_jax.sample(tiny, state, key, 8)
    for given in ((z, c), (z, split(mesh, c)), (split(mesh, z), split(mesh, c))):
        made = infogan_jax.generate(tiny, state, *given)
        close(made, images)
        assert is_sharded(made) == any(map(is_sharded, given))
    close(infogan_jax.sample(tiny, state, key, 8, c=split(mesh, c)).images, images)


def test_what_q_reads_lies_where_its_images_do(mesh, tiny, state, batch):
    read = infogan_jax.infer(tiny, state, split(mesh, batch["image"]))
    close(read, infogan_jax.infer(tiny, state, batch["image"]))
    assert is_sharded(read)


def test_a_dataset_may_be_split(mesh, tiny, state, dataset, key):
    steps = functools.partial(
        infogan_jax.train_steps, tiny, state, key=key, steps=1, batch_size=16
    )
    after, seen = steps(split(mesh, dataset))
    expected = steps(jax.device_put(dataset))
    assert after.step == 1
    for name, value in seen.items():
        np.testing.assert_allclose(value, expected[1][name], rtol=1e-3, err_msg=name)


def test_seeds_are_split_over_a_mesh_and_no_device_waits(mesh, tiny, dataset):
    keys, data = jax.random.split(jax.random.key(5), 4), jax.device_put(dataset)
    train = functools.partial(population.train_steps, tiny, steps=1, batch_size=16)
    states = population.init(tiny, split(mesh, keys))
    jax.tree.map(close, states, population.init(tiny, keys))
    compiled = jax.jit(train).lower(states, data, split(mesh, keys)).compile()
    text = compiled.as_text()
    assert not any(f" {kind}(" in text for kind in COLLECTIVES)
    after, seen = compiled(states, data, split(mesh, keys))
    assert all(map(is_sharded, jax.tree.leaves((states, after, seen))))
    expected = train(population.init(tiny, keys), data, keys, how="vmap")
    jax.tree.map(close, (after.opt, seen), (expected[0].opt, expected[1]))


def test_one_of_split_seeds_is_taken_by_a_number_or_an_array_on_the_mesh(mesh, tiny):
    keys = jax.random.split(jax.random.key(5), 4)
    states = population.init(tiny, split(mesh, keys))
    scores = split(mesh, np.float32([0.1, 0.4, 0.7, 0.2]))
    expected = jax.tree.map(lambda array: array[2], population.init(tiny, keys))
    for index in (2, jnp.argmax(scores)):
        for take in (population.of_seed, jax.jit(population.of_seed)):
            jax.tree.map(close, take(states, index), expected)


def test_a_users_vmap_over_split_seeds(mesh, tiny, batch):
    keys = jax.random.split(jax.random.key(5), 4)
    step = jax.jit(jax.vmap(functools.partial(infogan_jax.step, tiny), (0, None, 0)))
    states = population.init(tiny, split(mesh, keys))
    after, seen = step(states, batch, split(mesh, keys))
    expected = step(population.init(tiny, keys), batch, keys)
    assert all(map(is_sharded, jax.tree.leaves((after, seen))))
    jax.tree.map(close, (after.opt, seen), (expected[0].opt, expected[1]))


def test_a_users_vmap_of_all_that_draws_over_split_seeds(mesh, tiny, dataset):
    keys, space = jax.random.split(jax.random.key(5), 4), data.sprites.Space()
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    states = population.init(tiny, keys)

    def draw(key, state):
        return (
            infogan_jax.init(tiny, key).nets,
            infogan_jax.training.draw(jax.device_put(dataset, whole), key, 0, 4),
            infogan_jax.sample(tiny, state, key, 4, c={0: 2, 1: 0.5}),
            infogan_jax.traverse(tiny, state, key, 1, rows=2, steps=3),
            space.draw(key, 2),
        )

    found = jax.jit(jax.vmap(draw))(split(mesh, keys), split(mesh, states))
    jax.tree.map(close, found, jax.jit(jax.vmap(draw))(keys, states))
    assert all(map(is_sharded, jax.tree.leaves(found[1:])))


def test_one_run_may_begin_on_a_mesh(mesh, tiny, state, key):
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    begun = infogan_jax.init(tiny, jax.device_put(key, whole))
    jax.tree.map(close, begun, state)


def test_all_codes_may_be_set_on_a_mesh(mesh, tiny, state, key):
    values = {0: 1, 1: 0.5}
    whole = jax.device_put(key, sharding.replicated(mesh))
    found = infogan_jax.sample(tiny, state, whole, 8, c=values)
    close(found.images, infogan_jax.sample(tiny, state, key, 8, c=values).images)
    alone = dataclasses.replace(tiny, codes=latents.Product(tiny.codes.parts[:1]))
    fresh = infogan_jax.init(alone, key)
    shown, expected = (
        infogan_jax.traverse(alone, fresh, k, 0, rows=2) for k in (whole, key)
    )
    close(shown, expected)


def test_any_number_of_split_images_is_read(mesh, tiny, state, batch, monkeypatch):
    monkeypatch.setattr(evaluation, "_CHUNKS", (6,))  # Which four devices cannot share.
    read = evaluation.infer_all(tiny, state, split(mesh, batch["image"]))
    close(read, infogan_jax.infer(tiny, state, batch["image"]))


def test_another_axis_may_be_a_shard_maps(tiny, state, key):
    kinds = (jax.sharding.AxisType.Explicit,) * 2
    mesh = jax.make_mesh((2, 2), ("b", "x"), axis_types=kinds)
    images, z, c = infogan_jax.sample(tiny, state, key, 8)
    spec = jax.sharding.PartitionSpec("b")
    made = jax.shard_map(
        functools.partial(infogan_jax.generate, tiny, state),
        mesh=mesh,
        in_specs=(spec, spec),
        out_specs=spec,
        axis_names={"b"},
        check_vma=False,
    )
    placed = jax.device_put((z, c), jax.sharding.NamedSharding(mesh, spec))
    close(jax.jit(made)(*placed), images)


def test_of_two_meshes_one_may_split(mesh, tiny, state, batch):
    read = infogan_jax.infer(tiny, state, batch["image"])
    other = jax.make_mesh((2, 2), ("a", "b"), axis_types=2 * mesh.axis_types)
    whole = jax.device_put(
        state, jax.sharding.NamedSharding(other, jax.sharding.PartitionSpec())
    )
    close(infogan_jax.infer(tiny, whole, split(mesh, batch["image"])), read)
    on_both = (
        split(mesh, np.zeros(4)),
        jax.device_put(
            np.zeros(4),
            jax.sharding.NamedSharding(other, jax.sharding.PartitionSpec("a")),
        ),
    )
    with pytest.raises(ValueError, match="split over several meshes"):
        sharding.with_auto_axes(lambda *x: x, *on_both, out=sharding.replicated)

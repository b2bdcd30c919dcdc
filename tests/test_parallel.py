import dataclasses
import functools
import itertools

import agreement
import jax
import numpy as np
import pytest

import infogan_jax
from infogan_jax import objectives, parallel, training

BACK_ENDS = [infogan_jax.pmap_step, infogan_jax.shard_map_step]


@pytest.fixture(scope="module", params=BACK_ENDS)
def ten_steps(request, tiny, dataset):
    """One device and eight after ten Adam steps on the same 32 images.

    From a state that has begun to learn, and from weights whose leaky ReLUs all bend:
    elsewhere some of the trunk's true gradients are 0 (a shift before a norm), and Adam
    makes full steps of rounding noise.
    """
    config, key = dataclasses.replace(tiny, ema_decay=0.9), jax.random.key(1)
    batch = {name: array[:32] for name, array in dataset.items()}
    one = infogan_jax.init(config, key)
    for _ in range(30):
        one, _ = infogan_jax.train_step(config, one, batch, key)
    squares = jax.tree.leaves([opt.nu for opt in one.opt.values()])
    assert min(float(nu.min()) for nu in squares) > 1e-8**2  # Adam's epsilon
    eight = one
    step = request.param(config)
    for _ in range(10):
        one, seen_by_one = infogan_jax.train_step(config, one, batch, key)
        eight, seen_by_eight = step(eight, batch, key)
    return one, eight, seen_by_one, seen_by_eight


def test_eight_devices_take_the_same_steps_as_one(ten_steps):
    one, eight, *_ = ten_steps
    assert jax.device_count() == 8
    agreement.assert_same_arrays(one, eight)


def test_eight_devices_have_the_optimizer_moments_of_one(ten_steps):
    # Params alone would hide it: Adam forgives gradients that are N times too large.
    one, eight, *_ = ten_steps
    agreement.assert_same_moments(one, eight)


def test_metrics_are_those_of_the_whole_batch(ten_steps):
    *_, one, eight = ten_steps
    for name in one:
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-4, atol=1e-5)


def test_state_comes_back_without_a_device_axis(ten_steps):
    one, eight, *_ = ten_steps
    assert jax.tree.map(np.shape, one) == jax.tree.map(np.shape, eight)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_training_loop_runs_on_eight_devices_as_on_one(
    back_end, tiny, dataset, key, state
):
    # From the second step on, the state that comes in lies on all eight.
    step = back_end(tiny, donate=True)
    losses = []
    for step_fn in (None, step):
        steps = infogan_jax.train(
            tiny, dataset, key, batch_size=16, state=state, step_fn=step_fn
        )
        taken = itertools.islice(steps, 3)
        losses.append([float(metrics["d/NonSaturating"]) for _, metrics in taken])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_terms_on_real_images_are_those_of_the_whole_batch(back_end, tiny, batch, key):
    # Norms couple the examples, so a gradient in one image passes through all devices;
    # so does the mean category.
    apart = dataclasses.replace(tiny.architecture, shared=False)
    terms = objectives.VirtualAdversarial(), objectives.ImageInformation()
    objective = (*tiny.objective, *terms)
    config = dataclasses.replace(tiny, architecture=apart, objective=objective)
    state = infogan_jax.init(config, key)
    _, one = infogan_jax.train_step(config, state, batch, key)
    _, eight = back_end(config)(state, batch, key)
    for name in ("g/VirtualAdversarial", "g/ImageInformation", "g/gradient"):
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-4)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_an_update_waits_on_all_devices(back_end, tiny, batch, key):
    d, g = tiny.updates
    config = dataclasses.replace(tiny, updates=(dataclasses.replace(d, begin=1), g))
    before = infogan_jax.init(config, key)
    step = back_end(config)
    first, seen = step(before, batch, key)
    assert seen["d/NonSaturating"] == 0
    jax.tree.map(np.testing.assert_array_equal, first.nets["d"], before.nets["d"])
    _, seen = step(first, batch, key)
    assert seen["d/NonSaturating"] > 0


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_split_step_may_lie_in_a_jit_and_a_scan_of_ones_own(
    back_end, tiny, state, batch, key
):
    step = back_end(tiny, devices=jax.devices()[:2])
    alone, _ = step(*step(state, batch, key)[:1], batch, key)

    @jax.jit
    def twice(state, batch, key):
        return jax.lax.scan(lambda s, _: step(s, batch, key), state, length=2)

    together, metrics = twice(state, batch, key)
    assert int(together.step) == 2 and metrics["info/0"].shape == (2,)
    agreement.assert_same_arrays(together, alone)
    agreement.assert_same_moments(together, alone)


@pytest.mark.parametrize("checks", [False, True])
@pytest.mark.parametrize("axis", ["x", ("x", "y")])
def test_a_shard_map_of_ones_own_averages_or_is_refused(
    axis, checks, tiny, batch, key, state
):
    step = in_shard_map(tiny, axis, axis, checks)
    if checks:
        with pytest.raises(ValueError, match="give it check_vma=False"):
            step(state, batch, key)
        return
    _, seen = step(state, batch, key)
    _, one = infogan_jax.train_step(tiny, state, batch, key)
    np.testing.assert_allclose(seen["d/gradient"], one["d/gradient"], rtol=1e-3)


@pytest.mark.parametrize(("axis", "over"), [("x", None), (None, "x")])
def test_a_shard_map_that_would_sum_gradients_or_fail_inside_is_refused(
    axis, over, tiny, batch, key, state
):
    """A batch that is whole on every device, and a step of each device's own."""
    step = in_shard_map(tiny, axis, over, True)
    with pytest.raises(ValueError, match="give it check_vma=False"):
        jax.eval_shape(step, state, batch, key)


def in_shard_map(config, axis, over, checks):
    """A step by `axis`, in a `shard_map` that splits the batch `over` axes."""
    mesh = jax.make_mesh(
        (2, 2), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )
    whole, split = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(over)
    return jax.jit(
        jax.shard_map(
            functools.partial(infogan_jax.step, config, axis_name=axis),
            mesh=mesh,
            in_specs=(whole, split, whole),
            out_specs=whole,
            check_vma=checks,
        )
    )


@pytest.mark.parametrize("make", [infogan_jax.pmap_step, infogan_jax.shard_map_step])
def test_a_mesh_of_the_callers_is_not_the_steps(make, tiny, batch, key, state):
    _, one = infogan_jax.train_step(tiny, state, batch, key)
    with jax.set_mesh(jax.make_mesh((4,), ("x",))):
        _, seen = make(tiny, devices=jax.devices()[:4])(state, batch, key)
    np.testing.assert_allclose(seen["d/gradient"], one["d/gradient"], rtol=1e-3)


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_jit_on_a_mesh_of_ones_own_takes_the_steps_of_one_device(
    kind, tiny, batch, key, state
):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType[kind],))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    # Large arrays of the state may be split too.
    places = jax.tree.map(
        lambda x: whole if len(x.shape) < 2 or x.shape[0] % 4 else split, state
    )
    placed = jax.device_put(state, places)

    @jax.jit
    def two_steps(state, batch, key):
        def body(state, _):
            return infogan_jax.step(tiny, state, batch, key)

        return jax.lax.scan(body, state, length=2)

    arguments = placed, jax.device_put(batch, split), jax.device_put(key, whole)
    after, seen = two_steps(*arguments)
    for _ in range(2):
        state, one = infogan_jax.train_step(tiny, state, batch, key)
    np.testing.assert_allclose(seen["d/gradient"][1], one["d/gradient"], rtol=1e-3)
    if kind == "Explicit":
        assert jax.tree.map(jax.typeof, after) == jax.tree.map(jax.typeof, placed)


def test_labels_may_be_none(tiny, state, batch, key):
    unlabelled = batch | {"label": None}
    step = infogan_jax.pmap_step(tiny, devices=jax.devices()[:2])
    after, metrics = jax.eval_shape(step, state, unlabelled, key)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert all(value.shape == () for value in metrics.values())


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_batch_that_does_not_divide_is_refused(back_end, tiny, state, batch, key):
    step = back_end(tiny)
    short = {name: array[:12] for name, array in batch.items()}
    with pytest.raises(ValueError, match="12 images cannot be split over 8"):
        step(state, short, key)


@pytest.mark.parametrize(
    ("batch", "available", "n"), [(128, 8, 8), (12, 8, 6), (7, 4, 1)]
)
def test_largest_number_of_devices_that_divides_the_batch(batch, available, n):
    assert parallel.largest_fit(batch, available) == n


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("donate", [False, True])
def test_a_state_is_given_away_only_where_that_was_asked_for(
    back_end, donate, tiny, state, batch, key
):
    step = back_end(tiny, devices=jax.devices()[:2], donate=donate)
    placed, _ = step(training.copy(state), batch, key)
    step(placed, batch, key)
    assert {x.is_deleted() for x in jax.tree.leaves(placed)} == {donate}


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_step_is_taken_on_the_devices_that_were_named(
    back_end, tiny, state, batch, key
):
    devices = jax.devices()[4:6]
    after, _ = back_end(tiny, devices=devices)(state, batch, key)
    places = {device for x in jax.tree.leaves(after) for device in x.devices()}
    assert places == set(devices)

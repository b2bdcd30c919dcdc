import dataclasses
import functools
import itertools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_equal

import infogan_jax
from infogan_jax import (
    Update,
    checks,
    data,
    descent,
    forward,
    latents,
    networks,
    objectives,
    population,
    schedules,
    training,
)
from infogan_jax.data import sprites
from infogan_jax.networks import layers
from infogan_jax.ops import adam


def assert_close(a, b, tolerance=1e-5):
    close = functools.partial(
        np.testing.assert_allclose, rtol=tolerance, atol=tolerance
    )
    jax.tree.map(close, a, b)


def test_same_key_gives_the_same_step_bit_for_bit(tiny, state, batch, key, stepped):
    again = infogan_jax.train_step(tiny, state, batch, key)
    assert_equal(again, stepped)


def test_another_key_gives_another_step(tiny, state, batch, stepped):
    other, _ = infogan_jax.train_step(tiny, state, batch, jax.random.key(1))
    kernels = [s.nets["g"].params["Dense_0"]["kernel"] for s in (other, stepped[0])]
    assert not jnp.array_equal(*kernels)


def test_equal_configs_compile_once_and_a_steps_own_state_does_too(tiny, batch, key):
    config = dataclasses.replace(tiny, ema_decay=0.99)  # Which no other test steps.
    equal = infogan_jax.Config.from_json(config.to_json())
    state, traces = infogan_jax.init(config, key), training._jitted_step._cache_size()
    for either in (config, equal, equal):
        state, _ = infogan_jax.train_step(either, state, batch, key)
    assert training._jitted_step._cache_size() == traces + 1


def test_state_that_is_passed_in_stays_alive(tiny, state, batch, key):
    infogan_jax.train_step(tiny, state, batch, key)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_state_holds_arrays_only(state):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_same_key_every_step_still_draws_new_latents(tiny, stepped, batch, key):
    # Step 1 on the state of step 0 but for the counter: only the draws differ.
    rewound = stepped[0].replace(step=jnp.zeros((), jnp.int32))
    _, first = infogan_jax.train_step(tiny, rewound, batch, key)
    _, second = infogan_jax.train_step(tiny, stepped[0], batch, key)
    assert first["info/0"] != second["info/0"]


def test_each_draw_of_a_run_has_a_stream_of_its_own(
    tiny, state, batch, dataset, key, monkeypatch
):
    """As the module's docstring says: streams of the step's key."""
    seen = []

    def descend(config, update, state, batch, key, axis_name):
        seen.append((update.name, key))
        return state, {}

    monkeypatch.setattr(descent, "descend", descend)
    training.step(tiny, state.replace(step=jnp.int32(7)), batch, key)
    of_step = jax.random.fold_in(key, 7)
    assert [name for name, _ in seen] == ["d", "g"]
    for stream, (_, found) in enumerate(seen, 1):
        assert found == jax.random.fold_in(of_step, stream)
    drawn = training.draw(dataset, key, 7, 5)
    assert_equal(drawn, data.draw(dataset, jax.random.fold_in(of_step, 0), 5))


def test_the_gradients_norm_is_that_of_all_its_numbers(tiny, stepped):
    # Adam's first means are (1 - beta1) times the gradients.
    for update in tiny.updates:
        means = jax.tree.leaves(stepped[0].opt[update.name].mu)
        flat = np.concatenate([np.ravel(mean) for mean in means]).astype(np.float64)
        norm = np.sqrt((flat**2).sum()) / (1 - update.beta1)
        found = float(stepped[1][f"{update.name}/gradient"])
        assert found == pytest.approx(norm, rel=1e-5)


def test_jax_sees_no_key_used_twice(tiny, state, batch):
    with jax.debug_key_reuse(True):
        key = jax.random.key(8)
        for _ in range(2):
            training.train_step(tiny, state, batch, key)


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class Looking:
    """A term that applies every network to something strange, and teaches nothing."""

    def __call__(self, p):
        loud = p.generate(9 * p.z, p.c).mean() + p.recognise(0 * p.real).mean()
        loud += p.score(0 * p.real).mean()
        return {"d": 0 * loud, "g": 0 * loud}


def test_what_a_term_looks_at_is_in_no_running_statistics(
    tiny, state, batch, key, stepped
):
    config = dataclasses.replace(tiny, objective=(*tiny.objective, Looking()))
    after, _ = infogan_jax.train_step(config, state, batch, key)
    for name, net in stepped[0].nets.items():
        assert_close(after.nets[name].stats, net.stats)


def test_what_a_pass_offers_is_what_it_holds(tiny, state, batch, key):
    keys = forward.example_keys(key, 16)
    batch = batch | {"image": jnp.float32(batch["image"]) / 255}
    p, _ = forward.run(tiny, state.nets, batch, keys, state.step, ())
    np.testing.assert_array_equal(p.label, batch["label"])
    assert_close(p.score(p.real), p.d_real)
    assert_close(p.score(p.fake), p.d_fake)
    assert_close(p.recognise(p.real), p.q_real)
    assert_close(p.generate(p.z, p.c), p.fake)


def test_train_steps_are_the_steps_of_the_loop(tiny, dataset):
    # With key 0 one of the trunk's true gradients is 0, and Adam follows rounding.
    key = jax.random.key(1)
    looped = state = infogan_jax.init(tiny, key)
    losses = []
    for looped, metrics in infogan_jax.train(
        tiny, dataset, key, batch_size=16, state=state
    ):
        losses.append(float(metrics["d/NonSaturating"]))
        if looped.step == 3:
            break
    scanned, metrics = infogan_jax.train_steps(
        tiny, state, jax.device_put(dataset), key, steps=3, batch_size=16
    )
    squares = jax.tree.leaves([opt.nu for opt in scanned.opt.values()])
    assert min(float(nu.min()) for nu in squares) > 1e-8**2  # Adam's epsilon
    np.testing.assert_allclose(metrics["d/NonSaturating"], losses, rtol=1e-5)
    assert_close(scanned.nets, looped.nets)


def test_steps_pass_where_transfers_must_be_asked_for(tiny, dataset, state, key):
    on_device = jax.device_put(dataset)
    with jax.transfer_guard("disallow"):
        first, _ = next(infogan_jax.train(tiny, on_device, key, batch_size=4))
        after, _ = training.train_steps(
            tiny, state, on_device, key, steps=2, batch_size=np.array(4)
        )
    assert first.step == 1 and after.step == 2


def test_a_program_may_close_over_a_dataset_on_its_device(tiny, dataset, state, key):
    on_device = jax.device_put(dataset)
    go = functools.partial(infogan_jax.train_steps, steps=1, batch_size=4)
    program = jax.jit(lambda state, key: go(tiny, state, on_device, key))
    assert program(state, key)[0].step == 1


def test_labels_of_any_integers_are_read_as_int32(tiny, batch):
    few = batch | {"label": np.zeros(len(batch["image"]), np.uint8)}
    assert checks.prepare_batch(tiny, few)["label"].dtype == np.int32


def test_one_program_serves_any_number_of_steps(tiny, dataset, state, key):
    def go(state, steps):
        return infogan_jax.train_steps(
            tiny, state, data, key, steps=steps, batch_size=16, at_most=3
        )

    data = jax.device_put(dataset)
    whole, metrics = go(state, 3)
    programs = training._jitted_steps._cache_size()
    halfway, first = go(state, 2)
    assert_equal(go(halfway, 1)[0], whole)
    assert training._jitted_steps._cache_size() == programs
    loss = "d/NonSaturating"
    assert_equal(first[loss], metrics[loss].at[2].set(0.0))


def test_donated_state_is_gone(tiny, dataset, state, key):
    given = training.copy(state)
    numbers = dict(steps=1, batch_size=16, at_most=3, donate=True)
    infogan_jax.train_steps(tiny, given, jax.device_put(dataset), key, **numbers)
    assert given.nets["g"].params["Dense_0"]["kernel"].is_deleted()


@pytest.mark.parametrize(
    "numbers",
    [
        dict(steps=0, batch_size=16),
        dict(steps=4, at_most=3, batch_size=16),
        dict(steps=1, batch_size=0),
    ],
)
def test_impossible_numbers_of_steps_are_refused(tiny, dataset, state, key, numbers):
    with pytest.raises(ValueError, match="must"):
        infogan_jax.train_steps(tiny, state, dataset, key, **numbers)


def test_bfloat16_computes_in_it_and_keeps_float32(tiny, state, batch, key, stepped):
    half = dataclasses.replace(tiny, compute_dtype="bfloat16")
    program = jax.jit(infogan_jax.step, static_argnums=0).lower(half, state, batch, key)
    lines = program.as_text().splitlines()
    layers = [x for x in lines if "convolution" in x or "dot_general" in x]
    layers = [x for x in layers if "tensor<2xf32>" not in x]  # weights @ information
    assert len(layers) > 20 and all("bf16" in line for line in layers)
    after, metrics = infogan_jax.train_step(half, state, batch, key)
    for before, now in zip(*map(jax.tree.leaves, (state, after)), strict=True):
        assert now.dtype == before.dtype
    loss = "d/NonSaturating"
    assert float(metrics[loss]) == pytest.approx(float(stepped[1][loss]), rel=0.02)
    assert metrics[loss] != stepped[1][loss]


def test_everything_stays_float32_where_a_program_has_turned_on_64_bits(
    tiny, dataset, key
):
    rates = [schedules.Linear(1e-3, 1e-4, 0, 4), schedules.Cosine(1e-3, 4)]
    d, g = (
        dataclasses.replace(update, lr=lr)
        for update, lr in zip(tiny.updates, rates, strict=True)
    )
    weight = schedules.Exponential(1.0, 0.1, 0, 4)
    terms = objectives.NonSaturating(), objectives.MutualInformation(weight=weight)
    codes = (latents.Categorical(2), latents.Bernoulli(), latents.Gaussian())
    config = dataclasses.replace(
        tiny,
        codes=latents.Product((*codes, latents.Uniform())),
        updates=(d, g),
        objective=(*terms, objectives.VirtualAdversarial()),
        ema_decay=0.9,
    )
    with jax.enable_x64(True):
        state = infogan_jax.init(config, key)
        wanted = dict(steps=2, batch_size=4)
        after, metrics = infogan_jax.train_steps(config, state, dataset, key, **wanted)
        images, _, _ = infogan_jax.sample(config, after, key, 3, c={0: 1, 3: 0.5})
        read = infogan_jax.infer(config, after, images)
        swept = infogan_jax.traverse(config, after, key, 2, rows=1, steps=3)
    types = {x.dtype.name for x in jax.tree.leaves((state, after))}
    assert types == {"float32", "int32"}
    made = jax.tree.leaves((metrics, images, read, swept))
    assert {x.dtype.name for x in made} == {"float32"}


def test_the_same_key_draws_the_same_where_a_program_has_turned_on_64_bits(
    tiny, dataset, key
):
    codes = latents.Categorical(3), latents.Bernoulli(2, 0.3), latents.Gaussian()
    codes = latents.Product((*codes, latents.Uniform()))

    def draws():
        keys = jax.random.split(key, 20)
        return (
            infogan_jax.init(dataclasses.replace(tiny, codes=codes), key).nets,
            jax.vmap(codes.sample)(keys),
            jax.vmap(lambda key: objectives.draw_pair(codes, key))(keys),
            layers.dropout(jnp.ones((20, 5), jnp.float32), 0.5, keys, 0),
            data.draw(dataset, key, 5),
            sprites.Space().sample(key, 5),
        )

    expected = draws()
    with jax.enable_x64(True):
        found = draws()
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_bytes_become_floats_in_the_unit_range(tiny, state, batch, key, stepped):
    by_numpy = batch["image"] / np.float32(255)
    np.testing.assert_allclose(checks.to_float(batch["image"]), by_numpy, rtol=1e-6)
    _, metrics = infogan_jax.train_step(tiny, state, batch | {"image": by_numpy}, key)
    expected = float(stepped[1]["d/NonSaturating"])
    assert float(metrics["d/NonSaturating"]) == pytest.approx(expected, rel=1e-5)


def test_batches_and_datasets_of_any_kind_of_mapping_are_taken(
    tiny, state, dataset, batch, key, stepped, tmp_path
):
    after, _ = infogan_jax.train_step(tiny, state, types.MappingProxyType(batch), key)
    assert_equal(after, stepped[0])
    np.savez(tmp_path / "images.npz", **dataset)
    states = population.init(tiny, key[None])
    with np.load(tmp_path / "images.npz") as file:
        for train, begun, own in (
            (training.train_steps, state, key),
            (population.train_steps, states, key[None]),
        ):
            found, expected = (
                train(tiny, begun, images, own, steps=1, batch_size=16)
                for images in (file, dataset)
            )
            assert_equal(found, expected)


def test_labels_are_optional_and_do_not_matter_to_infogan(
    tiny, state, batch, key, stepped
):
    unlabelled = {"image": batch["image"]}
    assert_close(infogan_jax.train_step(tiny, state, unlabelled, key)[0], stepped[0])


def test_an_update_decays_by_its_own_betas(tiny, state, batch, key):
    decays = {"beta1": 0.75, "beta2": 0.96}
    updates = tuple(dataclasses.replace(u, **decays) for u in tiny.updates)
    slower = dataclasses.replace(tiny, updates=updates)
    after, _ = infogan_jax.train_step(slower, state, batch, key)
    for opt in after.opt.values():
        means, squares = (
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(moment)])
            for moment in (opt.mu, opt.nu)
        )
        known = squares > 1e-12  # Of a fresh state: (1 - .75) g and (1 - .96) g**2.
        assert known.sum() > 100
        ratio = means[known] ** 2 / squares[known]
        np.testing.assert_allclose(ratio, 0.25**2 / 0.04, rtol=1e-4)


def test_a_fresh_optimizer_compiles_nothing(caplog):
    odd = {"g": {"kernel": jax.device_put(np.ones((7, 11, 13), np.float32))}}
    with jax.log_compiles():
        found = adam.init(odd)
        assert "XLA compilation" not in caplog.text
        expected = optax.scale_by_adam().init(odd)
        assert "XLA compilation" in caplog.text  # It would be seen.
    assert_equal(found, expected)
    inside = jax.jit(adam.init).lower(odd).as_text()
    assert len(inside) < 5000  # No array of zeros is written into a program.


@pytest.mark.parametrize("size", [1e-8, 1e-3])
def test_adam_is_the_papers_written_out(tiny, size):
    """Two steps; epsilon, 1e-8, outside of the root, counts as much as 1e-8 does."""
    update = dataclasses.replace(tiny.updates[0], nets=("d",), lr=0.1)
    gradients = np.array([[1, -2, 3], [2, 1, -1]]) * size
    params = {"d": {"kernel": jnp.zeros(3, jnp.float32)}}
    opt = adam.init(params)
    expected, mean, square = np.zeros(3), np.zeros(3), np.zeros(3)
    b1, b2 = update.beta1, update.beta2
    for i, gradient in enumerate(gradients, 1):
        grads = {"d": {"kernel": jnp.asarray(gradient, jnp.float32)}}
        norm = optax.tree.norm(grads)
        params, opt = adam.step(params, grads, norm, opt, {"d": 0.1}, b1, b2)
        mean, square = (
            b1 * mean + (1 - b1) * gradient,
            b2 * square + (1 - b2) * gradient**2,
        )
        unbiased = np.sqrt(square / (1 - b2**i))
        expected -= 0.1 * mean / (1 - b1**i) / (unbiased + 1e-8)
        np.testing.assert_allclose(params["d"]["kernel"], expected, rtol=1e-4)


def test_one_bad_gradient_spoils_one_parameter(tiny, state):
    """What is not finite can then be named."""
    (update, *_), nets = tiny.updates, state.nets
    params = {name: nets[name].params for name in update.nets}
    grads = jax.tree.map(jnp.ones_like, params)
    kernel = grads["trunk"]["Dense_0"]["kernel"]
    grads["trunk"]["Dense_0"]["kernel"] = kernel.at[0, 0].set(jnp.nan)
    norm = optax.tree.norm(grads)
    opt = state.opt[update.name]
    moved, _ = adam.step(params, grads, norm, opt, update.rates(0), 0.5, 0.999)
    assert sum(int(jnp.isnan(x).sum()) for x in jax.tree.leaves(moved)) == 1


def test_average_follows_g_and_starts_at_it(tiny, batch, key):
    config = dataclasses.replace(tiny, ema_decay=0.75)
    first = infogan_jax.init(config, key)
    assert_equal(first.ema["g"], first.nets["g"])
    second, _ = infogan_jax.train_step(config, first, batch, key)
    kernel = lambda net: net.params["Dense_0"]["kernel"]  # noqa: E731
    by_hand = 0.75 * kernel(first.nets["g"]) + 0.25 * kernel(second.nets["g"])
    np.testing.assert_allclose(kernel(second.ema["g"]), by_hand, rtol=1e-6, atol=1e-8)


def test_first_adam_step_has_the_length_of_each_nets_rate(tiny, batch, key):
    # Adam's first move is lr * g / (|g| + eps): at most the rate, mostly equal to it.
    updates = (tiny.updates[0], Update("g", ("g", "q"), lr=(1e-2, 1e-4)))
    config = dataclasses.replace(tiny, updates=updates)
    before = infogan_jax.init(config, key)
    after, _ = infogan_jax.train_step(config, before, batch, key)
    for name, rate in (("g", 1e-2), ("q", 1e-4)):
        kernels = [s.nets[name].params["Dense_0"]["kernel"] for s in (before, after)]
        moves = jnp.abs(kernels[1] - kernels[0])
        assert float(moves.max()) == pytest.approx(rate, rel=1e-2)


def later(config, begin):
    """The config whose first update waits for step `begin`."""
    first, *rest = config.updates
    updates = (dataclasses.replace(first, begin=begin), *rest)
    return dataclasses.replace(config, updates=updates)


def test_an_update_waits_for_its_step(tiny, dataset, key):
    waiting = later(tiny, 2)
    assert infogan_jax.Config.from_json(waiting.to_json()) == waiting
    state = before = infogan_jax.init(waiting, key)
    steps = infogan_jax.train(waiting, dataset, key, batch_size=16)
    for state, seen in itertools.islice(steps, 2):
        for name in ("trunk", "d"):
            assert_equal(state.nets[name], before.nets[name])
        assert_equal(state.opt["d"], before.opt["d"])
        assert seen["d/NonSaturating"] == seen["d/gradient"] == 0
        assert seen["g/gradient"] > 0
    # From then on a step is what it is without waiting.
    batch = {name: array[:16] for name, array in dataset.items()}
    found, seen = infogan_jax.train_step(waiting, state, batch, key)
    expected, of_plain = infogan_jax.train_step(tiny, state, batch, key)
    assert_close(found, expected, 1e-4)
    assert_close(seen, of_plain, 1e-4)
    assert seen["d/NonSaturating"] > 0


def test_updates_wait_in_one_dispatch_of_a_population(tiny, dataset, key):
    waiting, data = later(tiny, 2), jax.device_put(dataset)
    keys = jax.random.split(key, 2)
    states = population.init(waiting, keys)
    _, many = population.train_steps(
        waiting, states, data, keys, steps=4, batch_size=16, how="vmap"
    )
    losses = np.asarray(many["d/NonSaturating"])
    assert (losses[:, :2] == 0).all() and (losses[:, 2:] > 0).all()


def test_what_a_waiting_update_has_not_seen_others_have(tiny, stepped, batch, key):
    late = Update("late", ("g",), lr=1e-3, begin=5)
    config = dataclasses.replace(tiny, updates=(*tiny.updates, late))
    state = infogan_jax.init(config, key)
    _, seen = infogan_jax.train_step(config, state, batch, key)
    _, plain = stepped
    assert seen["late/gradient"] == 0
    for name in ("info/0", "info/lower_bound"):
        assert float(plain[name]) != 0
        assert float(seen[name]) == pytest.approx(float(plain[name]), rel=1e-4)


def test_statistics_come_from_the_update_that_has_begun(tiny, batch, key):
    d = Update("d", ("trunk", "d", "q"), lr=2e-4, begin=100)
    config = dataclasses.replace(tiny, updates=(d, tiny.updates[1]))
    before = infogan_jax.init(config, key)
    after, _ = infogan_jax.train_step(config, before, batch, key)
    for stats in zip(
        jax.tree.leaves(before.nets["q"].stats),
        jax.tree.leaves(after.nets["q"].stats),
        strict=True,
    ):
        assert not np.array_equal(*stats)
    other = batch | {"image": 255 - batch["image"]}
    again, _ = infogan_jax.train_step(config, before, other, key)
    assert_close(again.nets["q"].stats, after.nets["q"].stats)  # of fakes alone


def test_of_two_updates_the_first_writes_the_statistics(tiny, stepped, batch, key):
    d, g = tiny.updates
    both = dataclasses.replace(g, nets=("g", "q", "trunk"))
    config = dataclasses.replace(tiny, updates=(d, both))
    after, _ = infogan_jax.train_step(config, infogan_jax.init(config, key), batch, key)
    assert_close(after.nets["trunk"].stats, stepped[0].nets["trunk"].stats)


def test_accuracy_is_the_share_of_ds_right_judgements(tiny, state, batch, key):
    for bias, share in ((1.0, 0.5), (-1.0, 0.5), (0.0, 0.0)):
        params = jax.tree.map(jnp.zeros_like, state.nets["d"].params)
        params["Dense_0"]["bias"] += bias
        nets = state.nets | {"d": state.nets["d"].replace(params=params)}
        _, seen = infogan_jax.train_step(tiny, state.replace(nets=nets), batch, key)
        assert float(seen["d/accuracy"]) == share


def test_a_fresh_g_has_a_fresh_average(tiny, batch, key):
    d, g = tiny.updates
    updates = (d, dataclasses.replace(g, restart=1))
    config = dataclasses.replace(tiny, updates=updates, ema_decay=0.5)
    old, _ = infogan_jax.train_step(config, infogan_jax.init(config, key), batch, key)
    new, _ = infogan_jax.train_step(config, old, batch, key)
    fresh = infogan_jax.init(
        config, jax.random.fold_in(jax.random.fold_in(key, 2**31), 1)
    )
    expected = jax.tree.map(
        lambda a, b: 0.5 * a + 0.5 * b, fresh.nets["g"], new.nets["g"]
    )
    assert_close(new.ema["g"], expected)


def test_a_fresh_d_leaves_the_average_of_g(tiny, batch, key):
    d, g = tiny.updates
    updates = (dataclasses.replace(d, restart=1), g)
    config = dataclasses.replace(tiny, updates=updates, ema_decay=0.5)
    old, _ = infogan_jax.train_step(config, infogan_jax.init(config, key), batch, key)
    new, _ = infogan_jax.train_step(config, old, batch, key)
    averaged = jax.tree.map(lambda a, b: 0.5 * a + 0.5 * b, old.ema["g"], new.nets["g"])
    assert_close(new.ema["g"], averaged)


def test_trunks_statistics_follow_the_real_images(state, batch, stepped):
    # By NumPy: SAME padding of a 4x4 stride-2 convolution is one pixel on each side.
    params = state.nets["trunk"].params
    x = batch["image"] / np.float32(255)
    for layer in ("DownConv_0", "DownConv_1"):
        kernel = np.asarray(params[layer]["kernel"])
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (1, 2))
        x = np.einsum("bhwcij,ijcf->bhwf", windows[:, ::2, ::2], kernel)
        x = x + np.asarray(params[layer].get("bias", 0))
        if layer == "DownConv_0":
            x = np.where(x > 0, x, 0.1 * x)
    found = stepped[0].nets["trunk"].stats["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, 0.1 * x.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_metrics_have_the_documented_names(stepped):
    assert set(stepped[1]) == {
        "d/NonSaturating",
        "g/NonSaturating",
        "g/MutualInformation",
        "info/0",
        "info/1",
        "info/lower_bound",
        "d/accuracy",
        "d/gradient",
        "g/gradient",
        "g/spread",
    }


def test_spread_is_how_far_a_pixel_strays_from_its_mean():
    images = np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype(np.float32)
    expected = math.sqrt(((images - images.mean(0)) ** 2).mean())
    assert float(descent._spread(images, None)) == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_two_teaches_and_one_of_one_is_refused(tiny, state, batch, key):
    few = [{name: array[:n] for name, array in batch.items()} for n in (1, 2)]
    with pytest.raises(ValueError, match="batch of 1 image; use at least 2"):
        infogan_jax.train_step(tiny, state, few[0], key)
    _, metrics = infogan_jax.train_step(tiny, state, few[1], key)
    assert float(metrics["d/gradient"]) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(np.int32), "int32"),
        (lambda x: x / 255.0, "float64"),
        (lambda x: x[..., 0], "do not fit"),
        (lambda x: x[:, :4], "do not fit"),
        (lambda x: x.astype(np.float32), r"\[0, 1\]"),
        (lambda x: x / np.float32(255) - 1, r"\[0, 1\]"),
        (lambda x: x * np.float32("nan"), r"\[0, 1\]"),
    ],
)
def test_wrong_images_are_refused(tiny, state, batch, key, change, message):
    wrong = batch | {"image": change(batch["image"])}
    with pytest.raises(ValueError, match=message):
        infogan_jax.train_step(tiny, state, wrong, key)


def test_labels_of_another_length_are_refused(tiny, state, batch, key):
    with pytest.raises(ValueError, match="label"):
        infogan_jax.train_step(tiny, state, batch | {"label": np.zeros(3)}, key)


def test_batch_size_of_zero_is_refused(tiny, dataset, key):
    with pytest.raises(ValueError, match="batch_size"):
        next(infogan_jax.train(tiny, dataset, key, batch_size=0))


@dataclasses.dataclass(frozen=True)
class Misdirected:
    mistake: str

    def __call__(self, p):
        return {
            "another update": {"generator": p.fake.mean()},
            "each image's": {"d": p.d_real},
            "bare": p.fake.mean(),
            "none": None,
        }[self.mistake]


@pytest.mark.parametrize(
    "mistake, message",
    [
        ("another update", r"Misdirected has a loss for \['generator'\]"),
        ("each image's", r"has a loss of shape \(16,\) for update 'd'; give a scalar"),
        ("bare", "gives a .*Tracer, not a dict"),
        ("none", "gives a NoneType, not a dict .* such as {'d': loss}"),
    ],
)
def test_a_terms_mistake_is_told_by_its_name(tiny, state, batch, key, mistake, message):
    config = dataclasses.replace(tiny, objective=(Misdirected(mistake),))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: infogan_jax.step(config, state, batch, key))


def test_terms_and_dropout_draw_apart_from_what_is_drawn_elsewhere(tiny, key):
    dense = networks.Mlp(tiny.image_shape, g_widths=(8,), d_widths=(32,), dropout=0.5)
    config = dataclasses.replace(tiny, architecture=dense)
    nets, keys = infogan_jax.init(config, key).nets, forward.example_keys(key, 16)
    step, blank = jnp.int32(0), jnp.zeros((16, *tiny.image_shape), jnp.float32)
    p, _ = forward.run(config, nets, {"image": blank}, keys, step, ())
    for latent, drawn in ((config.noise, p.z), (config.codes, p.c)):
        again = jax.vmap(latent.sample)(p.keys)
        assert not (again == drawn).all(1).any()
    same, _ = forward.run(config, nets, {"image": p.fake}, keys, step, ())
    assert not np.isclose(same.d_real, same.d_fake).any()  # Other masks, same images.


def test_a_report_draws_by_a_key_of_which_no_step_makes_use(key):
    found = training.report_key(key)
    assert found == jax.random.fold_in(key, 2**31 + 1) and found != key

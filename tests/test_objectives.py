import contextlib
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import differs

import infogan_jax
from infogan_jax import Update, latents, networks, objectives, schedules

NonSaturating = objectives.NonSaturating
MutualInformation = objectives.MutualInformation
ImageInformation = objectives.ImageInformation
VirtualAdversarial = objectives.VirtualAdversarial


def scores(real, fake):
    """A Pass with nothing but D's logits."""
    names = {field.name for field in dataclasses.fields(objectives.Pass)}
    empty = dict.fromkeys(names)
    real, fake = jnp.array(real), jnp.array(fake)
    return objectives.Pass(**empty | {"d_real": real, "d_fake": fake, "d_fooled": fake})


def test_adversarial_losses_have_their_hand_values():
    # D(x) = 3/4 and D(G) = 1/4: the logits are ln 3 and -ln 3.
    p = scores([math.log(3)], [-math.log(3)])
    assert NonSaturating()(p)["d"] == pytest.approx(-2 * math.log(3 / 4), rel=1e-6)
    assert NonSaturating()(p)["g"] == pytest.approx(-math.log(1 / 4), rel=1e-6)
    assert objectives.Minimax()(p)["g"] == pytest.approx(math.log(3 / 4), rel=1e-6)
    assert objectives.Minimax()(p)["d"] == NonSaturating()(p)["d"]


@pytest.mark.parametrize("term", [NonSaturating(), objectives.Minimax()])
def test_losses_are_finite_at_extreme_logits(term):
    losses = term(scores([-1e4, 1e4], [1e4, -1e4]))
    assert all(np.isfinite(loss) for loss in losses.values())


def channel(seed):
    """A channel c -> x with 4 symbols to 6, its joint table, and I(c; x) by summing."""
    conditional = np.random.default_rng(seed).dirichlet(np.ones(6), size=4)
    joint = conditional / 4
    independent = np.outer(joint.sum(1), joint.sum(0))
    return joint, (joint * np.log(joint / independent)).sum()


def expected_bound(joint, posterior):
    """L_I of a Q with this table of posteriors [x, c], exactly."""
    codes = latents.Product((latents.Categorical(4),))
    q = jnp.log(jnp.asarray(posterior))
    logs = np.array(
        [[codes.log_q(q[x : x + 1], jnp.eye(4)[c : c + 1])[0, 0] for x in range(6)]
         for c in range(4)]
    )  # fmt: skip
    return (joint * logs).sum() + codes.entropy()[0]


@pytest.mark.parametrize("seed", range(3))
def test_bound_reaches_the_information_only_with_the_exact_posterior(seed):
    with jax.enable_x64(True):
        joint, information = channel(seed)
        posterior = (joint / joint.sum(0)).T
        assert expected_bound(joint, posterior) == pytest.approx(information, rel=1e-6)
        others = np.random.default_rng(seed).dirichlet(np.ones(4), (8, 6))
        for share in (1.0, 0.1, 0.01):
            for other in (1 - share) * posterior + share * others:
                # By Gibbs' inequality it loses the divergence, of the share's square.
                assert expected_bound(joint, other) < information - share**2 * 1e-3


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e30])
@pytest.mark.parametrize("code", [latents.Categorical(10), latents.Bernoulli(10, 0.3)])
def test_bound_of_a_discrete_code_never_passes_its_entropy(code, scale):
    """Of logits that agree with the codes, and of any others."""
    codes, keys = latents.Product((code,)), jax.random.split(jax.random.key(0), 2000)
    c = jax.vmap(codes.sample)(keys)
    for logits in (2 * c - 1, jax.random.normal(keys[0], c.shape)):
        found = codes.information(scale * logits, c)[0]
        assert found <= code.entropy() + 1e-5  # log Q is never above 0.


def moved(config, batch, key):
    """The networks whose params one step moves."""
    before = infogan_jax.init(config, key)
    after, _ = infogan_jax.train_step(config, before, batch, key)

    def changed(name):
        return differs(before.nets[name].params, after.nets[name].params)

    return {name for name in before.nets if changed(name)}


D, G = ("trunk", "d"), ("g", "q")


@pytest.mark.parametrize(
    ("d_nets", "g_nets", "objective", "expected"),
    [
        (D, G, (NonSaturating(), MutualInformation()), {"trunk", "d", "g", "q"}),
        (D, G, (NonSaturating(),), {"trunk", "d", "g"}),
        (D, G, (MutualInformation(),), {"g", "q"}),
        (D, (*G, "trunk"), (MutualInformation(),), {"g", "q", "trunk"}),
        (
            D,
            G,
            (ImageInformation(), MutualInformation(updates=("d",))),
            {"trunk", "q"},
        ),
        (D, G, (MutualInformation(updates=("d", "g")),), {"trunk", "g", "q"}),
        (
            (*D, "q"),
            ("g",),
            (MutualInformation(updates=("d", "g")),),
            {"trunk", "g", "q"},
        ),
        (D, G, (objectives.Recognition(),), {"q"}),
        (D, G, (VirtualAdversarial(),), {"q"}),
        (D, (*G, "trunk"), (VirtualAdversarial(),), {"q", "trunk"}),
        (D, G, (ImageInformation(),), {"q"}),
        # Taught in D's update, where Q is, and not in G's.
        (("d", "q"), ("g", "trunk"), (objectives.Recognition(update="d"),), {"q"}),
        ((*D, "q"), ("g",), (VirtualAdversarial(updates=("d",)),), {"trunk", "q"}),
        ((*D, "q"), ("g",), (ImageInformation(updates=("d",)),), {"trunk", "q"}),
    ],
)
def test_a_step_moves_exactly_what_the_configuration_names(
    tiny, batch, key, d_nets, g_nets, objective, expected
):
    updates = (Update("d", d_nets, lr=1e-2), Update("g", g_nets, lr=1e-2))
    dense = networks.Mlp(
        image_shape=tiny.image_shape, g_widths=(8,), d_widths=(8,), dropout=0.0
    )  # Its programs are small.
    config = dataclasses.replace(
        tiny, architecture=dense, updates=updates, objective=objective
    )
    assert moved(config, batch, key) == expected


def test_separate_q_leaves_the_trunk_alone(tiny, batch, key):
    apart = dataclasses.replace(tiny.architecture, shared=False)
    updates = (Update("d", D, lr=1e-2), Update("g", (*G, "trunk"), lr=1e-2))
    config = dataclasses.replace(
        tiny, architecture=apart, updates=updates, objective=(MutualInformation(),)
    )
    assert moved(config, batch, key) == {"g", "q"}


@pytest.mark.parametrize("game", [NonSaturating(), objectives.Minimax()])
def test_trunk_and_d_never_learn_to_be_fooled(game, tiny, batch, key):
    updates = (Update("g", ("g", "trunk", "d"), lr=1e-2),)
    config = dataclasses.replace(tiny, updates=updates, objective=(OnlyG(game),))
    assert moved(config, batch, key) == {"g"}


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class OnlyG:
    """A user's own term: the generator's half of another."""

    term: object

    def __call__(self, p):
        return {"g": self.term(p)["g"]}


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class Slope:
    """A user's own: how steep a network of its own is at real images."""

    is_counted: bool

    def networks(self, config, axis_name):
        return {"h": config.architecture.pair_network(1, axis_name)}

    def input_shapes(self, config):
        return {"h": (config.image_shape,)}

    def __call__(self, p):
        if self.is_counted:
            p.apply("h", p.real)
        slope = jax.grad(lambda x: p.apply("h", x).sum())(p.real)
        return {"h": (slope**2).sum((1, 2, 3)).mean()}


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_term_may_differentiate_through_its_own_network(tiny, batch, key, is_counted):
    updates = (Update("h", ("h",), lr=1e-2),)
    config = dataclasses.replace(tiny, updates=updates, objective=(Slope(is_counted),))
    state = infogan_jax.init(config, key)
    after, metrics = infogan_jax.train_step(config, state, batch, key)
    before, h = state.nets["h"], config.networks()["h"]

    @jax.jit
    def total(x):
        variables = {"params": before.params, **before.stats}
        return h.apply(variables, x, train=True, mutable=["batch_stats"])[0].sum()

    # Central differences in random directions: their mean square is the slope's.
    x = np.float32(batch["image"] / 255)
    ways = np.float32(np.random.default_rng(0).normal(size=(300, *x.shape)))
    rises = [(total(x + 1e-3 * way) - total(x - 1e-3 * way)) / 2e-3 for way in ways]
    found = metrics["h/Slope"] * len(x)
    assert found == pytest.approx(np.square(rises).mean(), rel=0.25)
    # Its statistics are those of the call outside of the gradient, if there is one.
    assert differs(before.stats, after.nets["h"].stats) == is_counted


def flops(config, batch, key, devices):
    """Of one compiled step on each device; mapped if there are several."""
    state = infogan_jax.init(config, key)
    if devices == 1:
        step = jax.jit(infogan_jax.step, static_argnums=0)
        return step.lower(config, state, batch, key).compile().cost_analysis()["flops"]
    step = functools.partial(infogan_jax.step, config, axis_name="batch")
    step = jax.pmap(
        step,
        axis_name="batch",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=jax.devices()[:devices],
    )
    split = {name: np.stack([array] * devices) for name, array in batch.items()}
    return step.lower(state, split, key).compile().cost_analysis()["flops"]


@pytest.mark.parametrize("devices", [1, 2])
def test_trunk_in_both_updates_costs_no_second_forward(tiny, batch, key, devices):
    # d_fake and d_fooled are equal programs; XLA must merge them, mapped or not.
    def cost(g_nets):
        updates = (Update("d", D, lr=1e-2), Update("g", g_nets, lr=1e-2))
        return flops(dataclasses.replace(tiny, updates=updates), batch, key, devices)

    # Learning L_I apart from fooling D adds the trunk's weight gradients, as much as a
    # forward, and a second way back to the images, with one more block per side than
    # there are pixels; a forward that is done twice would add as much again.
    forward = 16 * 2 * (4 * 4 * 16 * 4 + 2 * 2 * 4 * 16 * 8 + 32 * 16)
    way_back = 16 * 2 * (5 * 5 * 16 * 4 + 3 * 3 * 4 * 16 * 8 + 32 * 16)
    assert cost((*G, "trunk")) - cost(G) < forward + way_back + forward / 2


@pytest.mark.parametrize("weight", [(1.0,), (1.0, 1.0, 1.0), -1.0, (1.0, -0.1)])
def test_weights_that_do_not_fit_the_codes_are_refused(tiny, weight):
    with pytest.raises(ValueError, match="weight"):
        dataclasses.replace(tiny, objective=(MutualInformation(weight=weight),))


def test_term_that_teaches_an_unknown_update_is_refused(tiny):
    with pytest.raises(ValueError, match="updates are"):
        dataclasses.replace(tiny, objective=(MutualInformation(updates=("G",)),))


@pytest.mark.parametrize("term", [MutualInformation(), objectives.Recognition()])
def test_a_q_that_nobody_teaches_is_refused(tiny, term):
    # Q is listed, but in an update in which no term reads it.
    updates = (Update("d", (*D, "q"), lr=1e-2), Update("g", ("g",), lr=1e-2))
    objective = (objectives.NonSaturating(), term)
    with pytest.raises(ValueError, match="lists? 'q'"):
        dataclasses.replace(tiny, updates=updates, objective=objective)


@pytest.mark.parametrize("teaches_q", [False, True])
def test_a_term_of_ones_own_may_say_that_it_teaches_q_nothing(tiny, teaches_q):
    class Game(NonSaturating):
        pass

    Game.teaches_q = teaches_q
    updates = (Update("d", (*D, "q"), lr=1e-2), Update("g", ("g",), lr=1e-2))
    refused = pytest.raises(ValueError, match="lists 'q'")
    with contextlib.nullcontext() if teaches_q else refused:
        dataclasses.replace(
            tiny, updates=updates, objective=(Game(), MutualInformation())
        )


@pytest.mark.parametrize(
    ("update", "name"), [("g", "spread"), ("g", "gradient"), ("info", "lower_bound")]
)
def test_a_loss_cannot_hide_behind_another_metric(
    tiny, state, batch, key, update, name
):
    named = MutualInformation(updates=(update,), name=name)
    updates = (*tiny.updates, Update("info", ("g", "q"), lr=1e-3))
    config = dataclasses.replace(tiny, objective=(named,), updates=updates)
    fresh = jax.eval_shape(functools.partial(infogan_jax.init, config), key)
    with pytest.raises(ValueError, match=f"another metric, {update}/{name}; give"):
        jax.eval_shape(functools.partial(infogan_jax.step, config), fresh, batch, key)


def test_pairs_teach_no_q_even_where_their_update_lists_it(tiny):
    updates = (*(Update(name, (name,), lr=1e-2) for name in "dg"),)
    updates += (Update("h", ("h", "q"), lr=1e-2),)
    objective = (*tiny.objective, objectives.ContrastivePairs())
    with pytest.raises(ValueError, match="lists 'q'"):
        dataclasses.replace(tiny, updates=updates, objective=objective)


def test_a_q_that_another_term_teaches_is_taken(tiny):
    updates = (Update("d", (*D, "q"), lr=1e-2), Update("g", ("g",), lr=1e-2))
    images = objectives.ImageInformation(updates=("d",))
    dataclasses.replace(tiny, updates=updates, objective=(*tiny.objective, images))


def test_recognition_is_refused_where_it_would_teach_the_trunk(tiny):
    updates = (Update("d", ("d",), lr=1e-2), Update("g", (*G, "trunk"), lr=1e-2))
    with pytest.raises(ValueError, match="trunk"):
        dataclasses.replace(
            tiny, updates=updates, objective=(objectives.Recognition(),)
        )


def read_by(weights, images, key):
    """A Pass of real images and a Q whose logits are linear in them."""

    def recognise(images):
        return jnp.einsum("bhwc,hwcn->bn", images, weights)

    empty = dict.fromkeys(field.name for field in dataclasses.fields(objectives.Pass))
    return objectives.Pass(
        **empty
        | {
            "codes": latents.Product((latents.Categorical(weights.shape[-1]),)),
            "step": jnp.int32(3),
            "keys": jax.random.split(key, len(images)),
            "real": images,
            "q_real": recognise(images),
            "recognise": recognise,
        }
    )


@pytest.mark.parametrize("radius", [0.1, 4.0])
def test_the_worst_shift_of_a_linear_q_of_two_categories_is_along_their_difference(
    radius, key
):
    # The log-odds l are linear, so the worst shift moves them by radius * |w0 - w1|, up
    # or down; which one of the two depends on where the power iteration begins.
    key_weights, key_image = jax.random.split(key)
    weights = jax.random.normal(key_weights, (3, 3, 1, 2)) / 3
    image = jax.random.uniform(key_image, (1, 3, 3, 1))
    w, x = np.asarray(weights, float), np.asarray(image, float)[0]
    difference = w[..., 0] - w[..., 1]
    odds, move = (difference * x).sum(), radius * np.sqrt((difference**2).sum())

    def divergence(of, to):
        a, b = 1 / (1 + np.exp(-of)), 1 / (1 + np.exp(-to))
        return a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))

    expected = [2 * divergence(odds, odds + sign * move) for sign in (-1, 1)]
    term, found = VirtualAdversarial(weight=2.0, radius=radius), set()
    for k in jax.random.split(key, 8):
        loss = float(term(read_by(weights, image, k))["g"])
        found |= {i for i in (0, 1) if loss == pytest.approx(expected[i], rel=2e-3)}
        assert any(loss == pytest.approx(value, rel=2e-3) for value in expected)
    assert found == {0, 1}


def test_a_q_that_reads_nothing_is_smooth(key):
    p = read_by(jnp.zeros((3, 3, 1, 4)), jnp.ones((2, 3, 3, 1)), key)
    loss, gradient = jax.value_and_grad(lambda w: VirtualAdversarial(w)(p)["g"])(1.0)
    assert loss == gradient == 0


def test_the_worst_shift_is_worse_than_any_of_as_many_at_random(key):
    weights, images = jax.random.normal(key, (4, 4, 1, 5)), jnp.zeros((6, 4, 4, 1))
    p = read_by(weights, images, key)
    worst = VirtualAdversarial(radius=0.5)(p)["g"]
    for k in jax.random.split(key, 100):
        shift = jax.random.normal(k, images.shape)
        shift = (
            0.5
            * shift
            / jnp.linalg.norm(shift.reshape(6, -1), axis=1).reshape(6, 1, 1, 1)
        )
        q = jax.nn.log_softmax(p.recognise(images + shift))
        assert worst > (jnp.log(1 / 5) - q).mean()


def test_the_radius_may_depend_on_the_step(key):
    weights, images = jax.random.normal(key, (3, 3, 1, 4)), jnp.ones((2, 3, 3, 1))
    p = read_by(weights, images, key)
    falling = VirtualAdversarial(radius=schedules.Linear(2.0, 0.5, 0, 10))
    for step, radius in ((0, 2.0), (5, 1.25), (20, 0.5)):
        found = falling(dataclasses.replace(p, step=jnp.int32(step)))["g"]
        expected = VirtualAdversarial(radius=radius)(p)["g"]
        assert found == pytest.approx(float(expected), rel=1e-6)


def test_a_long_probe_sees_past_where_a_sure_q_is_flat(key):
    # Log-odds 60 w.x: at x = 1 Q is so sure that float32 has no gradient near by, and
    # at the far end of a long step it has one.
    weights = jnp.zeros((1, 1, 1, 2)).at[..., 1].set(60.0)
    p = read_by(weights, jnp.ones((1, 1, 1, 1)), key)
    near, far = (
        [
            float(VirtualAdversarial(radius=1.5, probe=probe)(read)["g"])
            for read in (
                dataclasses.replace(p, keys=jax.random.split(k, 1))
                for k in jax.random.split(key, 8)
            )
        ]
        for probe in (0.1, 10.0)
    )
    # The shift of length 1.5 to x = -0.5 costs 30 nats, the other way nothing.
    assert max(near) == pytest.approx(0.0, abs=1e-6)
    assert max(far) == pytest.approx(30.0, rel=1e-4)


def test_information_on_images_is_the_sum_over_categorical_codes(key):
    images = jax.random.uniform(key, (4, 3, 3, 1))
    weights = jax.random.normal(key, (3, 3, 1, 5))

    def found(codes, weights):
        p = read_by(weights, images, key)
        codes = latents.Product(tuple(map(latents.Categorical, codes)))
        p = dataclasses.replace(p, codes=codes, mean=lambda x: x.mean(0))
        return float(ImageInformation()(p)["g"])

    each = found([2], weights[..., :2]) + found([3], weights[..., 2:])
    assert found([2, 3], weights) == pytest.approx(each, rel=1e-5)


def test_information_on_images_is_that_of_the_joint_table(key):
    # Four equally likely images and their posteriors: I(c; x) by summing the joint.
    joint = np.random.default_rng(0).dirichlet(np.ones(3), size=4) / 4
    independent = np.outer(joint.sum(1), joint.sum(0))
    expected = (joint * np.log(joint / independent)).sum()
    p = read_by(jnp.zeros((1, 1, 1, 3)), jnp.ones((4, 1, 1, 1)), key)
    p = dataclasses.replace(
        p, q_real=jnp.log(4 * joint) + 7, mean=lambda values: values.mean(0)
    )
    found = ImageInformation(weight=2.0)(p)["g"]
    assert found == pytest.approx(-2 * expected, rel=1e-5)
    # The balance counts the entropy of the mean category once more for each unit.
    entropy = -(joint.sum(0) * np.log(joint.sum(0))).sum()
    found = ImageInformation(weight=2.0, balance=4.0)(p)["g"]
    assert found == pytest.approx(-2 * (expected + 3 * entropy), rel=1e-5)
    # As a schedule: from 8 to 4 over four updates, so 5 at the third.
    falling = schedules.Linear(8.0, 4.0, begin=0, finish=4)
    at_three = dataclasses.replace(p, step=jnp.int32(3))
    found = ImageInformation(weight=2.0, balance=falling)(at_three)["g"]
    assert found == pytest.approx(-2 * (expected + 4 * entropy), rel=1e-5)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (ImageInformation(weight=-1.0), "weight"),
        (ImageInformation(balance=-1.0), "balance"),
        (ImageInformation(balance=float("nan")), "balance"),
        (ImageInformation(updates=("q",)), "updates are"),
        (VirtualAdversarial(weight=-1.0), "weight"),
        (VirtualAdversarial(weight=(1.0, 1.0)), "weight"),
        (VirtualAdversarial(radius=0.0), "radius"),
        (VirtualAdversarial(probe=0.0), "probe"),
        (VirtualAdversarial(updates=("q",)), "updates are"),
    ],
)
def test_terms_on_real_images_that_cannot_work_are_refused(tiny, term, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny, objective=(MutualInformation(), term))


@pytest.mark.parametrize("term", [ImageInformation(), VirtualAdversarial()])
def test_terms_on_real_images_need_categories(tiny, term):
    codes = latents.Product((latents.Uniform(),))
    with pytest.raises(ValueError, match="categorical"):
        dataclasses.replace(tiny, codes=codes, objective=(term,))


def test_rates_and_weights_follow_their_schedules_code_by_code(tiny, state, batch, key):
    d, g = tiny.updates
    g = dataclasses.replace(g, lr=schedules.Switch(0.0, 1e-3, at=1))
    term = MutualInformation(weight=(schedules.Switch(2.0, 1.0, at=1), 0.5))
    config = dataclasses.replace(tiny, updates=(d, g), objective=(term,))
    names = "info/0", "info/1", "info/lower_bound", "g/MutualInformation"
    for step, weight in ((0, 2.0), (1, 1.0)):
        before = state.replace(step=jnp.int32(step))
        after, seen = infogan_jax.train_step(config, before, batch, key)
        one, other, total, loss = (float(seen[name]) for name in names)
        expected = pytest.approx(-(weight * one + 0.5 * other), rel=1e-5, abs=1e-6)
        assert loss == expected
        assert total == pytest.approx(one + other, rel=1e-5, abs=1e-6)
        moves = differs(before.nets["g"].params, after.nets["g"].params)
        assert moves == (step == 1)


def test_a_second_bound_has_a_name_and_a_weight_of_its_own(tiny, batch, key, state):
    more = MutualInformation(weight=0.5, name="more")
    once = dataclasses.replace(tiny, objective=(MutualInformation(weight=1.5),))
    apart = dataclasses.replace(tiny, objective=(MutualInformation(weight=1.0), more))
    expected, _ = infogan_jax.train_step(once, state, batch, key)
    found, metrics = infogan_jax.train_step(apart, state, batch, key)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        found.nets,
        expected.nets,
    )
    half = 0.5 * float(metrics["g/MutualInformation"])
    assert float(metrics["g/more"]) == pytest.approx(half, rel=1e-5)
    with pytest.raises(ValueError, match="add a `name`"):
        dataclasses.replace(tiny, objective=(MutualInformation(),) * 2)


def test_default_weight_is_a_tenth_where_sigma_is_learned(stepped):
    metrics = {name: float(value) for name, value in stepped[1].items()}
    expected = -(metrics["info/0"] + 0.1 * metrics["info/1"])
    assert metrics["g/MutualInformation"] == pytest.approx(expected, rel=1e-5)


def test_schedules_have_their_hand_values():
    cosine = schedules.Cosine(1.0, 100, end=0.2)
    assert [float(cosine(s)) for s in (0, 50, 100, 999)] == pytest.approx(
        [1.0, 0.6, 0.2, 0.2]
    )
    linear = schedules.Linear(1.0, 3.0, begin=10, finish=20)
    assert [float(linear(s)) for s in (0, 10, 15, 20, 99)] == [1.0, 1.0, 2.0, 3.0, 3.0]
    vanishing = schedules.Linear(1.0, 1e-9, begin=0, finish=1000)
    assert [float(vanishing(s)) for s in (1000, 9999)] == [np.float32(1e-9)] * 2
    falling = schedules.Exponential(8.0, 0.5, begin=10, finish=50)
    found = [float(falling(s)) for s in (0, 10, 20, 30, 40, 50, 99)]
    assert found == pytest.approx([8.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.5])
    both = schedules.Switch(falling, 3.0, at=30)
    assert [float(both(s)) for s in (0, 20, 29, 30, 99)] == pytest.approx(
        [8.0, 4.0, 2.0 * 2**0.1, 3.0, 3.0]
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.Cosine(1.0, 0),
        lambda: schedules.Exponential(0.0, 1.0, begin=0, finish=5),
        lambda: schedules.Exponential(1.0, 2.0, begin=5, finish=5),
        lambda: schedules.Linear(0.0, 1.0, begin=5, finish=5),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_recognition_is_the_bound_with_its_weights(tiny, batch, key):
    dense = networks.Mlp(tiny.image_shape, g_widths=(8,), d_widths=(8,), dropout=0.0)
    term = objectives.Recognition(weight=(schedules.Switch(2.0, 9.0, at=1), 0.5))
    config = dataclasses.replace(tiny, architecture=dense, objective=(term,))
    _, seen = infogan_jax.train_step(config, infogan_jax.init(config, key), batch, key)
    expected = -(2.0 * float(seen["info/0"]) + 0.5 * float(seen["info/1"]))
    assert float(seen["g/Recognition"]) == pytest.approx(expected, rel=1e-5)


def test_virtual_adversarial_gradient_holds_target_and_direction(key):
    """As in the source: Q learns neither by its clean answer nor by the direction."""
    weights = jax.random.normal(key, (3, 3, 1, 3))
    images = jax.random.uniform(key, (2, 3, 3, 1))

    def loss(weights):
        return VirtualAdversarial(radius=1.0)(read_by(weights, images, key))["g"]

    def log_q(weights, images):
        return jax.nn.log_softmax(jnp.einsum("bhwc,hwcn->bn", images, weights))

    def unit(r):
        return r / jnp.sqrt((r**2).sum((1, 2, 3), keepdims=True))

    clean = log_q(weights, images)

    def divergence(weights, r):
        return (jnp.exp(clean) * (clean - log_q(weights, images + r))).sum(-1)

    keys = jax.random.split(key, 2)
    r = unit(jax.vmap(lambda key: jax.random.normal(key, (3, 3, 1)))(keys))
    r = unit(jax.grad(lambda r: divergence(weights, r).sum())(r))
    expected = jax.grad(lambda weights: divergence(weights, r).mean())(weights)
    np.testing.assert_allclose(jax.grad(loss)(weights), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("term", [ImageInformation, VirtualAdversarial])
def test_weights_of_terms_on_images_follow_their_schedules(term, key):
    """From 8 to 4 over four updates, so 5 at the third."""
    images = jax.random.uniform(key, (4, 3, 3, 1))
    p = read_by(jax.random.normal(key, (3, 3, 1, 3)), images, key)
    p = dataclasses.replace(p, mean=lambda values: values.mean(0))
    falling = term(weight=schedules.Linear(8.0, 4.0, begin=0, finish=4))
    expected = float(term(weight=5.0)(p)["g"])
    assert float(falling(p)["g"]) == pytest.approx(expected, rel=1e-6) != 0


def test_q_is_smooth_in_all_its_categorical_codes(key):
    """The first of two reads nothing, so that all is the second's."""
    images, first = jax.random.uniform(key, (4, 3, 3, 1)), jnp.zeros((3, 3, 1, 2))
    second = jax.random.normal(key, (3, 3, 1, 3))
    parts = latents.Categorical(2), latents.Categorical(3)
    p = read_by(jnp.concatenate([first, second], -1), images, key)
    both = dataclasses.replace(p, codes=latents.Product(parts))
    found = float(VirtualAdversarial()(both)["g"])
    alone = float(VirtualAdversarial()(read_by(second, images, key))["g"])
    assert found == pytest.approx(alone, rel=1e-4) != 0

"""A wrong argument of a public function is one clear error: value, rule, way out."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import at_once

import infogan_jax
from infogan_jax import (
    Config,
    Update,
    checkpoint,
    data,
    evaluation,
    latents,
    metrics,
    networks,
    population,
    presets,
    schedules,
)
from infogan_jax.host import processes
from infogan_jax.objectives import (
    ContrastivePairs,
    ImageInformation,
    MutualInformation,
    NonSaturating,
    VirtualAdversarial,
)

SPACE = data.sprites.Space()


@pytest.fixture(scope="module")
def world(tiny, state, batch, dataset, key, spoiled):
    """What the cases below are made of."""
    many = population.init(tiny, jax.random.split(key, 3))
    state = jax.device_get(state)
    return {
        "config": tiny,
        "state": state,
        "many": many,
        "batch": batch,
        "data": dataset,
        "key": key,
        "folder": spoiled,
    }


def on_images(term):
    return Config(objective=(NonSaturating(), MutualInformation(), term))


def batch_with(w, **arrays):
    return infogan_jax.train_step(
        w["config"], w["state"], w["batch"] | arrays, w["key"]
    )


def steps_of(w, data=None, **arguments):
    wanted = {"steps": 2, "batch_size": 4} | arguments
    return infogan_jax.train_steps(
        w["config"], w["state"], data or w["data"], w["key"], **wanted
    )


def step_of(w, state=None, **changes):
    config = dataclasses.replace(w["config"], **changes)
    return infogan_jax.train_step(config, state or w["state"], w["batch"], w["key"])


TRUNK_IN_G = Update("g", ("g", "q", "trunk"), lr=1e-3)


def sample_of(w, n=2, **arguments):
    return infogan_jax.sample(w["config"], w["state"], w["key"], n, **arguments)


def with_q_apart(term, architecture=None):
    """The config of a Q in an update of its own, with one more term."""
    d, g = Config().updates
    updates = d, dataclasses.replace(g, nets=("g",)), Update("q", ("q",), lr=1e-3)
    objective = NonSaturating(), MutualInformation(updates=("g", "q")), term
    architecture = architecture or networks.Dcgan()
    return Config(architecture=architecture, objective=objective, updates=updates)


def read_by_dense_networks(w):
    """Of another class: the state has more layers, and statistics too few."""
    dense = networks.Mlp((8, 8, 1), g_widths=(4,), d_widths=(4,), output="sigmoid")
    config = dataclasses.replace(w["config"], architecture=dense)
    return infogan_jax.infer(config, w["state"], image(w))


def rates(lr):
    """A config whose updates have this rate."""
    updates = tuple(dataclasses.replace(u, lr=lr) for u in Config().updates)
    return Config(updates=updates)


def of_another_size(config):
    architecture = dataclasses.replace(config.architecture, width=6)
    return dataclasses.replace(config, architecture=architecture)


def image(w):
    return w["batch"]["image"]


factors = np.arange(40).reshape(20, 2) % 4


FUNCTIONS = [
    # configurations
    (
        lambda w: latents.Categorical(1),
        ValueError,
        "n must be whole, at least 2, not 1",
    ),
    (lambda w: latents.Bernoulli(p=1.0), ValueError, r"in \(0, 1\), not 1.0"),
    (
        lambda w: latents.Uniform(sigma=-1.0),
        ValueError,
        "sigma must be finite, above 0, or None, not -1.0",
    ),
    (lambda w: latents.Gaussian(size=0), ValueError, "at least 1"),
    (lambda w: latents.Product(()), ValueError, "needs a tuple"),
    (
        lambda w: latents.Categorical(2.5),
        ValueError,
        "n must be whole, at least 2, not 2.5",
    ),
    (
        lambda w: latents.Uniform(size=1.5),
        ValueError,
        "size must be whole, at least 1, not 1.5",
    ),
    (lambda w: latents.Product((1, 2)), ValueError, "1 in a Product is no single"),
    (lambda w: latents.Product((latents.Uniform,)), ValueError, r"such as Uniform\(\)"),
    (
        lambda w: latents.Uniform(sigma_min=np.inf),
        ValueError,
        "sigma_min must be finite, above 0, not inf",
    ),
    (
        lambda w: latents.Gaussian(sigma=np.inf),
        ValueError,
        "finite, above 0, or None, not inf",
    ),
    (
        lambda w: latents.Product((latents.Product((latents.Uniform(),)),)),
        ValueError,
        "give all in one tuple",
    ),
    (
        lambda w: batch_with(w, image=[[0.5]]),
        ValueError,
        "must be an array, not a list",
    ),
    (lambda w: batch_with(w, label=[1, 2]), ValueError, "one integer per im"),
    (lambda w: networks.Dcgan(width=16.5), ValueError, "whole, .* not 16.5"),
    (lambda w: networks.Dcgan(width=(64,)), ValueError, r"whole, .* not \(64,\)"),
    (lambda w: networks.Dcgan(depth="a"), ValueError, "depth must be whole.* not 'a'"),
    (lambda w: networks.Dcgan(depth=2.5), ValueError, "depth must be whole.* not 2.5"),
    (lambda w: networks.Mlp(g_widths=[256]), ValueError, r"a tuple .* not \[256\]"),
    (lambda w: networks.Mlp(d_widths=256), ValueError, "a tuple .* not 256"),
    (lambda w: networks.Mlp(d_widths=(0,)), ValueError, r"at least 1, .* not \(0,\)"),
    (lambda w: networks.Spectral(d_widths=[32]), ValueError, r"a tuple .* not \[32\]"),
    (lambda w: networks.Spectral(g_dense=()), ValueError, r"a tuple .* not \(\)"),
    (lambda w: networks.Dcgan(image_shape=(30, 28, 1)), ValueError, "divisible by 4"),
    (lambda w: networks.Dcgan(image_shape=(28, 28, 2)), ValueError, "1 or 3"),
    (lambda w: networks.Dcgan(width=0), ValueError, "width must be whole, at least 1"),
    (lambda w: networks.Dcgan(output="relu"), ValueError, "relu"),
    (lambda w: schedules.Cosine(1.0, 0), ValueError, "at least 1, not 0"),
    (lambda w: schedules.Cosine(1.0, 9.5), ValueError, "steps must be whole, .* 9.5"),
    (lambda w: schedules.Switch(0, 1, at=2.5), ValueError, "at must be whole, .* 2.5"),
    (
        lambda w: data.draw(w["data"] | {"scale": np.float32(1)}, w["key"], 2),
        ValueError,
        "arrays need one length, at least 1, not .*'scale': 0",
    ),
    (lambda w: schedules.Linear(1, 0, 3, 3), ValueError, "begin < finish, not 3, 3"),
    (
        lambda w: steps_of(w, {"image": (w["data"]["image"] > 100).astype(np.uint8)}),
        ValueError,
        "all 0 or 1; multiply them by 255",
    ),
    (lambda w: schedules.Linear(1.0, 0.0, 5, 5), ValueError, "begin < finish"),
    (lambda w: Update("d", ("d", "d"), lr=1), ValueError, "lists a net twice"),
    (lambda w: Update("d", ("d",), lr=-1), ValueError, "at least 0, .* not -1"),
    (lambda w: Update("d", ("d",), lr=(1, 2)), ValueError, "2 rates for 1 nets"),
    (lambda w: Update("d", ("d",), 1e-3, beta2=1.0), ValueError, r"\[0, 1\), not 1.0"),
    (lambda w: Config(ema_decay=1.0), ValueError, r"\[0, 1\), not 1.0"),
    (lambda w: Config(compute_dtype="int8"), ValueError, "not 'int8'"),
    (
        lambda w: Config(
            objective=(NonSaturating(),), updates=(Update("d", ("dd",), 1.0),)
        ),
        ValueError,
        r"lists \('dd',\), but the networks are",
    ),
    (
        lambda w: Config(objective=(MutualInformation(weight=(1.0,)),)),
        ValueError,
        "weight",
    ),
    (
        lambda w: Config(objective=(MutualInformation(weight=[1.0, 0.1, 0.1]),)),
        ValueError,
        r"tuple for one weight for each code",
    ),
    (lambda w: on_images(VirtualAdversarial(radius="a")), ValueError, "radius .* 'a'"),
    (lambda w: on_images(VirtualAdversarial(probe=None)), ValueError, "probe .* None"),
    (lambda w: on_images(ImageInformation(balance="a")), ValueError, "balance .* 'a'"),
    (lambda w: Config(noise=62), ValueError, "a latent, such as .* not 62"),
    (lambda w: Config(noise=latents.Uniform), ValueError, "a latent, such as"),
    (lambda w: Config(architecture=networks.Mlp), ValueError, "an instance, such as"),
    (lambda w: Config(architecture=5), ValueError, "Dcgan.., not 5"),
    (
        lambda w: Config(ema_decay=jnp.float32(0.9)),
        ValueError,
        r"ema_decay must lie in \[0, 1\)",
    ),
    (
        lambda w: rates(schedules.Switch(jnp.float32(1), 2.0, at=0)),
        ValueError,
        "before must be a finite number",
    ),
    (lambda w: Update("d", ("d",), 1.0, begin=1.5), ValueError, "whole, .* not 1.5"),
    (lambda w: Update("d", ("d",), 1.0, begin=-1), ValueError, "at least 0, not -1"),
    (lambda w: Update("d", ("d",), 1.0, begin=2**31), ValueError, "begin .* at most"),
    (lambda w: Update("d", ("d",), 1.0, restart=2**31), ValueError, "restart .* most"),
    (lambda w: schedules.Switch(0.0, 1.0, at=2**31), ValueError, "at must be at most"),
    (lambda w: schedules.Cosine(1.0, 2**31), ValueError, "steps must be at most"),
    (lambda w: schedules.Linear(1, 0, 0, 2**31), ValueError, "finish must be at most"),
    (lambda w: Update("d", ("d",), 1.0, begin="5"), ValueError, "whole, .* not '5'"),
    (lambda w: Update("d", ("d",), 1.0, restart=1.5), ValueError, "or None, not 1.5"),
    (lambda w: Config(updates=("d", "g")), ValueError, "Updates, not 'd'"),
    (lambda w: Config(objective=(NonSaturating,)), ValueError, "an instance, such as"),
    (
        lambda w: Config(objective=(NonSaturating(), NonSaturating())),
        ValueError,
        "different names, .* one term of two",
    ),
    (
        lambda w: Config(objective=(NonSaturating(), MutualInformation(name=3))),
        ValueError,
        "name is a string, not 3",
    ),
    (
        lambda w: Config(updates=(Update("d", ("d",), 1.0), Update("g", ("g",), 1.0))),
        ValueError,
        "no term teaches an update that lists 'q'",
    ),
    (lambda w: Update("d", ("d",), lr=None), ValueError, "a schedule, .* not None"),
    (lambda w: Update("d", ("d",), lr="1e-3"), ValueError, "schedule, .* not '1e-3'"),
    (lambda w: Update("d", ("d",), lr=np.inf), ValueError, "a finite number .* inf"),
    (lambda w: Update("d", ("d",), lr=schedules.Linear), ValueError, "not <class"),
    (
        lambda w: Update("d", ("d",), 1.0, beta1="x"),
        ValueError,
        "beta1 must lie .* not 'x'",
    ),
    (lambda w: Update(3, ("d",), 1.0), ValueError, "a string, not 3"),
    (lambda w: Config(ema_decay="x"), ValueError, r"\[0, 1\), not 'x'"),
    (lambda w: schedules.Cosine(1.0, "a"), ValueError, "must be whole, .* not 'a'"),
    (lambda w: schedules.Cosine(1.0, np.nan), ValueError, "must be whole, .* nan"),
    (lambda w: schedules.Linear(np.nan, 0.0, 0, 5), ValueError, "start .* not nan"),
    (lambda w: schedules.Exponential(1.0, np.inf, 0, 5), ValueError, "end .* not inf"),
    (lambda w: schedules.Switch(0.0, 1.0, at="x"), ValueError, "at must be .* not 'x'"),
    (lambda w: schedules.Switch(np.nan, 1.0, 5), ValueError, "before .* not nan"),
    (lambda w: latents.Uniform(sigma="a"), ValueError, "sigma must be .* not 'a'"),
    (lambda w: latents.Uniform(sigma_min=None), ValueError, "sigma_min .* not None"),
    (lambda w: latents.Bernoulli(p=[0.1, 0.2]), ValueError, r"strictly .* not \[0.1"),
    (lambda w: networks.Dcgan(image_shape=("28", 28, 1)), ValueError, "not .'28', 28"),
    (lambda w: networks.Dcgan(image_shape=(8.0, 8, 1)), ValueError, "whole numbers"),
    (
        lambda w: Config(objective=(NonSaturating(), MutualInformation(updates="g"))),
        ValueError,
        "updates must be a tuple of one or more, such as .'g',., not 'g'",
    ),
    (
        lambda w: on_images(ImageInformation(updates=())),
        ValueError,
        r"updates must be a tuple of one or more, such as .'g',., not \(\)",
    ),
    (
        lambda w: w["config"].codes.mean(np.zeros((3, 9))),
        ValueError,
        r"q has shape \(3, 9\); give \[..., 5\]",
    ),
    (
        lambda w: w["config"].codes.log_prob(np.zeros((3, 9))),
        ValueError,
        r"c has shape \(3, 9\); give \[..., 4\]",
    ),
    (
        lambda w: evaluation.clustering(
            w["config"], w["state"], {"image": w["data"]["image"]}
        ),
        ValueError,
        "the split has no known label",
    ),
    (
        lambda w: Config(objective=(NonSaturating(), MutualInformation(updates=None))),
        ValueError,
        "updates must be a tuple",
    ),
    (
        lambda w: infogan_jax.sample(w["config"], w["state"], w["key"], 2, c={1: None}),
        ValueError,
        "code 1: None is not one number",
    ),
    (
        lambda w: jax.jit(
            lambda d: (
                infogan_jax.sample(w["config"], w["state"], w["key"], 2, c={0: d}).c
            )
        )(2),
        ValueError,
        "what is traced, as an array",
    ),
    (
        lambda w: evaluation.infer_all(
            w["config"], w["state"], np.zeros((0, 8, 8, 1), "f4")
        ),
        ValueError,
        "B at least 1",
    ),
    (lambda w: schedules.Switch(0.0, schedules.Linear, 5), ValueError, "after .* <cl"),
    (lambda w: rates(schedules.Linear(1.0, -1.0, 0, 5)), ValueError, "end=-1.0"),
    (
        lambda w: on_images(
            VirtualAdversarial(
                weight=schedules.Switch(1.0, schedules.Cosine(-2.0, 5), at=3)
            )
        ),
        ValueError,
        "a schedule, .* that stays so, not Switch",
    ),
    (lambda w: networks.Dcgan(leak=np.nan), ValueError, "leak .* not nan"),
    (lambda w: networks.Dcgan(init_std=0.0), ValueError, "above 0, or None, not 0.0"),
    (lambda w: networks.Spectral(leak="x"), ValueError, "leak .* not 'x'"),
    (lambda w: networks.Mlp(dropout="x"), ValueError, r"\[0, 1\), not 'x'"),
    (
        lambda w: Config(objective=(MutualInformation(weight=np.inf),)),
        ValueError,
        "weight must be a finite number",
    ),
    (
        lambda w: with_q_apart(ImageInformation()),
        ValueError,
        "would teach nobody in update 'g'.* name one with 'q'",
    ),
    (
        lambda w: with_q_apart(
            ImageInformation(updates=("d",)), networks.Dcgan(shared=False)
        ),
        ValueError,
        "would teach nobody in update 'd'",
    ),
    (
        lambda w: with_q_apart(VirtualAdversarial(updates=("q", "g"))),
        ValueError,
        "would teach nobody in update 'g'",
    ),
    (
        lambda w: dataclasses.replace(
            presets.infogan_cr(), objective=(ContrastivePairs("x"),)
        ),
        ValueError,
        "weight must be a finite number .* not 'x'",
    ),
    (
        lambda w: dataclasses.replace(
            presets.infogan_cr(),
            objective=(ContrastivePairs(update="g"),),
            updates=(Update("d", ("trunk", "d"), 1.0), Update("g", ("g", "h"), 1.0)),
        ),
        ValueError,
        "an update of its own, not in 'g'",
    ),
    (lambda w: Config.from_json("nonsense"), ValueError, "must be JSON"),
    (
        lambda w: Config.from_json('{"kind": "Confg"}'),
        ValueError,
        "unknown kind 'Confg'",
    ),
    # images and batches
    (lambda w: batch_with(w, image=None), ValueError, "an array named 'image'"),
    (lambda w: batch_with(w, image=image(w)[..., 0]), ValueError, "do not fit this"),
    (
        lambda w: batch_with(w, image=image(w)[:, :4]),
        ValueError,
        r"give \[B, 8, 8, 1\]",
    ),
    (lambda w: batch_with(w, image=image(w) * 1.0), ValueError, "not float64"),
    (
        lambda w: batch_with(w, image=image(w).astype(np.float32)),
        ValueError,
        r"lie in \[0, 1\], not \[0, 2",
    ),
    (
        lambda w: batch_with(w, image=np.full((16, 8, 8, 1), -0.5, np.float32)),
        ValueError,
        r"not \[-0.5, -0.5\]",
    ),
    (lambda w: batch_with(w, image=image(w) > 0), ValueError, "not bool"),
    (
        lambda w: steps_of(w, data={"image": jnp.float32(w["data"]["image"])}),
        ValueError,
        r"lie in \[0, 1\], not \[0, 2",
    ),
    (
        lambda w: steps_of(w, data={"image": jnp.full((9, 8, 8, 1), jnp.nan)}),
        ValueError,
        r"lie in \[0, 1\], not \[nan",
    ),
    (
        lambda w: next(
            infogan_jax.train(
                w["config"],
                {"image": jnp.float32(w["data"]["image"])},
                w["key"],
                batch_size=4,
            )
        ),
        ValueError,
        r"lie in \[0, 1\], not \[0, 2",
    ),
    (lambda w: batch_with(w, label=np.zeros(3, int)), ValueError, "one integer per im"),
    (lambda w: batch_with(w, label=np.zeros(16)), ValueError, "float32; give integers"),
    (lambda w: batch_with(w, image=image(w)[:0]), ValueError, "B at least 1"),
    (
        lambda w: infogan_jax.train_steps(
            w["config"], w["state"], data, w["key"], steps=1, batch_size=2
        ),
        ValueError,
        r"data.load\(...\).train, not module",
    ),
    (
        lambda w: jax.jit(lambda steps: steps_of(w, steps=steps))(2),
        ValueError,
        "needs at_most",
    ),
    (
        lambda w: data.draw(w["data"] | {"label": np.zeros(3)}, w["key"], 2),
        ValueError,
        "one length, .* not .*'label': 3",
    ),
    (
        lambda w: data.draw({"image": image(w)[:0]}, w["key"], 2),
        ValueError,
        "at least 1, not .*'image': 0",
    ),
    (lambda w: data.draw(w["data"], w["key"], 0), ValueError, "at least 1, not 0"),
    (
        lambda w: data.draw(w["data"], w["key"], 2.5),
        ValueError,
        "batch_size must be whole, .* not 2.5",
    ),
    (lambda w: steps_of(w, batch_size=0), ValueError, "at least 1, not 0"),
    (lambda w: steps_of(w, steps=1.5), ValueError, "steps must be whole, .* not 1.5"),
    (
        lambda w: infogan_jax.train_step(
            w["config"], w["state"].replace(opt={}), w["batch"], w["key"]
        ),
        ValueError,
        r"no optimizer for \['d', 'g'\]; restore it without",
    ),
    (
        lambda w: infogan_jax.train_step(
            w["config"], w["state"].replace(nets={"g": 0}), w["batch"], w["key"]
        ),
        ValueError,
        r"the state holds \['g'\]",
    ),
    (
        lambda w: step_of(w, ema_decay=0.9),
        ValueError,
        "ema_decay is 0.9, but the state holds no average",
    ),
    (
        lambda w: step_of(w, state=w["state"].replace(ema={"g": w["state"].nets["g"]})),
        ValueError,
        "an average of G, which ema_decay 0 would lose",
    ),
    (
        lambda w: step_of(w, updates=(w["config"].updates[0], TRUNK_IN_G)),
        ValueError,
        r"trains \['g', 'q', 'trunk'\], but .* is for \['g', 'q'\]",
    ),
    (lambda w: step_of(w, state=w["many"]), ValueError, "3 states of a population"),
    (
        lambda w: steps_of(w | {"state": w["many"]}),
        ValueError,
        "3 states of a population",
    ),
    (
        lambda w: next(
            infogan_jax.train(
                w["config"], w["data"], w["key"], batch_size=2, state=w["many"]
            )
        ),
        ValueError,
        "3 states of a population",
    ),
    *(
        (
            lambda w, use=use: use(w | {"config": of_another_size(w["config"])}),
            ValueError,
            "is not this config's: .* restored with the state",
        )
        for use in (
            steps_of,
            read_by_dense_networks,
            sample_of,
            lambda w: infogan_jax.infer(w["config"], w["state"], image(w)),
        )
    ),
    (
        lambda w: infogan_jax.sample(w["config"], w["many"], w["key"], 2),
        ValueError,
        "3 states of a population",
    ),
    *(
        (
            lambda w, step=step: step(w["config"])(
                w["state"], w["batch"] | {"label": np.zeros(7, int)}, w["key"]
            ),
            ValueError,
            r"shape \(7,\) for 16 images",
        )
        for step in (infogan_jax.pmap_step, infogan_jax.shard_map_step)
    ),
    (
        lambda w: infogan_jax.pmap_step(w["config"], devices=[]),
        ValueError,
        "devices names none",
    ),
    (
        lambda w: infogan_jax.shard_map_step(w["config"], devices=[]),
        ValueError,
        "devices names none",
    ),
    (lambda w: steps_of(w, steps=0), ValueError, "at least 1, not 0"),
    (lambda w: steps_of(w, steps=9, at_most=5), ValueError, "1 .. 5, not 9"),
    (
        lambda w: next(
            infogan_jax.train(w["config"], w["data"], w["key"], batch_size=-1)
        ),
        ValueError,
        "at least 1, not -1",
    ),
    (
        lambda w: population.train_steps(
            *(w[x] for x in ("config", "state", "data", "key")),
            steps=1,
            batch_size=2,
            how="magic",
        ),
        ValueError,
        "not 'magic'",
    ),
    (
        lambda w: infogan_jax.pmap_step(w["config"])(
            w["state"], {"image": image(w)[:12]}, w["key"]
        ),
        ValueError,
        "12 images cannot be split over 8",
    ),
    (
        lambda w: infogan_jax.shard_map_step(w["config"])(
            w["state"], {"image": image(w)[:12]}, w["key"]
        ),
        ValueError,
        "12 images cannot be split over 8",
    ),
    (
        lambda w: population.train_steps(
            *(w[x] for x in ("config", "state", "data", "key")), steps=1, batch_size=2
        ),
        ValueError,
        r"of shapes \(\) and \(\); both need one axis",
    ),
    (
        lambda w: population.train_steps(
            w["config"],
            w["many"],
            w["data"],
            jax.random.split(w["key"]),
            steps=1,
            batch_size=2,
        ),
        ValueError,
        r"of shapes \(3,\) and \(2,\); .* equally many",
    ),
    (lambda w: population.of_seed(w["many"], 3), ValueError, "no seed 3"),
    (lambda w: population.of_seed(w["many"], jnp.int32(9)), ValueError, "no seed 9"),
    (lambda w: population.of_seed(w["many"], 1.0), ValueError, "no seed 1.0"),
    (lambda w: population.of_seed(w["state"], 0), ValueError, "no axis of seeds"),
    (
        lambda w: evaluation.evaluate(
            w["config"], w["many"], w["batch"], w["batch"], w["key"]
        ),
        ValueError,
        "3 states of a population",
    ),
    (lambda w: SPACE.values([[0, 0, 2, 5, 39, 31]]), ValueError, r"not \[1, 6\]"),
    (lambda w: SPACE.values([[0, 6, 39, 31, 31]]), ValueError, r"below \(3, 6, 40"),
    (lambda w: SPACE.values(jnp.array([[0, 0, 0, -1, 0]])), ValueError, "indices must"),
    (lambda w: data.sprites.render(np.zeros((2, 4))), ValueError, r"not \[2, 4\]"),
    (
        lambda w: data.sprites.render(np.array([[3.0, 1, 0, 0.5, 0.5]])),
        ValueError,
        "shapes, .* must be 0, 1 or 2",
    ),
    (
        lambda w: SPACE.sample_fixed(w["key"], 3, [0, 1, 2, 3, 4]),
        ValueError,
        "factor must be a column",
    ),
    (lambda w: data.load(pathlib.Path("x.npz")), ValueError, "such as 'npz:x.npz'"),
    (
        lambda w: data.Dataset("mine", {"image": image(w)}, w["batch"], ""),
        ValueError,
        r"mine: a split lacks \['label'\]",
    ),
    (lambda w: population.of_seed(w["many"], np.arange(2)), ValueError, "no seed .0 1"),
    (
        lambda w: checkpoint.Writer(w["folder"] / "new", w["config"], keep=0),
        ValueError,
        "keep must be whole, at least 1",
    ),
    (
        lambda w: checkpoint.Writer(w["folder"] / "caf\udce9", w["config"]),
        ValueError,
        "must be UTF-8",
    ),
    (lambda w: processes.join("here"), ValueError, "HOST:PORT,PROCESSES,INDEX"),
    (lambda w: processes.join("here,1,0"), ValueError, "HOST:PORT,PROCESSES,INDEX"),
    (lambda w: processes.join("here:5x,1,0"), ValueError, "HOST:PORT,PROCESSES,INDEX"),
    # sampling and reading
    (lambda w: sample_of(w, 0), ValueError, "at least 1, not 0"),
    (lambda w: sample_of(w, 2.5), ValueError, "n must be whole, .* not 2.5"),
    (lambda w: sample_of(w, c={7: 0}), ValueError, "no code 7"),
    (lambda w: sample_of(w, c={"0": 1}), ValueError, "no code '0'; the codes are 0"),
    (lambda w: sample_of(w, c={0.0: 1}), ValueError, "no code 0.0"),
    (lambda w: sample_of(w, c={0: 5}), ValueError, "value 5 is not one of 0 .. 2"),
    (lambda w: sample_of(w, c={1: 2.5}), ValueError, "2.5"),
    (lambda w: sample_of(w, c={1: [0.1, 0.2]}), ValueError, "code 1: .* not one num"),
    (lambda w: sample_of(w, c={1: np.ones(2)}), ValueError, "code 1: .* not one num"),
    (lambda w: sample_of(w, c={1: "0.5"}), ValueError, "code 1: '0.5' is not one num"),
    (lambda w: sample_of(w, c={0: np.inf}), ValueError, "value inf is not one of 0"),
    (lambda w: sample_of(w, c=jnp.zeros((3, 3))), ValueError, r"\(3, 3\)"),
    (lambda w: latents.Gaussian().encode(np.nan), ValueError, "value nan"),
    (
        lambda w: infogan_jax.infer(
            w["config"], w["state"].replace(nets={"g": 0}), image(w)
        ),
        ValueError,
        r"needs the networks \['q', 'trunk'\], but the state holds \['g'\]",
    ),
    (
        lambda w: infogan_jax.traverse(
            w["config"], w["state"], w["key"], 0, rows=-1, steps=2
        ),
        ValueError,
        "rows must be whole, at least 1, not -1",
    ),
    (
        lambda w: infogan_jax.traverse(
            w["config"], w["state"], w["key"], 1, values=np.zeros((0, 1))
        ),
        ValueError,
        r"values have shape \(0, 1\); give \(steps, 1\)",
    ),
    (
        lambda w: infogan_jax.traverse(w["config"], w["state"], w["key"], 9),
        ValueError,
        "no code 9",
    ),
    (
        lambda w: infogan_jax.generate(
            w["config"], w["state"], jnp.zeros((2, 3)), jnp.zeros((2, 4))
        ),
        ValueError,
        "z and c have shapes",
    ),
    (
        lambda w: infogan_jax.generate(
            w["config"],
            w["state"],
            np.zeros((0, w["config"].noise.dim)),
            np.zeros((0, w["config"].codes.dim)),
        ),
        ValueError,
        "one row or more",
    ),
    (
        lambda w: infogan_jax.train_step(
            w["config"],
            w["state"],
            {"image": np.full((4, 8, 8, 1), 1.0000005, np.float32)},
            jax.random.key(0),
        ),
        ValueError,
        r"not \[1.00000048, 1.00000048\]; rescale or clip them",
    ),
    (
        lambda w: infogan_jax.infer(w["config"], w["state"], np.zeros((2, 8, 8, 3))),
        ValueError,
        "not float64",
    ),
    # checkpoints
    (
        lambda w: infogan_jax.save(
            w["folder"] / "other",
            dataclasses.replace(w["config"], ema_decay=0.9),
            w["state"],
        ),
        ValueError,
        "the state has no ema/g/.*, which its config needs",
    ),
    (
        lambda w: infogan_jax.save(w["folder"] / "many", w["config"], w["many"]),
        ValueError,
        "3 states of a population",
    ),
    (lambda w: infogan_jax.restore("nowhere"), FileNotFoundError, "no checkpoint"),
    (lambda w: infogan_jax.restore("gs://here/run"), ValueError, "gs://here/run is an"),
    (
        lambda w: infogan_jax.save("file:///run", w["config"], w["state"]),
        ValueError,
        "file:///run is an address",
    ),
    (
        lambda w: infogan_jax.restore(w["folder"] / "saved", step=3),
        FileNotFoundError,
        r"no step 3, only \[0\]",
    ),
    (
        lambda w: infogan_jax.restore(w["folder"] / "saved", nets=iter("h")),
        ValueError,
        "must be some of",
    ),
    (
        lambda w: infogan_jax.save(w["folder"] / "file" / "x", w["config"], w["state"]),
        OSError,
        "file",
    ),
    # data
    (lambda w: data.load("mnits"), ValueError, "Did you mean 'mnist'"),
    (lambda w: data.load("npz:nowhere.npz"), FileNotFoundError, "no file nowhere.npz"),
    (lambda w: data.load("folder:nowhere"), FileNotFoundError, "no folder nowhere"),
    (lambda w: data.load(f"folder:{w['folder']}/empty"), ValueError, "holds no images"),
    (
        lambda w: data.load(f"npz:{w['folder']}/words.npz"),
        ValueError,
        "images have shape",
    ),
    (lambda w: data.load(f"npz:{w['folder']}/wild.npz"), ValueError, r"\[0, 1\], not"),
    (lambda w: data.load(f"npz:{w['folder']}/other.npz"), ValueError, "it needs"),
    (
        lambda w: data.load(f"npz:{w['folder']}/pickled.npz"),
        ValueError,
        "cannot be read as .npz or .npy: it is neither, or holds objects",
    ),
    (lambda w: data.load(f"npz:{w['folder']}/torn.npz"), ValueError, "cannot be read"),
    # metrics
    (lambda w: metrics.mig(factors * np.nan, factors), ValueError, "finite|NaN|nan"),
    (lambda w: metrics.mig(factors, factors[:5]), ValueError, "same N"),
    (lambda w: metrics.mig(factors, factors * 0), ValueError, "one value"),
    (lambda w: presets.infogan_cr(switch=0), ValueError, "at least 1, .* 0"),
]


def name_of(case):
    return str(case[2])[:40]


@pytest.mark.parametrize("case", FUNCTIONS, ids=name_of)
def test_a_function_names_value_and_rule_at_once(world, case):
    call, error, message = case
    with at_once(), pytest.raises(error, match=message):
        call(world)


def test_a_config_of_a_class_that_is_not_imported_says_what_to_import(tiny):
    stored = dataclasses.replace(tiny).to_json().replace('"Dcgan"', '"my.nets:Big"')
    with pytest.raises(ValueError, match="import my.nets first"):
        Config.from_json(stored)

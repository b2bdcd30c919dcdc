"""The training step: pure functions of (config, state, batch, key).

Keys. A run has one key. Step s uses `fold_in(key, s)`; from it, stream 0 draws the
batch and stream 1 + p serves the p-th update of the schedule; example i of the global
batch draws from `fold_in(stream, i)`. So no draw depends on the number of devices,
resuming needs nothing but `state.step`, and passing the same key at every step is
right.

Running statistics. A network writes them in the first update that lists it, and only
there: the trunk and D's head from the real images, G and Q from the fakes. Training
normalises by the batch; `infer`, `sample` and `generate` use the running statistics.
"""

import functools
from collections.abc import Iterator

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import config as config_lib
from infogan_jax import data, objectives

Config = config_lib.Config


class Net(flax.struct.PyTreeNode):
    """One network's arrays: what learns, and its running statistics."""

    params: dict
    stats: dict


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes; arrays only.

    Attributes:
      step: steps done, int32.
      nets: a Net for each network name.
      opt: an optimizer state for each update name.
      ema: {"g": Net}, the running average of G; {} without one.
    """

    step: jax.Array
    nets: dict
    opt: dict
    ema: dict


def init(config: Config, key: jax.Array) -> TrainState:
    """A fresh state, by the architecture's own initialisers."""
    modules = tuple(config.networks().items())
    latent_dim = config.noise.dim + config.codes.dim
    nets = _create(modules, latent_dim, config.image_shape, key)
    opt = {u.name: u.optimizer().init(_params(nets, u.nets)) for u in config.updates}
    ema = {"g": copy(nets["g"])} if config.ema_decay else {}
    return TrainState(jnp.zeros((), jnp.int32), nets, opt, ema)


def step(
    config: Config,
    state: TrainState,
    batch: dict,
    key: jax.Array,
    axis_name: str | None = None,
) -> tuple[TrainState, dict]:
    """The config's updates in order: one D update, then one G+Q update. Pure.

    Args:
      config: what to compute; static.
      state: from `init`, `restore`, or the last step.
      batch: {"image": [B, H, W, C] float32 in [0, 1] or uint8, "label": int32 [B],
        optional, -1 where unknown}. With `axis_name`, this device's share.
      key: the run's key, the same at every step.
      axis_name: of the mapped axis that the batch is split over.

    Returns:
      The next state, and scalar metrics: "d/NonSaturating" is a term's loss in an
      update, "info/0" is L_I of code 0 in nats, "info/lower_bound" their sum.

    Raises:
      ValueError: the batch does not fit the config, at trace time.

    Source: Chen et al. 2016 (arXiv:1606.03657); the five steps of one iteration.
    """
    batch = _check_batch(config, batch)
    key, metrics = jax.random.fold_in(key, state.step), {}
    for position, update in enumerate(config.updates):
        update_key = jax.random.fold_in(key, 1 + position)
        state, seen = _apply_update(config, update, state, batch, update_key, axis_name)
        metrics |= seen
    return state.replace(step=state.step + 1, ema=_average(config, state)), metrics


_jitted_step = jax.jit(step, static_argnums=0)


def train_step(
    config: Config, state: TrainState, batch: dict, key: jax.Array
) -> tuple[TrainState, dict]:
    """`step`, jitted: equal configs compile once, and `state` stays alive.

    Raises:
      ValueError: as `step`; float images in host memory outside [0, 1] too.
    """
    check_images(config, batch.get("image"))
    check_range(batch["image"])
    return _jitted_step(config, state, batch, key)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("steps", "batch_size"))
def train_steps(
    config: Config,
    state: TrainState,
    dataset: dict,
    key: jax.Array,
    *,
    steps: int,
    batch_size: int,
) -> tuple[TrainState, dict]:
    """`steps` steps in one dispatch, their batches drawn inside; metrics are [steps].

    Args:
      config: what to compute; static.
      state: the state to go on from.
      dataset: {"image": uint8 [N, H, W, C], ...} on the device.
      key: the run's key.
      steps: how many.
      batch_size: images per step.
    """

    def body(state, _):
        batch = draw(dataset, key, state.step, batch_size)
        return step(config, state, batch, key)

    return jax.lax.scan(body, state, length=steps)


def draw(dataset: dict, key: jax.Array, step: jax.Array, batch_size: int) -> dict:
    """The batch of a step: a function of the run's key and the step alone.

    Rows are drawn with replacement, uniformly.
    """
    stream = jax.random.fold_in(jax.random.fold_in(key, step), 0)
    return data.draw(dataset, stream, batch_size)


def train(
    config: Config,
    dataset: dict,
    key: jax.Array,
    *,
    batch_size: int,
    state: TrainState | None = None,
    step_fn=None,
) -> Iterator[tuple[TrainState, dict]]:
    """Yields (state, metrics) after each step, for as long as it is asked.

    A yielded state is valid until the next one is asked for: its memory is used again.
    The state given stays alive.

    Args:
      config: what to compute.
      dataset: {"image": [N, H, W, C] uint8 or float32 in [0, 1], "label": [N]}; it is
        put on the device once.
      key: the run's key.
      batch_size: images per step.
      state: to go on from; fresh from `key` by default.
      step_fn: (state, batch, key) -> (state, metrics), such as `pmap_step(config)`.

    Raises:
      ValueError: the data do not fit the config.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    check_images(config, dataset.get("image"))
    check_range(dataset["image"])
    dataset = jax.device_put(dict(dataset))
    state = init(config, key) if state is None else copy(state)
    while True:
        if step_fn is None:
            state, metrics = _draw_and_step(config, state, dataset, key, batch_size)
        else:
            batch = _jitted_draw(dataset, key, state.step, batch_size)
            state, metrics = step_fn(state, batch, key)
        yield state, metrics


@jax.jit
def copy(tree):
    """The same arrays in memory of their own, which may then be donated."""
    return jax.tree.map(jnp.copy, tree)


_jitted_draw = jax.jit(draw, static_argnums=3)


@functools.partial(jax.jit, static_argnums=(0, 4), donate_argnums=1)
def _draw_and_step(config, state, dataset, key, batch_size):
    return step(config, state, draw(dataset, key, state.step, batch_size), key)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _create(modules, latent_dim, image_shape, key):
    """Every network, initialised on an example of what it will be given.

    Jitted by its networks alone, so that configs which differ in anything else share
    the program: most of its compilation is the random draws.
    """
    modules = dict(modules)
    keys = dict(zip(modules, jax.random.split(key, len(modules)), strict=True))
    image = jnp.zeros((1, *image_shape))
    nets = {}

    def create(name, *inputs):
        variables = modules[name].init(keys[name], *inputs, train=False)
        stats = {k: v for k, v in variables.items() if k != "params"}
        nets[name] = Net(variables["params"], stats)
        return variables

    create("g", jnp.zeros((1, latent_dim)))
    features = modules["trunk"].apply(create("trunk", image), image, train=False)
    create("d", features)
    create("q", features, image)
    return nets


def _apply_update(config, update, state, batch, key, axis_name):
    """The state after one update, and what was seen."""
    keys = example_keys(key, len(batch["image"]), axis_name)

    def loss(live):
        nets = state.nets | {
            name: state.nets[name].replace(params=live[name]) for name in update.nets
        }
        p, stats = forward(config, nets, batch, keys, state.step, axis_name)
        seen = _losses(config, update, p)
        total = sum(seen.values(), jnp.zeros(()))
        if "g" in update.nets:
            information = config.codes.information(p.q_fake, p.c)
            seen |= {f"info/{i}": bound for i, bound in enumerate(information)}
            seen["info/lower_bound"] = information.sum()
        return total, (stats, seen)

    live = _params(state.nets, update.nets)
    grads, (stats, seen) = jax.grad(loss, has_aux=True)(live)
    if axis_name is not None:
        grads, seen = jax.lax.pmean((grads, seen), axis_name)
    moves, opt = update.optimizer().update(grads, state.opt[update.name])
    rates = update.rates(state.step)

    nets = dict(state.nets)
    for name in update.nets:
        params = jax.tree.map(
            lambda p, move, rate=rates[name]: p - rate * move, live[name], moves[name]
        )
        keep = stats[name] if _writes(config, update, name) else nets[name].stats
        nets[name] = Net(params, keep)
    return state.replace(nets=nets, opt=state.opt | {update.name: opt}), seen


def forward(config, nets, batch, keys, step, axis_name=None):
    """One training pass over all networks.

    Args:
      config: the configuration.
      nets: a Net for each name.
      batch: as in `step`, its images already float.
      keys: [B], one for each example.
      step: updates done.
      axis_name: as in `step`.

    Returns:
      The Pass, and each network's new statistics.
    """
    modules = config.networks(axis_name)
    key_z, key_c, key_fake, key_real, key_term = jax.vmap(
        lambda key: jax.random.split(key, 5), out_axes=1
    )(keys)
    stats = {}

    def apply(name, *inputs, keys, params=None):
        net = nets[name]
        params = net.params if params is None else params
        output, stats[name] = modules[name].apply(
            {"params": params, **net.stats},
            *inputs,
            train=True,
            keys=keys,
            mutable=list(net.stats),
        )
        return output

    def generate(z, c):
        return apply("g", jnp.concatenate([z, c], -1), keys=key_fake)

    def score(images, keys=key_fake):
        return apply("d", apply("trunk", images, keys=keys), keys=keys)

    def recognise(images, keys=key_fake):
        return apply("q", apply("trunk", images, keys=keys), images, keys=keys)

    def fooled(images):
        frozen = jax.lax.stop_gradient((nets["trunk"].params, nets["d"].params))
        features = apply("trunk", images, keys=key_fake, params=frozen[0])
        return apply("d", features, keys=key_fake, params=frozen[1])

    real = batch["image"]
    z, c = jax.vmap(config.noise.sample)(key_z), jax.vmap(config.codes.sample)(key_c)
    fake = generate(z, c)
    # The last pass through a network is the one whose statistics count.
    q_real = recognise(real, key_real)
    q_fake, d_fake, d_fooled = recognise(fake), score(fake), fooled(fake)
    d_real = score(real, key_real)
    counted = dict(stats)
    p = objectives.Pass(
        codes=config.codes,
        step=step,
        keys=key_term,
        real=real,
        fake=fake,
        label=batch.get("label"),
        z=z,
        c=c,
        d_real=d_real,
        d_fake=d_fake,
        d_fooled=d_fooled,
        q_real=q_real,
        q_fake=q_fake,
        generate=generate,
        score=score,
        recognise=recognise,
    )
    return p, counted


def example_keys(key: jax.Array, n: int, axis_name: str | None = None) -> jax.Array:
    """[n] keys, one per example, by its index in the global batch."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(n))


def to_float(images: jax.Array) -> jax.Array:
    """Images as float32 in [0, 1]; uint8 is divided by 255."""
    return images / jnp.float32(255) if images.dtype == jnp.uint8 else images


def check_range(images) -> None:
    """Raises unless float images in host memory lie in [0, 1]."""
    if isinstance(images, np.ndarray) and np.issubdtype(images.dtype, np.floating):
        low, high = images.min(initial=0), images.max(initial=1)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"float images must lie in [0, 1], not [{low:g}, {high:g}]; "
                "rescale them, or pass uint8 in 0 .. 255."
            )


def check_images(config: Config, images) -> None:
    """Raises unless the images have the config's shape and a dtype of the library."""
    if images is None:
        raise ValueError("there are no images: a batch needs an array named 'image'.")
    if images.dtype not in (jnp.uint8, jnp.float32):
        raise ValueError(
            f"images must be float32 in [0, 1] or uint8, not {images.dtype}."
        )
    if images.ndim != 4 or images.shape[1:] != config.image_shape:
        raise ValueError(
            f"images of shape {images.shape} do not fit this config; give "
            f"[B, {', '.join(map(str, config.image_shape))}]."
        )


def _check_batch(config, batch):
    check_images(config, batch.get("image"))
    label = batch.get("label")
    if label is not None and label.shape != batch["image"].shape[:1]:
        raise ValueError(
            f"batch['label'] has shape {label.shape} for {len(batch['image'])} images; "
            "give one integer per image."
        )
    return batch | {"image": to_float(batch["image"])}


def _losses(config, update, p):
    names, seen = {u.name for u in config.updates}, {}
    for term in config.objective:
        losses = term(p)
        if not losses.keys() <= names:
            raise ValueError(
                f"{config_lib.term_name(term)} has a loss for {sorted(losses)}, but "
                f"the updates are {sorted(names)}."
            )
        if update.name in losses:
            seen[f"{update.name}/{config_lib.term_name(term)}"] = losses[update.name]
    return seen


def _writes(config, update, name):
    first = next(u.name for u in config.updates if name in u.nets)
    return first == update.name


def _average(config, state):
    if not config.ema_decay:
        return {}
    keep = config.ema_decay
    return jax.tree.map(
        lambda old, new: keep * old + (1 - keep) * new,
        state.ema,
        {"g": state.nets["g"]},
    )


def _params(nets, names):
    return {name: nets[name].params for name in names}

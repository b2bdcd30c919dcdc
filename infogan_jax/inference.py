"""What a trained model is for: sampling from G, reading images with Q.

Everything here uses the running statistics, and G's running average where the config
keeps one. Example i of a sample draws from `fold_in(key, i)`: a sample of 64 begins
with the sample of 10.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from infogan_jax import checks, forward, rules, sharding, training, types
from infogan_jax import config as config_lib

Config = config_lib.Config
TrainState = training.TrainState

# Of the paper's network: 20,000 images of 28x28, for which it takes 4 GB.
_MOST_PIXELS = 20_000 * 28 * 28


class Sample(NamedTuple):
    """Images [n, H, W, C] in [0, 1], and the noise and codes they were made from."""

    images: jax.Array
    z: jax.Array
    c: jax.Array


def most_at_once(config: Config) -> int:
    """How many images of this size may be in memory together, at least 1."""
    height, width, _ = config.image_shape
    return max(1, _MOST_PIXELS // (height * width))


@types.jit(static_argnums=0)
def generate(
    config: Config, state: TrainState, z: types.Array, c: types.Array
) -> jax.Array:
    """G(z, c): images [n, H, W, C] in [0, 1].

    Inside a `jax.shard_map`, derivatives of it and of `infer` need `check_vma=False`.

    Args:
      config: the configuration.
      state: any state with G in it, such as `restore(path, nets=("g",))` gives.
      z: [n, config.noise.dim], numbers of any dtype.
      c: [n, config.codes.dim], likewise.

    Raises:
      ValueError: z or c of another width, or a state without G or of another config.
    """
    n = z.shape[0]  # Which is a symbol where `jax.export` has one.
    wanted = ((n, config.noise.dim), (n, config.codes.dim))
    if (z.shape, c.shape) != wanted or isinstance(n, int) and n < 1:
        raise ValueError(
            f"z and c have shapes {z.shape}, {c.shape}; give {wanted}, one row or more."
        )
    checks.check_nets(state, "g")
    # A layer computes in its input's dtype: whole numbers would truncate its kernel.
    z, c = z.astype(jnp.float32), c.astype(jnp.float32)
    net = state.ema.get("g", state.nets["g"])

    def run(net, z, c):
        return _apply(config, "g", net, jnp.concatenate([z, c], -1))

    return sharding.with_auto_axes(
        run, net, z, c, out=lambda mesh: sharding.as_rows(mesh, z, c)
    )


def sample(
    config: Config,
    state: TrainState,
    key: jax.Array,
    n: int,
    *,
    c: ArrayLike | Mapping[int, float] | None = None,
) -> Sample:
    """`n` images with noise and codes from their priors.

    Args:
      config: the configuration.
      state: any state with G in it.
      key: for noise and codes.
      n: how many.
      c: codes to use instead: [codes.dim] or [n, codes.dim], whose values are not
        looked at; or people's numbers by code, `{0: 3}`, one for all of its dimensions,
        the others being drawn.

    Raises:
      ValueError: no such code or value, or a wrong shape.
    """
    z, drawn = _draw_latents(config, key, rules.as_count("n", n))
    if isinstance(c, Mapping):
        c = config.codes.assign(drawn, c)
    elif c is None:
        c = drawn
    else:
        c = jnp.asarray(c, jnp.float32)
        if c.shape not in ((config.codes.dim,), drawn.shape):
            raise ValueError(
                f"c has shape {c.shape}; give {(config.codes.dim,)} or {drawn.shape}."
            )
        c = jnp.broadcast_to(c, drawn.shape)
    return Sample(generate(config, state, z, c), z, c)


def infer(config: Config, state: TrainState, images: types.Array) -> jax.Array:
    """Parameters of Q(c|x), [n, n_params]; `codes.mean` of it is the representation.

    Args:
      config: the configuration.
      state: any state with the trunk and Q in it.
      images: [n, H, W, C], uint8 or float32 in [0, 1].

    Raises:
      ValueError: images of another shape or dtype, floats in host memory outside
        [0, 1], or a state without the trunk or Q, or of another config.
    """
    checks.check_nets(state, "trunk", "q")
    checks.check_images(config, images)
    checks.check_range(images)
    return _infer(config, state, images)


def traverse(
    config: Config,
    state: TrainState,
    key: jax.Array,
    code: int,
    *,
    rows: int = 10,
    steps: int = 10,
    values: ArrayLike | None = None,
) -> jax.Array:
    """Images [rows, steps, H, W, C]: along each row one code moves, all else stays.

    Args:
      config: the configuration.
      state: any state with G in it.
      key: for the noise and the other codes of each row.
      code: which code moves.
      rows: draws of noise and other codes.
      steps: values of the code, those of its `grid(steps)`; not used with `values`.
      values: [steps, width of the code], to show instead of the grid.

    Raises:
      ValueError: no such code, a number below 1, or values of another width.
    """
    config.codes.check_index(code)
    rows, steps = rules.as_count("rows", rows), rules.as_count("steps", steps)
    part = config.codes.parts[code]
    values = part.grid(steps) if values is None else jnp.asarray(values, jnp.float32)
    if values.ndim != 2 or values.shape[1] != part.dim or not len(values):
        raise ValueError(
            f"values have shape {values.shape}; give (steps, {part.dim}), steps at "
            "least 1."
        )
    z, c = _draw_latents(config, key, rows)
    steps = len(values)

    def move(z, c, values):
        parts = [jnp.repeat(x, steps, 0) for x in config.codes.split(c)]
        moved = jnp.tile(values, (rows, 1))
        parts[code] = jnp.where(False, parts[code], moved)  # As `Product.assign` does.
        return jnp.repeat(z, steps, 0), jnp.concatenate(parts, -1)

    z, c = sharding.with_auto_axes(move, z, c, values, out=sharding.replicated)
    images = generate(config, state, z, c)
    return images.reshape(rows, steps, *images.shape[1:])


@functools.partial(jax.jit, static_argnums=(0, 2))
def _draw_latents(config, key, n):
    keys = jax.vmap(jax.random.split)(forward.example_keys(key, n))
    noise = jax.vmap(config.noise.sample)(keys[:, 0])
    return noise, jax.vmap(config.codes.sample)(keys[:, 1])


@functools.partial(jax.jit, static_argnums=0)
def _infer(config, state, images):
    def run(nets, images):
        images = checks.to_float(images)
        features = _apply(config, "trunk", nets["trunk"], images)
        return _apply(config, "q", nets["q"], features, images)

    return sharding.with_auto_axes(
        run, state.nets, images, out=lambda mesh: sharding.as_rows(mesh, images)
    )


def _apply(config, name, net, *inputs):
    module, arrays = config.networks()[name], {"params": net.params, **net.stats}
    with forward.fitting(name):
        return module.apply(arrays, *inputs, train=False)

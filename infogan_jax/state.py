"""TrainState: everything that a step changes, and how it begins."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp

from infogan_jax import config as config_lib
from infogan_jax import sharding, types
from infogan_jax.networks import initialisers
from infogan_jax.ops import adam

Tree = TypeVar("Tree")


class Net(flax.struct.PyTreeNode):
    """One network's arrays: what learns, and its running statistics."""

    params: dict[str, Any]
    stats: dict[str, Any]


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes; arrays only.

    Attributes:
      step: steps done, int32.
      nets: a Net for each network name.
      opt: an optimizer state for each update name.
      ema: {"g": Net}, the running average of G; {} without one.
    """

    step: jax.Array
    nets: dict[str, Net]
    opt: dict[str, Any]
    ema: dict[str, Net]


def init(config: config_lib.Config, key: jax.Array) -> TrainState:
    """A fresh state, by the architecture's own initialisers.

    Raises:
      ValueError: a network's output is of another shape than `networks` says, or its
        module cannot be hashed.
    """
    modules = tuple(config.networks().items())
    input_shapes = tuple(config.input_shapes().items())
    latent_dim = config.noise.dim + config.codes.dim
    for name, module in modules:
        if not _is_hashable(module):
            raise ValueError(
                f"the network {name!r} has a field that cannot be hashed, such as an "
                "array: keep numbers, strings and tuples, and make arrays of them when "
                "it is called."
            )
    image_shape = config.image_shape
    outputs = ("g", image_shape), ("d", ()), ("q", (config.codes.n_params,))
    create = functools.partial(
        _create, modules, latent_dim, image_shape, input_shapes, outputs
    )
    nets = sharding.with_auto_axes(create, key, out=sharding.replicated)
    opt = {
        update.name: adam.init(params_of(nets, update.nets))
        for update in config.updates
    }
    ema = {"g": copy(nets["g"])} if config.ema_decay else {}
    return TrainState(sharding.zero(nets), nets, opt, ema)


@types.jit()
def copy(tree: Tree) -> Tree:
    """The same arrays in memory of their own, which may then be donated."""
    return jax.tree.map(jnp.copy, tree)


def params_of(nets: Mapping[str, Net], names: Sequence[str]) -> dict[str, dict]:
    """The parameters of some networks, by name."""
    return {name: nets[name].params for name in names}


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _create(modules, latent_dim, image_shape, input_shapes, output_shapes, key):
    """Every network, initialised on an example of what it will be given.

    Jitted by its networks alone, so that configs which differ in anything else share
    the program.
    """
    modules = dict(modules)
    key, key_draw = jax.random.split(key)
    keys = dict(zip(modules, jax.random.split(key, len(modules)), strict=True))
    image = jnp.zeros((1, *image_shape), jnp.float32)

    def create_all():
        nets, expected = {}, dict(output_shapes)

        def create(name, *inputs):
            made = modules[name].init_with_output(keys[name], *inputs, train=False)
            output, variables = made
            if name in expected and output.shape != (1, *expected[name]):
                raise ValueError(
                    f"the network {name!r} makes {list(output.shape)} of one example, "
                    f"where it has to be {[1, *expected[name]]}."
                )
            stats = {k: v for k, v in variables.items() if k != "params"}
            nets[name] = Net(variables.get("params", {}), stats)
            return variables

        create("g", jnp.zeros((1, latent_dim), jnp.float32))
        # `create` has this output already, but applying takes numbers of the draw too:
        # without it every seed's heads would begin with other weights.
        features = modules["trunk"].apply(create("trunk", image), image, train=False)
        create("d", features)
        create("q", features, image)
        for name, shapes in input_shapes:
            create(name, *(jnp.zeros((1, *shape), jnp.float32) for shape in shapes))
        return nets

    return initialisers.one_draw(create_all, key_draw)


def _is_hashable(module):
    try:
        hash(module)
    except TypeError:
        return False
    return True

"""Many seeds at once: what makes a distribution over seeds cheap.

States and keys carry a leading axis of seeds. Each seed is its single run, to rounding.
Where keys, and the states that `init` makes of them, are split over a mesh, every
device trains its seeds.
"""

import contextlib
import functools
import operator
from typing import SupportsIndex, TypeVar

import jax
import numpy as np

from infogan_jax import checks, rules, sharding, training, types
from infogan_jax import config as config_lib

Config = config_lib.Config
TrainState = training.TrainState

Tree = TypeVar("Tree")

_WAYS = ("map", "vmap")


@types.jit(static_argnums=0)
def init(config: Config, keys: jax.Array) -> TrainState:
    """Fresh states [S, ...], one for each of keys [S]."""
    create = jax.vmap(functools.partial(training.init, config))
    return sharding.with_auto_axes(
        create, keys, out=lambda mesh: sharding.as_rows(mesh, keys)
    )


def train_steps(
    config: Config,
    states: TrainState,
    dataset: types.Rows,
    keys: jax.Array,
    *,
    steps: int,
    batch_size: int,
    how: str | None = None,
    at_most: int | None = None,
    donate: bool = False,
) -> tuple[TrainState, types.Metrics]:
    """`training.train_steps` for every seed, in one dispatch.

    Args:
      config: what to compute; static.
      states: [S, ...], from `init`.
      dataset: as of `training.train_steps`; shared by all seeds.
      keys: [S], the seeds' own; the same at every call.
      steps: how many.
      batch_size: images per step and seed.
      how: "vmap" does every seed's step together, "map" one seed after another. By
        default "map" on a CPU, which the seeds would only share; "vmap" elsewhere, and
        where the keys are split over devices.
      at_most: the length of the metrics; `steps` by default. One program serves every
        number of steps up to it.
      donate: reuse the memory of `states`, which are then gone.

    Returns:
      The states after them, and metrics [S, at_most], 0 after the first `steps`.

    Raises:
      ValueError: the data do not fit the config, states and keys are not of as many
        seeds, or an argument is out of range.
    """
    if how is None:
        shares_cores = jax.default_backend() == "cpu" and not sharding.is_sharded(keys)
        how = "map" if shares_cores else "vmap"
    if how not in _WAYS:
        raise ValueError(f"how must be one of {_WAYS} or None, not {how!r}.")
    batch_size = rules.as_count("batch_size", batch_size)
    steps, at_most = training.count_steps(steps, at_most)
    _check_seeds(states, keys)
    checks.check_rows(config, dataset, is_dataset=True)  # Its range is unknown in jit.
    run = _donating_train if donate else _jitted_train
    return run(config, states, dict(dataset), keys, steps, batch_size, at_most, how)


def of_seed(states: Tree, index: SupportsIndex) -> Tree:
    """One seed's state (or metrics): every array without its first axis, [seeds].

    Raises:
      ValueError: there is no such seed, or no axis of seeds.
    """
    first, is_traced = jax.tree.leaves(states)[0], isinstance(index, jax.core.Tracer)
    if not np.ndim(first):
        raise ValueError("this is one seed's state already: it has no axis of seeds.")
    n = len(first)
    with contextlib.suppress(TypeError):  # Not whole, or traced.
        index = operator.index(index)
    if not is_traced and not (isinstance(index, int) and 0 <= index < n):
        raise ValueError(f"there is no seed {index}; the states are 0 .. {n - 1}.")

    def one(states, index):
        return jax.tree.map(lambda array: array[index], states)

    return sharding.with_auto_axes(one, states, index, out=sharding.replicated)


def _check_seeds(states, keys):
    is_typed = jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key)
    shapes = states.step.shape, keys.shape if is_typed else keys.shape[:-1]
    if any(len(shape) != 1 for shape in shapes) or len(set(shapes)) > 1:
        raise ValueError(
            f"states and keys are of shapes {shapes[0]} and {shapes[1]}; both need one "
            "axis, of the seeds, and equally many."
        )


def _train(config, states, dataset, keys, steps, batch_size, at_most, how):
    def every(states, dataset, keys, steps):
        def one(state, key):
            return training.train_steps(
                config,
                state,
                dataset,
                key,
                steps=steps,
                batch_size=batch_size,
                at_most=at_most,
            )

        if how == "map":
            return jax.lax.map(lambda seed: one(*seed), (states, keys))
        return jax.vmap(one)(states, keys)

    def as_seeds(mesh):
        seeds = sharding.as_rows(mesh, states.step, keys)
        return sharding.shardings_of(mesh, states), seeds

    return sharding.with_auto_axes(every, states, dataset, keys, steps, out=as_seeds)


_jitted_train = jax.jit(_train, static_argnums=(0, 5, 6, 7))
_donating_train = jax.jit(_train, static_argnums=(0, 5, 6, 7), donate_argnums=1)

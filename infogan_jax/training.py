"""The training step: pure functions of (config, state, batch, key).

Keys. A run has one key. Step s uses `fold_in(key, s)`; from it, stream 0 draws the
batch and stream 1 + p serves the p-th update of the schedule; example i of the global
batch draws from `fold_in(stream, i)`. So no draw depends on the number of devices,
resuming needs nothing but `state.step`, and passing the same key at every step is
right. Beyond all steps the run's key has two streams more: 2**31, for what restarts,
and 2**31 + 1, for a run's report. All this is of JAX's default keys, "threefry2x32":
under `vmap` keys of "rbg" and "unsafe_rbg" draw other numbers, which then depend on
devices and on other seeds.

Running statistics. One update writes a network's: of those that list it, the one that
begins first, and of several that begin together the first in order. The trunk's and
D's head's are of real images, G's and Q's of fakes. Training normalises by the batch;
`infer`, `sample` and `generate` use the running statistics.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import checks, data, descent, rules, sharding, types
from infogan_jax import config as config_lib
from infogan_jax import state as state_lib

Config = config_lib.Config
Net = state_lib.Net
TrainState = state_lib.TrainState
init, copy = state_lib.init, state_lib.copy

_RESTARTS, _REPORT = 2**31, 2**31 + 1  # Streams of the run's key that no step uses.


Step = Callable[
    [TrainState, types.Rows, jax.Array], tuple[TrainState, types.Metrics]
]  # (state, batch, key) -> (state, metrics)


def step(
    config: Config,
    state: TrainState,
    batch: types.Rows,
    key: jax.Array,
    axis_name: types.Axis = None,
) -> tuple[TrainState, types.Metrics]:
    """The config's updates in order, by default one of D and one of G and Q. Pure.

    Args:
      config: what to compute; static.
      state: from `init`, `restore`, or the last step.
      batch: {"image": [B, H, W, C] float32 in [0, 1] or uint8, "label": int32 [B],
        optional, -1 where unknown}. It may be split over a mesh; with `axis_name` it
        is this device's share.
      key: the run's key, the same at every step.
      axis_name: of the mapped axis, or axes, that the batch is split over. In a
        `jax.shard_map` of your own, with it or without, give that `check_vma=False`.

    Returns:
      The next state, and scalar metrics: "d/NonSaturating" is a term's loss in an
      update, "info/0" is L_I of code 0 in nats, "info/lower_bound" their sum;
      "d/gradient" is the norm of an update's gradient, "d/accuracy" D's share of right
      judgements, and "g/spread" how much fakes vary, as a share of real images.

    Raises:
      ValueError: the batch or the state does not fit the config, or the `shard_map`
        around the step would sum gradients by itself; at trace time.

    Source: Chen et al. 2016 (arXiv:1606.03657), eq. 6.
    """
    checks.check_state(config, state)
    batch = checks.prepare_batch(config, batch)
    batch |= {"image": checks.to_float(batch["image"])}
    checks.check_axis(axis_name, state, batch, key)
    run = functools.partial(_step, config, axis_name)
    return sharding.with_auto_axes(run, state, batch, key, out=_step_shardings(state))


def train_step(
    config: Config, state: TrainState, batch: types.Rows, key: jax.Array
) -> tuple[TrainState, types.Metrics]:
    """`step`, jitted: equal configs compile once, and `state` stays alive.

    Raises:
      ValueError: as `step`; float images in host memory outside [0, 1] too.
    """
    checks.check_rows(config, batch)
    return _jitted_step(config, state, dict(batch), key)


def train_steps(
    config: Config,
    state: TrainState,
    dataset: types.Rows,
    key: jax.Array,
    *,
    steps: int | jax.Array,
    batch_size: int,
    at_most: int | None = None,
    donate: bool = False,
) -> tuple[TrainState, types.Metrics]:
    """`steps` steps in one dispatch, their batches drawn inside.

    Args:
      config: what to compute; static.
      state: the state to go on from.
      dataset: {"image": uint8 or float32 in [0, 1], [N, H, W, C], ...}; best on the
        device already, or every call looks through it and puts it there, and uint8:
        floats are looked through at every call.
      key: the run's key.
      steps: how many; a traced number needs `at_most`, and is not compared with it:
        what goes beyond is done, and its metrics are lost.
      batch_size: images per step.
      at_most: the length of the metrics; `steps` by default. One program serves every
        number of steps up to it.
      donate: reuse the memory of `state`, which is then gone.

    Returns:
      The state after them, and metrics [at_most], 0 after the first `steps`.

    Raises:
      ValueError: the data or the state do not fit the config, or a number is out of
        range.
    """
    batch_size = rules.as_count("batch_size", batch_size)
    steps, at_most = count_steps(steps, at_most)
    checks.check_rows(config, dataset, is_dataset=True)
    run = _donating_steps if donate else _jitted_steps
    return run(config, state, dict(dataset), key, steps, batch_size, at_most)


def count_steps(steps: int | jax.Array, at_most: int | None) -> tuple[jax.Array, int]:
    """How many steps to take, as an array, and the most that a program is to serve.

    Raises:
      ValueError: steps are out of 1 .. at_most, or traced and without it.
    """
    if isinstance(steps, jax.core.Tracer):
        if at_most is None:
            raise ValueError("a traced number of steps needs at_most, its limit.")
        return steps, rules.as_count("at_most", at_most)
    steps = rules.as_count("steps", steps)
    at_most = steps if at_most is None else rules.as_count("at_most", at_most)
    if steps > at_most:
        raise ValueError(f"steps must lie in 1 .. {at_most}, not {steps}.")
    # A transfer that was asked for: `jax.transfer_guard` lets it pass.
    return jax.device_put(np.int32(steps)), at_most


def draw(
    dataset: types.Rows, key: jax.Array, step: jax.Array | int, batch_size: int
) -> dict[str, jax.Array]:
    """The batch of a step: a function of the run's key and the step alone.

    Rows are drawn with replacement, uniformly.

    Args:
      dataset: arrays of one length by name, as of `data.draw`.
      key: the run's.
      step: updates done, a whole number; may be traced.
      batch_size: rows to draw.

    Returns:
      The rows by name, [batch_size, ...].

    Raises:
      ValueError: as `data.draw`.
    """
    return data.draw(dataset, batch_key(key, step), batch_size)


def batch_key(key: jax.Array, step: jax.Array | int) -> jax.Array:
    """The key that draws a step's batch, of the run's key: stream 0 of the step's."""
    return jax.random.fold_in(jax.random.fold_in(key, step), 0)


def report_key(key: jax.Array) -> jax.Array:
    """The key of what a finished run reports and draws, of the run's key."""
    return jax.random.fold_in(key, _REPORT)


def train(
    config: Config,
    dataset: types.Rows,
    key: jax.Array,
    *,
    batch_size: int,
    state: TrainState | None = None,
    step_fn: Step | None = None,
) -> Iterator[tuple[TrainState, types.Metrics]]:
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
      ValueError: the data do not fit the config; at the first `next`.
    """
    batch_size = rules.as_count("batch_size", batch_size)
    checks.check_rows(config, dataset, is_dataset=True)
    if state is not None:
        checks.check_single(state)
    dataset = jax.device_put(dict(dataset))
    state = init(config, key) if state is None else copy(state)
    for done in itertools.count(int(state.step)):
        if step_fn is None:
            state, metrics = _donating_step(config, state, dataset, key, batch_size)
        else:  # Its state may lie on devices that this process cannot read.
            at = jax.device_put(np.int32(done))
            batch = _jitted_draw(dataset, key, at, batch_size)
            state, metrics = step_fn(state, batch, key)
        yield state, metrics


def _step(config, axis_name, state, batch, key):
    state = _restart(config, state, key)
    key, metrics = jax.random.fold_in(key, state.step), {}
    for position, update in enumerate(config.updates):
        update_key = jax.random.fold_in(key, 1 + position)
        apply = functools.partial(
            descent.descend,
            config,
            update,
            batch=batch,
            key=update_key,
            axis_name=axis_name,
        )
        state, seen = _run_if_begun(update.begin, apply, state, metrics)
        metrics |= seen
    return state.replace(step=state.step + 1, ema=_average(config, state)), metrics


_jitted_step = jax.jit(step, static_argnums=0)


def _steps(config, state, dataset, key, steps, batch_size, at_most):
    def one(state):
        return _inlined_step(config, state, dataset, key, batch_size)

    def body(i, carry):
        state, rows = carry
        state, metrics = one(state)
        return state, {name: rows[name].at[i].set(x) for name, x in metrics.items()}

    metrics = jax.eval_shape(one, state)[1]
    rows = {name: jnp.zeros((at_most,), x.dtype) for name, x in metrics.items()}
    return jax.lax.fori_loop(0, steps, body, (state, rows))


def _draw_and_step(config, state, dataset, key, batch_size):
    checks.check_single(state)  # `draw` wants one step; the rest is `step`'s to check.

    def run(state, dataset, key):
        return step(config, state, draw(dataset, key, state.step, batch_size), key)

    return sharding.with_auto_axes(run, state, dataset, key, out=_step_shardings(state))


_donating_step = jax.jit(_draw_and_step, static_argnums=(0, 4), donate_argnums=1)
# Traced once, for the names of the metrics and for the loop.
_inlined_step = jax.jit(_draw_and_step, static_argnums=(0, 4), inline=True)
_jitted_steps = jax.jit(_steps, static_argnums=(0, 5, 6))
_donating_steps = jax.jit(_steps, static_argnums=(0, 5, 6), donate_argnums=1)
_jitted_draw = jax.jit(draw, static_argnums=3)


def _restart(config, state, key):
    """The state in which updates whose `restart` is this step have begun anew."""
    for update in dict.fromkeys(config.updates):
        if update.restart is None:
            continue

        def begin(update=update, state=state):
            # As of a run with another key: not the weights that it began with.
            other = jax.random.fold_in(key, _RESTARTS)
            fresh = init(config, jax.random.fold_in(other, update.restart))
            nets = state.nets | {name: fresh.nets[name] for name in update.nets}
            opt = state.opt | {update.name: fresh.opt[update.name]}
            ema = fresh.ema if "g" in update.nets else state.ema
            return state.replace(nets=nets, opt=opt, ema=ema)

        now = state.step == update.restart
        state = jax.lax.cond(now, begin, lambda state=state: state)
    return state


def _run_if_begun(begin, apply, state, metrics):
    """What `apply` makes of the state; before `begin` the state, and metrics of 0.

    A metric that the step has from an update before this one is kept instead.
    """
    if not begin:
        return apply(state)

    def idle(state):
        seen = jax.eval_shape(apply, state)[1]
        return state, {
            name: metrics.get(name, jnp.zeros(x.shape, x.dtype))
            for name, x in seen.items()
        }

    return jax.lax.cond(state.step >= begin, apply, idle, state)


def _step_shardings(state):
    """Where a step's results lie on a mesh: the state as before, the metrics whole."""
    return lambda mesh: (sharding.shardings_of(mesh, state), sharding.replicated(mesh))


def _average(config, state):
    if not config.ema_decay:
        return {}
    keep = config.ema_decay

    def average(old, new):  # Counters and flags have none.
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return new
        return keep * old + (1 - keep) * new

    return jax.tree.map(average, state.ema, {"g": state.nets["g"]})

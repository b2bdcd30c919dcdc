"""The loop of a run: dispatches of updates, and what has to happen between them.

The first process leads: it says how many updates come next, writes and saves. The
others, if there are any, follow. A signal to any of them ends the loop in all.
"""

import contextlib
import ctypes
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp

from infogan_jax import config as config_lib
from infogan_jax import data, evaluation, training, types
from infogan_jax.host import console, processes, signals
from infogan_jax.runs import options as options_lib
from infogan_jax.runs import progress, records

State = training.TrainState
Stop = console.Stop

_KEEP = 3  # newest checkpoints; one of the paper's network is 160 MB
_FAILED = 1000  # No signal has this number.
_AT_MOST = 100  # updates per dispatch
# How long a dispatch should take: what Ctrl-C and the progress have to wait for. Not
# too short: on a CPU each maps fresh memory, a seventh of the paper's update.
_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What stays the same from a run's first update to its last.

    Attributes:
      directory: the run's.
      config: what to compute.
      options: where and how long.
      dataset: its images.
      key: the run's key.
      step_fn: splits its batch over devices; None for one device.
    """

    directory: Path
    config: config_lib.Config
    options: options_lib.Options
    dataset: data.Dataset
    key: jax.Array
    step_fn: training.Step | None


def lead(
    run: Run, state: State, log: records.Log, interrupts: signals.Interrupts
) -> tuple[State, int]:
    """Trains until the last update or a signal, with all that a run writes.

    Returns:
      The state, which is saved, and the signal that ended the loop, or 0.
    """
    advance, pace, options = _advance(run, state), _Pace(), run.options
    step = saved = int(state.step)
    with contextlib.ExitStack() as stack:
        stack.enter_context(interrupts.deferred())
        writer = functools.cache(lambda: stack.enter_context(_writer(run)))
        telling = stack.enter_context(progress.Progress(options.steps, step))
        ended = 0
        while step < options.steps:
            n = pace.next(_next_stop(step, options) - step)
            n, ended = processes.agree(n, interrupts.signal)
            if ended:
                break
            everywhere, metrics = advance(n)
            step += n
            with _telling_others(step < options.steps):
                state = processes.local(everywhere)
                for cause in log.add(step - n, n, metrics):
                    telling.say(cause)
                telling.advance(n)
                last = step == options.steps
                if step % options.evaluate_every == 0 and not last:
                    settle(log, state, telling.say)
                    telling.note(log_accuracy(run, state, log))
                if step % options.save_every == 0 or last:
                    _save(state, log, writer, telling.say)
                    saved = step
        if saved != step:
            _save(state, log, writer, telling.say)
    return state, ended or interrupts.signal


def follow(run: Run, state: State, interrupts: signals.Interrupts) -> int:
    """`lead` in every other process: nothing is written. Returns the signal, or 0.

    Raises:
      Stop: the first process has failed.
    """
    advance, step = _advance(run, state), int(state.step)
    with interrupts.deferred():
        while step < run.options.steps:
            n, ended = processes.agree(0, interrupts.signal)
            if ended == _FAILED:
                raise Stop("the first process has failed, and says why.", status=1)
            if ended:
                return ended
            advance(n)
            step += n
    return 0


def dispatches(
    config: config_lib.Config,
    dataset: types.Rows,
    seed: int,
    *,
    steps: int,
    batch_size: int,
    every: int,
) -> Iterator[tuple[State, types.Metrics]]:
    """Trains a fresh state, and leaves nothing on the disk.

    Yields it after every so many updates, with their metrics, [every] or, at the end,
    fewer. A yielded state is gone once the next is asked for.

    Raises:
      Stop: training has failed (status 1).
    """
    key, on_device = jax.random.key(seed), jax.device_put(dict(dataset))
    state = training.init(config, key)
    for begin in range(0, steps, every):
        n = min(every, steps - begin)
        state, metrics = training.train_steps(
            config,
            state,
            on_device,
            key,
            steps=n,
            batch_size=batch_size,
            at_most=every,
            donate=True,
        )
        check_finite(state, "nothing was saved")
        yield state, {name: row[:n] for name, row in metrics.items()}


def log_accuracy(run: Run, state: State, log: records.Log) -> str:
    """Writes a line of accuracy.jsonl, if there are labels; says it in a few words."""
    if not evaluation.can_cluster(run.config, run.dataset.test):
        return ""
    found = evaluation.clustering(run.config, state, run.dataset.test)
    log.add_accuracy(int(state.step), found)
    return f"test accuracy {found['hungarian']:.3f}"


def settle(log: records.Log, state: State, say: Callable[[str], object]) -> None:
    """Writes the lines up to this state, and says their alarms.

    Raises:
      Stop: training has failed (status 1), or the logs cannot be written.
    """
    for cause in log.flush():
        say(cause)
    check_finite(state)


def check_finite(state: State, left: str = "what was saved is from before") -> None:
    """Raises Stop (status 1) unless a state may be saved: every number is finite.

    `left` says what there is of the run then.
    """
    if not _is_finite(state):
        raise Stop(
            f"a parameter is not finite after update {state.step}: training has failed;"
            f" {left}.",
            status=1,
        )


def give_memory_back() -> None:
    """Keeps a long run's memory level: saves leave gaps that glibc keeps for later."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Another C library.
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _telling_others(waiting):
    """What fails in here ends the other processes too, if they are `waiting`."""
    try:
        yield
    except BaseException:
        if waiting:  # To hear how many updates come next.
            processes.agree(0, _FAILED)
        raise


def _save(state, log, writer, say):
    """Saves the state and the lines up to it."""
    settle(log, state, say)
    writer().save(state)
    give_memory_back()


@jax.jit
def _is_finite(state):
    arrays = jax.tree.leaves((state.nets, state.opt, state.ema))
    return jnp.stack([jnp.isfinite(array).all() for array in arrays]).all()


def _writer(run):
    from infogan_jax import checkpoint  # Importing Orbax takes a second.

    return checkpoint.Writer(run.directory, run.config, keep=_KEEP)


def _advance(run, state):
    """A function of n: the state after n more updates, and their metrics."""
    config, key, batch_size = run.config, run.key, run.options.batch_size
    if run.step_fn is not None:
        steps = training.train(
            config,
            run.dataset.train,
            key,
            batch_size=batch_size,
            state=state,
            step_fn=run.step_fn,
        )

        def one_by_one(n):
            seen = [next(steps) for _ in range(n)]
            rows = {name: [metrics[name] for _, metrics in seen] for name in seen[0][1]}
            return seen[-1][0], rows

        return one_by_one

    on_device, current = jax.device_put(run.dataset.train), training.copy(state)

    def in_one_dispatch(n):
        nonlocal current
        current, rows = training.train_steps(
            config,
            current,
            on_device,
            key,
            steps=n,
            batch_size=batch_size,
            at_most=_AT_MOST,
            donate=True,
        )
        return current, rows

    return in_one_dispatch


def _next_stop(step, options):
    """The next step after which there is something to do."""
    periods = (options.save_every, options.evaluate_every)
    return min(options.steps, *(step - step % period + period for period in periods))


class _Pace:
    """How many updates to dispatch at once: as many as take about `_SECONDS`."""

    def __init__(self):
        self._length, self._dispatched, self._when = 1, 0, None

    def next(self, limit):
        """The number for the next dispatch, at most `limit`."""
        now = time.monotonic()
        if self._when is not None:
            fits = self._dispatched * _SECONDS / max(now - self._when, 1e-6)
            # Doubling at most: the first dispatches only tell of compilation.
            self._length = max(1, min(_AT_MOST, 2 * self._length, int(fits)))
        self._dispatched, self._when = min(self._length, limit), now
        return self._dispatched

"""Several seeds of an experiment in one program; `mnist_seeds.py --at-once`.

Each seed's run lies in a directory of its own, and is what a run by itself would be: it
may be resumed, sampled and reported on as any other.
"""

import contextlib
import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import seeds

from infogan_jax import checkpoint, data, parallel, population
from infogan_jax.host import console, paths, signals
from infogan_jax.runs import loop, program, records
from infogan_jax.runs import options as options_lib

SAVE_EVERY_S = 300  # Sixteen seeds of the paper's size are 2.5 GB.


def train(
    experiment,
    out: Path,
    wanted: list[int],
    rest: list[str],
    dataset: data.Dataset | None = None,
) -> list[int]:
    """Trains those of the wanted seeds that have not begun, in one program.

    The dataset is that of the options, which is loaded unless it is given.

    Returns:
      The seeds for which training has failed; the others are finished.

    Raises:
      Stop, ValueError, OSError, ImportError: an option is wrong, the data cannot be
        read, a directory cannot be written, or a signal came (status 128 and more).
    """
    paths.check_path(out)
    fresh = [seed for seed in wanted if not seeds.has_begun(seeds.run_of(out, seed))]
    if not fresh:
        return []
    given = seeds.given_options(experiment, rest)
    options = options_lib.chosen(experiment.defaults, given)
    whole, split = places(len(fresh), options)
    program.keep_compiled_programs()
    dataset = dataset or data.load(options.data, options.data_dir)
    seeds.check_labels(dataset)
    print(f"data: {dataset.note}", flush=True)
    options = dataclasses.replace(options, data=dataset.name)
    config = program.configuration(experiment.build, options, dataset.image_shape)
    with contextlib.ExitStack() as held:
        logged = []
        for seed in fresh:
            own = dataclasses.replace(options, seed=seed)
            directory = seeds.run_of(out, seed)
            logged.append(begin(held, directory, config, own, dataset, len(fresh)))
        return train_together(logged, whole, split)


def places(n_seeds: int, options: program.Options) -> tuple:
    """Where the data lie, and the seeds, split evenly over as many devices as can be.

    Raises:
      Stop: there are not the devices that the options ask for.
    """
    devices = program.first_devices(options.devices)
    n, kind = parallel.largest_fit(n_seeds, len(devices)), devices[0].device_kind
    available, each = jax.local_device_count(), n_seeds // n
    print(f"devices: {n} of {available} ({kind}), seeds on each: {each}")
    return parallel.shardings(devices[:n])


def begin(held, directory: Path, config, options, dataset, n_seeds: int):
    """A run that is led with others, `n_seeds` in all, and its log; `held` keeps both.

    Raises:
      Stop: the directory cannot be written, or holds more than a run that was killed
        before its first save.
    """
    check_unsaved(directory)
    held.enter_context(records.lock(directory))
    check_unsaved(directory)  # Another may have been there first.
    records.write_header(directory, config, options, dataset, False, n_seeds)
    for name in records.LOGS:  # Of a try that was killed.
        (directory / f"{name}.jsonl").unlink(missing_ok=True)
    key = jax.random.key(options.seed)
    run = loop.Run(directory, config, options, dataset, key, step_fn=None)
    log = records.Log(directory, config, time.monotonic())
    return run, held.enter_context(log)


def check_unsaved(directory: Path) -> None:
    """Raises Stop unless a run may begin there."""
    is_new = records.is_new(directory) or records.is_unsaved(directory)
    if not is_new or checkpoint.steps(directory):
        raise console.Stop(
            f"{directory} exists, and is no run that was killed before its first save; "
            "name another by --out."
        )


def train_together(logged, whole, split) -> list[int]:
    """Trains all runs together to their end; returns the seeds that failed on the way.

    Args:
      logged: runs and logs, from `begin`, of options that differ in the seed alone.
      whole: the sharding of the data, from `places`.
      split: that of the seeds.

    Raises:
      Stop: a log or a checkpoint cannot be written; or a signal came (status 128 and
        more), and all are saved.
    """
    first, _ = logged[0]
    config, options, dataset = first.config, first.options, first.dataset
    keys = jax.device_put(jnp.stack([run.key for run, _ in logged]), split)
    states = population.init(config, keys)
    on_devices = jax.device_put(dataset.train, whole)
    began = saved = time.monotonic()
    going, step, ended = list(range(len(logged))), 0, 0
    with signals.Interrupts() as interrupts, interrupts.deferred():
        while going and step < options.steps and not ended:
            n = min(options.evaluate_every, options.steps - step)
            states, metrics = population.train_steps(
                config,
                states,
                on_devices,
                keys,
                steps=n,
                batch_size=options.batch_size,
                at_most=min(options.evaluate_every, options.steps),
                donate=True,
            )
            rows, step = jax.device_get(metrics), step + n
            ended = interrupts.signal  # One that comes later ends the next round.
            is_due = time.monotonic() - saved > SAVE_EVERY_S
            is_due |= step == options.steps or bool(ended)
            for index in going:
                logged[index][1].add(step - n, n, population.of_seed(rows, index))
            going = record_each(logged, going, states, is_due)
            if is_due:
                saved = time.monotonic()
            progress = f"update {step} of {options.steps} of {len(logged)} seeds"
            print(f"{progress}, {time.monotonic() - began:.0f} s", flush=True)
    if number := ended or interrupts.signal:
        raise seeds.interrupted(number, step, options.steps)
    # All are saved: what goes wrong from here on costs no other seed its training.
    for index in going:
        run, log = logged[index]
        state = population.of_seed(states, index)
        program.write_figures(run, state, program.evaluate(run, state, log))
    return [run.options.seed for i, (run, _) in enumerate(logged) if i not in going]


def record_each(logged, going, states, is_due: bool) -> list[int]:
    """`record` for the runs that go on, by index; returns those that still do.

    Raises:
      Stop: a directory cannot be written.
    """
    failed = []
    for index in going:
        run, log = logged[index]
        with seeds.sparing_others(run.options.seed, failed):
            record(run, population.of_seed(states, index), log, is_due)
    return [index for index in going if logged[index][0].options.seed not in failed]


def record(run: loop.Run, state, log: records.Log, is_due: bool) -> None:
    """What a run leaves after an update: its lines, and a save if one is due.

    Raises:
      Stop: training has failed (status 1), or the directory cannot be written.
    """
    name = f"seed {run.options.seed}"
    loop.settle(log, state, lambda cause: print(f"{name}: {cause}", file=console.ERR))
    if state.step < run.options.steps:
        loop.log_accuracy(run, state, log)
    if is_due:
        log.flush()
        with checkpoint.Writer(run.directory, run.config, keep=2) as writer:
            writer.save(state)

"""InfoGAN on MNIST over many seeds: the distribution behind the paper's one number.

    python experiments/mnist_seeds.py --quick --data bundled --seeds 0-9
    python experiments/mnist_seeds.py --data mnist --seeds 0-15 --out runs/paper-seeds
    python experiments/mnist_seeds.py --vat --quick --data mnist --out runs/vat-seeds

Every option that is not below goes to `mnist.py`, or with `--vat` to `mnist_vat.py`,
whose runs lie in `OUT/seed-N`. A finished seed is skipped and an interrupted one
resumed, so the same command goes on after a kill; several processes may share OUT, each
with seeds of its own. The report of all finished seeds is written anew each time:
report.md, report.json, accuracy.png, confusions.png. No seed is left out of it. Times
and results: the README, and `experiments/results`.

On a GPU or TPU `--at-once` trains the seeds that have not begun in one program, on as
many of the devices (of `--devices`, if given) as share them evenly. It saves them every
five minutes, on Ctrl-C and on SIGTERM; then each goes on by itself. A seed that fails
does not keep the others from training, nor from the report.
"""

import contextlib
import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import mnist
import mnist_vat
import seeds
import seeds_report

from infogan_jax import (
    Config,
    checkpoint,
    console,
    data,
    evaluation,
    json_files,
    loop,
    parallel,
    paths,
    population,
    records,
    resuming,
    runs,
    signals,
)
from infogan_jax import options as options_lib

SAVE_EVERY_S = 300  # of seeds at once: sixteen of the paper's size are 2.5 GB


def train(experiment, out: Path, seed: int, rest: list[str]) -> int:
    """Trains what is missing of the experiment's seed; returns the exit status."""
    run = seeds.run_of(out, seed)
    if not (run / "run.json").exists():
        return experiment.main([*rest, "--seed", str(seed), "--out", str(run)])
    try:
        has_all = has_all_steps(experiment, run, rest)
    except (console.Stop, ValueError) as error:
        return console.tell(error)
    if has_all and (run / "evaluation.json").exists():
        print(f"seed {seed}: finished before", flush=True)
        return 0
    return experiment.main([*rest, "--out", str(run), "--resume"])


def train_at_once(
    experiment, out: Path, wanted: list[int], rest: list[str]
) -> list[int]:
    """Trains those of the wanted seeds that have not begun, in one program.

    Returns:
      The seeds for which training has failed; the others are finished.

    Raises:
      Stop, ValueError, OSError, ImportError: an option is wrong, the data cannot be
        read, a directory cannot be written, or a signal came (status 128 and more).
    """
    paths.check_path(out)
    fresh = [seed for seed in wanted if not has_begun(seeds.run_of(out, seed))]
    if not fresh:
        return []
    given = seeds.given_options(experiment, rest)
    options = options_lib.chosen(experiment.defaults, given)
    whole, split = places(len(fresh), options)
    runs.keep_compiled_programs()
    dataset = data.load(options.data, options.data_dir)
    check_labels(dataset)
    print(f"data: {dataset.note}", flush=True)
    options = dataclasses.replace(options, data=dataset.name)
    config = runs.configuration(experiment.build, options, dataset.image_shape)
    with contextlib.ExitStack() as held:
        logged = []
        for seed in fresh:
            own = dataclasses.replace(options, seed=seed)
            directory = seeds.run_of(out, seed)
            logged.append(begin(held, directory, config, own, dataset))
        return lead(logged, whole, split)


def places(n_seeds: int, options: runs.Options) -> tuple:
    """Where the data lie, and the seeds, split evenly over as many devices as can be.

    Raises:
      Stop: there are not the devices that the options ask for.
    """
    devices = runs.local_devices(options) if options.devices else jax.local_devices()
    n, kind = parallel.largest_fit(n_seeds, len(devices)), devices[0].device_kind
    available, each = jax.local_device_count(), n_seeds // n
    print(f"devices: {n} of {available} ({kind}), seeds on each: {each}")
    return parallel.shardings(devices[:n])


def check_labels(dataset: data.Dataset) -> None:
    """Raises Stop where the report could not tell how well a seed did."""
    if not all(map(evaluation.has_labels, (dataset.train, dataset.test))):
        raise console.Stop(
            f"{dataset.name} has no labels, by which seeds are compared; train each by "
            "the experiment itself."
        )


def has_begun(run: Path) -> bool:
    """Whether a run was saved, or is finished."""
    return bool(checkpoint.steps(run)) or (run / "evaluation.json").exists()


def begin(held, directory: Path, config, options, dataset):
    """A run that is led with others, and its log; `held` keeps them open.

    Raises:
      Stop: the directory cannot be written, or holds more than a run that was killed
        before its first save.
    """
    check_unsaved(directory)
    held.enter_context(records.lock(directory))
    check_unsaved(directory)  # Another may have been there first.
    records.write_header(directory, config, options, dataset, resume=False)
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


def lead(logged, whole, split) -> list[int]:
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
        runs.write_figures(run, state, runs.evaluate(run, state, log))
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
    loop.settle(log, state, f"seed {run.options.seed}: ")
    if state.step < run.options.steps:
        loop.log_accuracy(run, state, log)
    if is_due:
        log.flush()
        with checkpoint.Writer(run.directory, run.config, keep=2) as writer:
            writer.save(state)


def has_all_steps(experiment, run: Path, rest: list[str]) -> bool:
    """Whether a run that was begun asked for as many steps as the options now do.

    Raises:
      Stop, ValueError: it is another experiment's, or had other options.
    """
    given = seeds.given_options(experiment, rest)
    before, now = (options_lib.resumed(run, wish) for wish in ({}, given))
    if now.data != before.data:
        raise console.Stop(f"{run} was trained on {before.data}, not {now.data}.")
    path = run / "config.json"
    if path.exists():  # The committed results have none.
        config = resuming.read(path, Config.from_json)
        # Its schedules are of the length that it began with.
        steps = json_files.read(run / "environment.json").get("steps", before.steps)
        began = dataclasses.replace(before, steps=steps)
        if config != runs.configuration(experiment.build, began, config.image_shape):
            raise console.Stop(
                f"{run} holds a run of another experiment, or of another version of "
                f"{experiment.__name__}.py; name another directory by --out."
            )
    asked = options_lib.chosen(experiment.defaults, given)
    for name in ("quick", "batch_size", "bfloat16"):  # Said or not, of all seeds.
        theirs, ours = getattr(before, name), getattr(asked, name)
        if theirs != ours:
            raise console.Stop(
                f"{run} began with {name} {theirs}, where this command has {ours}; "
                "give the same options, or name another directory by --out."
            )
    return now.steps == before.steps


def parse(argv):
    """The options, and those of each seed; ends the process where some are wrong."""
    parser = options_lib.command(__doc__)
    parser.add_argument(
        "--seeds", type=seeds.parse, default=seeds.parse("0-9"), help="(default: 0-9)"
    )
    parser.add_argument(
        "--vat", action="store_true", help="the seeds of mnist_vat.py instead"
    )
    parser.add_argument(
        "--at-once", action="store_true", help="in one program; for GPUs and TPUs"
    )
    parser.add_argument(
        "--out",
        type=options_lib.path,
        default=Path("runs/mnist-seeds"),
        help="(default: %(default)s)",
    )
    options, rest = parser.parse_known_args(argv)
    seeds.refuse_own(parser, rest, "--seeds")
    return options, rest


def main(argv=None) -> int:
    """Trains the seeds and reports; returns the exit status."""
    options, rest = parse(argv)
    experiment, failed = mnist_vat if options.vat else mnist, []
    try:
        begun = (seeds.run_of(options.out, seed) for seed in options.seeds)
        for run in begun:  # All of them, before the first hour.
            if (run / "run.json").exists():
                has_all_steps(experiment, run, rest)
        if options.at_once:
            failed = train_at_once(experiment, options.out, options.seeds, rest)
        elif not all(has_begun(seeds.run_of(options.out, s)) for s in options.seeds):
            given = seeds.given_options(experiment, rest)
            if ":" in given.get("data", ""):  # The others, by name, have labels.
                check_labels(data.load(given["data"], given.get("data_dir")))
        for seed in options.seeds:
            if seed in failed:
                continue
            status = train(experiment, options.out, seed, rest)
            if status > 1:  # A signal, or what would stop the others too.
                return status
            if status:
                failed.append(seed)
        if options.out.is_dir():
            # Of all processes that share it, the last to end reports on all seeds.
            with records.lock(options.out, wait=True):
                if reports := seeds_report.collect(options.out):
                    seeds_report.write(options.out, reports)
        seeds.check_none_failed(failed)
    except (console.Stop, ValueError, OSError, ImportError) as error:
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)

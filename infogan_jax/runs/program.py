"""An experiment as a program: its command line, its run, its report and figures."""

import contextlib
import dataclasses
import gc
import inspect
import json
import os
import shlex
import time
from collections.abc import Callable, Sequence

import jax

from infogan_jax import config as config_lib
from infogan_jax import data, evaluation, parallel, plotting, training
from infogan_jax.host import console, json_files, paths, processes, signals
from infogan_jax.runs import loop, records, resuming
from infogan_jax.runs import options as options_lib

Options = options_lib.Options
Stop = console.Stop


def main(
    argv: Sequence[str] | None,
    description: str,
    defaults: Callable[[bool], Options],
    build: Callable[[Options, tuple], config_lib.Config],
    out: str,
) -> int:
    """Runs an experiment from its command line; returns the status for `console.run`.

    Args:
      argv: the arguments; None for the process's own.
      description: the experiment's docstring.
      defaults: the options, given whether --quick was.
      build: (options, image shape) -> Config.
      out: the default run directory.
    """
    arguments = options_lib.parser(description, defaults, out).parse_args(argv)
    given = vars(arguments)
    try:
        directory, resume = paths.expand(given.pop("out")), given.pop("resume")
        # First: joining puts a handler of its own on SIGTERM.
        if address := given.pop("distributed"):
            processes.join(address)
        with signals.Interrupts() as interrupts:
            return _start(directory, resume, given, defaults, build, interrupts)
    except signals.Interrupted as interrupted:
        begun = (directory / "run.json").exists()
        processes.say(
            f"interrupted. {_command(directory, build)}" if begun else "interrupted."
        )
        return 128 + interrupted.signal
    except (Stop, ValueError, OSError, ImportError) as error:
        return console.tell(error)


def configuration(
    build: Callable[[Options, tuple], config_lib.Config],
    options: Options,
    image_shape: tuple,
) -> config_lib.Config:
    """What an experiment's `build` makes of all the options."""
    config = build(options, image_shape)
    if options.bfloat16:
        config = dataclasses.replace(config, compute_dtype="bfloat16")
    return config


def local_devices(options: Options) -> list[jax.Device]:
    """The local devices that share a batch: as asked for, or as many as divide it.

    Raises:
      Stop: there are not so many, or the batch cannot be split over them.
    """
    n = options.devices
    if n is None:
        n = parallel.largest_fit(options.batch_size, jax.local_device_count())
    devices = first_devices(n)
    _check_split(options, n)
    return devices


def first_devices(n: int | None) -> list[jax.Device]:
    """So many local devices, or all.

    Raises:
      Stop: there are not so many.
    """
    available = jax.local_devices()
    if n is not None and n > len(available):
        raise Stop(
            f"--devices {n}, but there are only {len(available)} here; ask for no more."
        )
    return available[:n]


def evaluate(run: loop.Run, state: training.TrainState, log: records.Log) -> dict:
    """A run's evaluation.json: with it the run is finished, and only figures follow."""
    train, test = run.dataset.train, run.dataset.test
    key = training.report_key(run.key)
    report = evaluation.evaluate(run.config, state, train, test, key)
    report |= {"test_set": f"{run.dataset.name} test", "alarms": log.alarms}
    if "hungarian" in report:
        log.add_accuracy(run.options.steps, report)
    log.flush()
    json_files.write(run.directory / "evaluation.json", report)
    return report


@plotting.skip_without_matplotlib
def write_figures(run: loop.Run, state: training.TrainState, report: dict) -> None:
    """Writes every figure of a run; says so where matplotlib is missing."""
    key = training.report_key(run.key)
    figures = plotting.figures(run.config, state, key, label_of=report.get("label_of"))
    lines = json_files.rows(run.directory / "metrics.jsonl")
    figures["curves.png"] = plotting.curves(run.config, lines)
    for name, figure in figures.items():
        plotting.save(figure, run.directory / name)


def keep_compiled_programs() -> None:
    """Compiles once for all runs: programs stay in the user's cache directory."""
    where = jax.config.values["jax_compilation_cache_dir"]
    if not where:
        where = data.default_dir() / "compiled"
        with contextlib.suppress(OSError):
            where.mkdir(parents=True, exist_ok=True)
        if not os.access(where, os.W_OK):
            processes.say(f"compiled programs are not kept: {where} cannot be written.")
            return
        jax.config.update("jax_compilation_cache_dir", str(where))
    processes.say(f"compiled programs are kept in {where}")


def _start(directory, resume, given, defaults, build, interrupts):
    """Everything before the first update, of which the first process decides most."""
    began = time.monotonic()
    chosen = processes.text_from_first(
        lambda: json.dumps(_choose(directory, resume, given, defaults))
    )
    options = Options(**json.loads(chosen))
    keep_compiled_programs()
    dataset = _load(options)
    processes.say(f"data: {dataset.note}")
    options = dataclasses.replace(options, data=dataset.name)
    configured = processes.text_from_first(
        lambda: _configure(directory, resume, dataset, build, options).to_json()
    )
    config = config_lib.Config.from_json(configured)
    run = loop.Run(
        directory,
        config,
        options,
        dataset,
        key=jax.random.key(options.seed),
        step_fn=_step_fn(config, options),
    )
    with contextlib.ExitStack() as held:
        saved = processes.on_first(lambda: _open_directory(run, resume, held))
        state = processes.from_first(saved or training.init(config, run.key))
        if processes.is_first():
            return _train_and_report(
                run, state, interrupts, began, _command(directory, build)
            )
        ended = loop.follow(run, state, interrupts)
        return 128 + ended if ended else 0


def _choose(directory, resume, given, defaults):
    """The run's options, as a dict; raises where it cannot begin or go on."""
    paths.check_path(directory)
    if resume:
        options = options_lib.resumed(directory, given)
        options_lib.check(options)
    else:
        resuming.check_new(directory)
        options = options_lib.chosen(defaults, given)
    return dataclasses.asdict(options)


def _load(options):
    """The data, the same in all processes; where one lacks them, all stop.

    Raises:
      ValueError, OSError, ImportError: as `data.load`.
      Stop: another process has failed, or has other data.
    """
    dataset, failure, ours = None, None, ""
    try:
        dataset = data.load(options.data, options.data_dir)
        ours = dataset.sha256
    except (ValueError, OSError, ImportError) as error:
        failure = error
    firsts = processes.text_from_first(lambda: ours)
    if ours and firsts and ours != firsts:
        failure = Stop(
            f"{dataset.name} differs between the processes; give all the same."
        )
    [has_failed] = processes.agree(failure is not None)
    if failure is not None:
        raise failure
    if has_failed:
        raise Stop("another process lacks this run's data, and says why.")
    return dataset


def _configure(directory, resume, dataset, build, options):
    """The run's Config: that of its directory, or what `build` makes."""
    if resume:
        return resuming.saved_config(directory, dataset)
    return configuration(build, options, dataset.image_shape)


def _open_directory(run, resume, held):
    """The state to go on from, if any was saved; `held` keeps others out."""
    held.enter_context(records.lock(run.directory))
    if not resume:  # Another process may have begun while the data came.
        resuming.check_new(run.directory)
    saved = resuming.saved_state(run) if resume else None
    records.write_header(run.directory, run.config, run.options, run.dataset, resume)
    return saved


def _step_fn(config, options):
    """None for one device, a step that splits its batch for several."""
    if jax.process_count() > 1:
        return _step_fn_of_all(config, options)
    devices, available = local_devices(options), jax.local_device_count()
    kind, n = devices[0].device_kind, len(devices)
    processes.say(f"devices: {n} of {available} ({kind}), batch {options.batch_size}")
    if n == 1:
        return None
    return parallel.pmap_step(config, devices=devices, donate=True)


def _step_fn_of_all(config, options):
    """A step over the devices of all processes."""
    n = jax.device_count()
    _check_split(options, n)
    if options.devices not in (None, n):
        raise Stop(f"--devices {options.devices}, but several processes use all {n}.")
    processes.say(
        f"devices: {n} of {jax.process_count()} processes "
        f"({jax.devices()[0].device_kind}), batch {options.batch_size}"
    )
    return parallel.shard_map_step(config, donate=True)


def _check_split(options, n):
    if options.batch_size % n:
        raise Stop(
            f"--batch-size {options.batch_size} cannot be split over {n} devices; use "
            f"a multiple of {n}."
        )


def _train_and_report(run, state, interrupts, began, command):
    """From the first process's state to the report; `command` goes on with the run."""
    directory, options, first = run.directory, run.options, int(state.step)
    if first < options.steps:  # A report of an earlier end is not this run's.
        (directory / "evaluation.json").unlink(missing_ok=True)
    rows = json_files.cut(directory / "metrics.jsonl", lambda row: row["step"] <= first)
    json_files.cut(directory / "timings.jsonl", lambda row: True)  # Less a torn line.
    # The last line of accuracy.jsonl comes after the last checkpoint, and only there
    # may it be of another update.
    last, every = min(first, options.steps - 1), options.evaluate_every
    evaluated = json_files.cut(
        directory / "accuracy.jsonl",
        lambda row: row["step"] <= last and row["step"] % every == 0,
    )
    with records.Log(directory, run.config, began, rows) as log:
        if 0 < first < options.steps and first % every == 0:
            if not evaluated or evaluated[-1]["step"] != first:
                loop.log_accuracy(run, state, log)
        state, ended = loop.lead(run, state, log, interrupts)
        if ended:
            step = int(state.step)
            done = f"saved after {step}" if step else "nothing was done yet"
            processes.say(f"interrupted; {done} of {options.steps} updates. {command}")
            return 128 + ended
        report = evaluate(run, state, log)
    processes.say(evaluation.describe(report))
    for alarm in report["alarms"]:
        processes.say(records.describe_alarm(alarm))
    write_figures(run, state, report)
    _tell_of_files(run, report)
    with interrupts.deferred():  # What a signal raises in it would be lost.
        gc.collect()  # Figures are cyclic.
    loop.give_memory_back()
    processes.say(f"{(time.monotonic() - began) / 60:.1f} minutes in all")
    return 128 + interrupts.signal if interrupts.signal else 0


def _command(directory, build):
    script = os.path.relpath(inspect.getfile(build))  # Another may have called it.
    words = ["python", script, "--out", str(directory), "--resume"]
    as_before = " --distributed, as before" if jax.process_count() > 1 else ""
    return f"Go on with: {shlex.join(words)}{as_before}"


def _tell_of_files(run, report):
    processes.say(f"everything is in {run.directory}; sample with:")
    words = ["sample", str(run.directory)]
    if labels := report.get("label_of"):
        words += ["--digit", str(3 if 3 in labels else labels[0])]
    processes.say(f"  python -m infogan_jax {shlex.join(words)} --out samples.png")

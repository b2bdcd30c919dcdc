"""Run directories: how an experiment trains, survives interruption, and reports.

A run directory holds

    config.json       the Config
    run.json          the options: data, steps, batch size, seed, ...
    environment.json  versions, devices, the dataset's name and hash, the seed
    metrics.jsonl     one line per update: "step" and the metrics; no clock values
    accuracy.jsonl    clustering of the test images every so many updates
    timings.jsonl     seconds since the start of this process
    checkpoints/      the newest three saved steps, restorable by path
    evaluation.json   the final report, with the label of each category
    *.png             figures

`metrics.jsonl` of a resumed run equals that of an uninterrupted one, line by line.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
import tqdm

from infogan_jax import config as config_lib
from infogan_jax import data, evaluation, parallel, training

_PACKAGES = (
    "infogan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
)
_KEEP = 3  # newest checkpoints; one of the paper's network is 160 MB
_FIGURE_KEY = 1_000_000  # A stream of the run's key that no step uses.


@dataclasses.dataclass(frozen=True)
class Options:
    """Where and how long a run goes on; see `parser` for the meanings."""

    quick: bool
    data: str
    data_dir: str | None
    steps: int
    batch_size: int
    seed: int
    save_every: int
    evaluate_every: int
    devices: int | None


class Stop(Exception):
    """An error for people: one line, and the exit status."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


def main(
    argv: Sequence[str] | None,
    description: str,
    defaults: Callable[[bool], Options],
    build: Callable[[Options, tuple], config_lib.Config],
    out: str,
) -> int:
    """Runs an experiment from its command line; returns the exit status.

    Args:
      argv: the arguments; None for the process's own.
      description: the experiment's docstring.
      defaults: the options, given whether --quick was.
      build: (options, image shape) -> Config.
      out: the default run directory.
    """
    arguments = parser(description, defaults, out).parse_args(argv)
    try:
        given = vars(arguments)
        directory, resume = Path(given.pop("out")), given.pop("resume")
        if resume:
            options = _resumed_options(directory, given)
        else:
            options = dataclasses.replace(defaults(given.get("quick", False)), **given)
            _check_new(directory)
        _check_options(options)
        dataset = data.load(options.data, options.data_dir)
        _say(f"data: {dataset.note}")
        options = dataclasses.replace(options, data=dataset.name)
        if resume:
            config = _resumed_config(directory, dataset)
        else:
            config = build(options, dataset.image_shape)
        step_fn = _step_fn(config, options)
        _write_header(directory, config, options, dataset, resume)
        return _run(directory, config, options, dataset, step_fn)
    except Stop as stop:
        _say(f"error: {stop}")
        return stop.status
    except KeyboardInterrupt:
        _say("interrupted.")
        return 128 + signal.SIGINT
    except (ValueError, OSError, ImportError) as error:
        _say(f"error: {error}")
        return 2


def parser(description, defaults, out) -> argparse.ArgumentParser:
    """The command line of an experiment."""
    full, quick = defaults(False), defaults(True)
    p = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )

    def option(name, help, type=str, metavar=None):
        field = name.strip("-").replace("-", "_")
        values = (getattr(full, field), getattr(quick, field))
        shown = (
            f"{values[0]}, with --quick {values[1]}"
            if len(set(values)) > 1
            else values[0]
        )
        p.add_argument(
            name, type=type, metavar=metavar, help=f"{help} (default: {shown})"
        )

    p.add_argument(
        "--quick", action="store_true", help="a small network for a laptop's CPU"
    )
    option("--data", f"dataset: {', '.join(data.NAMES)}", metavar="NAME")
    option("--data-dir", "directory that holds, or gets, the data", metavar="DIR")
    option("--steps", "updates in all, of D and of G", int, "N")
    option("--batch-size", "images per update, over all devices", int, "N")
    option("--seed", "of everything random; an integer", int, "N")
    option("--save-every", "updates between checkpoints", int, "N")
    option("--evaluate-every", "updates between accuracies", int, "N")
    option(
        "--devices", "local devices to use; None: as many as divide the batch", int, "N"
    )
    p.add_argument(
        "--out", default=out, metavar="DIR", help="run directory (default: %(default)s)"
    )
    p.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="go on with the run in --out and its options; only --steps may be raised",
    )
    return p


def _check_options(options):
    for name in ("steps", "batch_size", "save_every", "evaluate_every", "devices"):
        value = getattr(options, name)
        if value is not None and value < 1:
            flag = "--" + name.replace("_", "-")
            raise Stop(f"{flag} must be at least 1, not {value}.")
    if not 0 <= options.seed < 2**32:
        raise Stop(f"--seed must lie in 0 .. 2**32 - 1, not {options.seed}.")


def _check_new(directory):
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise Stop(
            f"{directory} exists. Go on with it by --resume, or name another by --out."
        )


def _resumed_options(directory, given):
    path = directory / "run.json"
    if not path.is_file():
        raise Stop(f"{directory} holds no run to resume (no run.json).")
    try:
        options = Options(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise Stop(f"{path} is damaged: {error}") from error
    for name, value in given.items():
        stored = getattr(options, name)
        if value == stored or (name == "data" and value == "auto"):
            continue
        if name == "steps" and value > stored:
            options = dataclasses.replace(options, steps=value)
        elif name in ("data_dir", "devices"):
            options = dataclasses.replace(options, **{name: value})
        else:
            flag = "--" + name.replace("_", "-")
            raise Stop(
                f"{flag} {value} conflicts with the run's {stored}; leave it out, or "
                "start another run by --out. Only --steps may be raised."
            )
    return options


def _resumed_config(directory, dataset):
    environment = json.loads((directory / "environment.json").read_text())
    if environment["dataset"]["sha256"] != dataset.sha256:
        raise Stop(
            f"{dataset.name} is not the data that this run began with: SHA-256 "
            f"{dataset.sha256[:12]}, then {environment['dataset']['sha256'][:12]}."
        )
    return config_lib.Config.from_json((directory / "config.json").read_text())


def _step_fn(config, options):
    """None for one device, a `pmap_step` for several."""
    available = jax.local_device_count()
    n = options.devices or parallel.largest_fit(options.batch_size, available)
    if n > available:
        raise Stop(f"--devices {n}, but there are only {available} here.")
    if options.batch_size % n:
        raise Stop(
            f"--batch-size {options.batch_size} cannot be split over {n} devices; use "
            f"a multiple of {n}."
        )
    kind = jax.local_devices()[0].device_kind
    _say(f"devices: {n} of {available} ({kind}), batch {options.batch_size}")
    if n == 1:
        return None
    return parallel.pmap_step(config, devices=jax.local_devices()[:n], donate=True)


def _write_header(directory, config, options, dataset, resume):
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_json(directory / "run.json", dataclasses.asdict(options))
        if not resume:
            (directory / "config.json").write_text(config.to_json() + "\n")
            _write_json(directory / "environment.json", _environment(options, dataset))
    except OSError as error:
        raise Stop(
            f"cannot write to {directory}: {error.strerror}; name another by --out."
        ) from error


def _environment(options, dataset):
    return {
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": [device.device_kind for device in jax.local_devices()],
        "backend": jax.default_backend(),
        "dataset": {
            "name": dataset.name,
            "note": dataset.note,
            "sha256": dataset.sha256,
            "train": len(dataset.train["label"]),
            "test": len(dataset.test["label"]),
        },
        "seed": options.seed,
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _run(directory, config, options, dataset, step_fn):
    from infogan_jax import checkpoint

    began, key = time.monotonic(), jax.random.key(options.seed)
    state = training.init(config, key)
    if checkpoint.steps(directory):
        saved, state = checkpoint.restore(directory)
        if saved != config:
            raise Stop(
                f"{directory}/config.json is not the config that its checkpoints were "
                "saved with; put it back, or start another run by --out."
            )
    first = int(state.step)
    _cut(directory / "metrics.jsonl", first)
    _cut(directory / "accuracy.jsonl", first)
    with contextlib.ExitStack() as stack:
        interrupted = stack.enter_context(_Interrupts())
        writer = stack.enter_context(checkpoint.Writer(directory, config, _KEEP))
        log = stack.enter_context(_Log(directory, began))
        bar = stack.enter_context(
            tqdm.tqdm(
                total=options.steps, initial=first, unit="update", mininterval=1.0
            )
        )
        steps = training.train(
            config,
            dataset.train,
            key,
            batch_size=options.batch_size,
            state=state,
            step_fn=step_fn,
        )
        for step in range(first + 1, options.steps + 1):
            state, metrics = next(steps)
            log.add(step, metrics)
            bar.update()
            last = step == options.steps
            if step % options.evaluate_every == 0 or last:
                accuracy = log.evaluate(config, state, step, dataset.test)
                bar.set_postfix_str(accuracy)
            if step % options.save_every == 0 or last or interrupted.signal:
                log.flush()
                writer.save(state)
            if interrupted.signal:
                break
    if interrupted.signal:
        _say(
            f"interrupted; saved after {int(state.step)} of {options.steps} updates. "
            f"Go on with: python {sys.argv[0]} --out {directory} --resume"
        )
        return 128 + interrupted.signal
    _report(directory, config, state, dataset, key)
    _say(f"{(time.monotonic() - began) / 60:.1f} minutes in all")
    return 0


def _report(directory, config, state, dataset, key):
    key = jax.random.fold_in(key, _FIGURE_KEY)
    report = evaluation.evaluate(config, state, dataset.train, dataset.test, key)
    report["test_set"] = f"{dataset.name} test"
    _write_json(directory / "evaluation.json", report)
    _say(evaluation.describe(report))
    draw(directory, config, state, key, report.get("label_of"))
    _say(f"figures, checkpoints and numbers are in {directory}; sample from it with:")
    digit = " --digit 3" if "label_of" in report else ""
    _say(f"  python -m infogan_jax sample {directory}{digit} --n 16 --out samples.png")


def draw(directory, config, state, key, label_of=None) -> None:
    """Writes every figure of a run; says so where matplotlib is missing."""
    from infogan_jax import plotting

    try:
        figures = plotting.figures(config, state, key, label_of)
    except ImportError as error:
        _say(f"no figures: {error}")
        return
    text = (directory / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    figures["curves.png"] = plotting.curves(config, lines)
    for name, figure in figures.items():
        figure.savefig(directory / name)


class _Log:
    """The lines of a run; metrics are read a step late: the device stays busy."""

    def __init__(self, directory, began):
        self._directory, self._began, self._waiting = directory, began, None

    def __enter__(self):
        self._metrics = (self._directory / "metrics.jsonl").open("a")
        self._timings = (self._directory / "timings.jsonl").open("a")
        self._accuracy = (self._directory / "accuracy.jsonl").open("a")
        return self

    def __exit__(self, *_):
        for file in (self._metrics, self._timings, self._accuracy):
            file.close()

    def add(self, step, metrics):
        self._write_waiting()
        self._waiting = (step, metrics)

    def flush(self):
        self._write_waiting()
        for file in (self._metrics, self._timings, self._accuracy):
            file.flush()

    def evaluate(self, config, state, step, test):
        if not evaluation.can_cluster(config, test):
            return ""
        report = evaluation.clustering(config, state, test)
        report.pop("confusion")
        self._accuracy.write(json.dumps({"step": step, **report}) + "\n")
        seconds = round(time.monotonic() - self._began, 1)
        self._timings.write(json.dumps({"step": step, "seconds": seconds}) + "\n")
        return f"test accuracy {report['hungarian']:.3f}"

    def _write_waiting(self):
        if self._waiting is None:
            return
        step, metrics = self._waiting
        values = {name: float(x) for name, x in jax.device_get(metrics).items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise Stop(
                f"{bad[0]} is {values[bad[0]]} at update {step}: training has failed; "
                "the last checkpoint is from before.",
                status=1,
            )
        self._metrics.write(json.dumps({"step": step, **values}) + "\n")
        self._waiting = None


class _Interrupts:
    """Turns the first SIGINT or SIGTERM into a wish; the second one takes effect."""

    def __enter__(self):
        self.signal, self._old = 0, {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.signal = number
        signal.signal(number, self._old[number])


def _cut(path, step):
    """Drops the lines after `step`, and a line that a kill left half written."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    path.write_text("".join(kept))


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=2, default=np.ndarray.tolist) + "\n")


def _say(text):
    print(text, file=sys.stderr if text.startswith("error") else sys.stdout, flush=True)

"""The files of a run directory: what is written when, and in which form."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax

from infogan_jax import config as config_lib
from infogan_jax import data, types, watch
from infogan_jax.host import console, json_files, locks, machine, paths
from infogan_jax.runs import options as options_lib

Stop = console.Stop
T = TypeVar("T")
_LOCK = ".lock"
_HEADER = {"config.json", "environment.json"}  # Then run.json.
LOGS = ("metrics", "timings", "accuracy")  # In the order in which they appear.


@contextlib.contextmanager
def lock(directory: Path, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out of a directory, which is created.

    The system lets go of it when this process ends, however it ends.

    Args:
      directory: a run's, or one of several runs.
      wait: for another process that holds it.

    Raises:
      Stop: another process holds it, or nothing can be written there.
    """
    is_ours = not directory.exists()
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((directory / _LOCK).open("a+"))
            _take(stack, file, directory, wait)
        except OSError as error:
            if is_ours:
                shutil.rmtree(directory, ignore_errors=True)
            raise _cannot_write(directory, error) from error
        yield


def is_new(directory: Path) -> bool:
    """Whether a run may begin there: nothing lies in it but a header cut short."""
    if not directory.is_dir():
        return not directory.exists()
    names = _names(directory)
    return not names or {_LOCK} <= names <= {_LOCK} | _HEADER


def is_unsaved(directory: Path) -> bool:
    """Whether a run was killed there before its first save; another may begin there."""
    if not directory.is_dir():
        return False
    names = _names(directory)
    left = {_LOCK, "checkpoints", "run.json"} | {f"{name}.jsonl" for name in LOGS}
    left |= _HEADER
    may_hold_some = (directory / "checkpoints").is_symlink()  # On a disk of its own.
    return "run.json" in names and names <= left and not may_hold_some


def write_header(
    directory: Path,
    config: config_lib.Config,
    options: options_lib.Options,
    dataset: data.Dataset,
    resume: bool,
    seeds_at_once: int = 1,
) -> None:
    """What is known before the first update; all of it, or no directory is left.

    Args:
      directory: the run's.
      config: what is computed.
      options: where and how long.
      dataset: its images.
      resume: whether the run goes on, of which only the options may be others.
      seeds_at_once: runs in its program; the times of each are those of all.

    Raises:
      Stop: it cannot be written.
    """
    try:
        if not resume:
            json_files.write_text(directory / "config.json", config.to_json() + "\n")
            environment = _environment(options, dataset, seeds_at_once)
            json_files.write(directory / "environment.json", environment)
        # Last: a run can be resumed once it is there.
        json_files.write(directory / "run.json", dataclasses.asdict(options))
    except BaseException as error:
        if not resume:
            shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError):
            raise _cannot_write(directory, error) from error
        raise


def check_data(
    directory: str | os.PathLike[str],
    environment: Any,
    dataset: data.Dataset,
    fix: str = "",
) -> None:
    """Raises Stop unless the dataset is the one that a run began with.

    Args:
      directory: the run's.
      environment: what `write_header` left there in environment.json.
      dataset: a `data.Dataset`.
      fix: what to do about another one.
    """
    try:
        began_with = str(environment["dataset"]["sha256"])
    except (KeyError, TypeError):
        raise Stop(f"{directory}/environment.json names no dataset's hash.") from None
    if dataset.sha256 != began_with:
        hint = f"; {fix}" if fix else ""
        raise Stop(
            f"{dataset.name} is not the data that this run began with: SHA-256 "
            f"{dataset.sha256[:12]}, then {began_with[:12]}{hint}."
        )


def read(path: Path, parse: Callable[[str], T]) -> T:
    """What `parse` makes of a file that a run cannot do without.

    Raises:
      Stop: it is missing, or cannot be read or used.
    """
    try:
        return parse(path.read_text())
    except FileNotFoundError as error:
        what, cause = "is missing.", error
    except OSError as error:
        what, cause = f"cannot be read: {error.strerror}.", error
    except (ValueError, RecursionError) as error:
        what, cause = f"cannot be used: {str(error).rstrip('.')}.", error
    raise Stop(f"{path} {what} Put it back, or start another run by --out.") from cause


def kind_of_keys() -> str:
    """JAX's default keys: of the same seed, another kind draws other numbers."""
    kind = str(jax.random.key_impl(jax.random.key(0)))
    is_partitionable = jax.config.values.get("jax_threefry_partitionable", True)
    if is_partitionable or kind == "unsafe_rbg":  # All others split as threefry does.
        return kind
    return f"{kind}, not partitionable"


class Log:
    """The lines of a run; metrics are read a dispatch late: the device stays busy.

    Attributes:
      alarms: {"step", "cause"} of every alarm so far.
    """

    def __init__(
        self,
        directory: Path,
        config: config_lib.Config,
        began: float,
        rows: Sequence[dict] = (),
    ):
        self._directory, self._began = directory, began
        self._waiting: tuple[int, int, types.Metrics] | None = None
        self._watch, self.alarms = watch.Watch(config), list[dict]()
        for row in rows:  # of the run that is resumed
            self._see(row)

    def __enter__(self) -> "Log":
        self._files = {
            name: (self._directory / f"{name}.jsonl").open("a") for name in LOGS
        }
        return self

    def __exit__(self, kind, *_):
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                if kind is None:
                    raise self._cannot_log(error) from error

    def _cannot_log(self, error):
        return Stop(
            f"cannot write the logs in {self._directory}: {error.strerror}; make room, "
            "and go on by --resume."
        )

    def add(self, step: int, n: int, metrics: types.Metrics) -> list[str]:
        """Takes the metrics of the n updates after `step`: [n or more] each.

        Returns:
          The alarms of the updates before, as sentences.
        """
        causes = self._write_waiting()
        self._waiting = (step, n, metrics)
        return causes

    def flush(self) -> list[str]:
        """Everything that was added is on the disk; returns the alarms in it."""
        causes = self._write_waiting()
        try:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._cannot_log(error) from error
        return causes

    def add_accuracy(self, step: int, found: dict) -> None:
        """Writes the line of a clustering, and of when it was made."""
        names = ("hungarian", "nmi", "ari", "image_information")
        figures = {name: found[name] for name in names}
        self._put("accuracy", {"step": step, **figures})
        seconds = round(time.monotonic() - self._began, 1)
        self._put("timings", {"step": step, "seconds": seconds})

    def _write_waiting(self):
        if self._waiting is None:
            return []
        step, n, rows = self._waiting
        self._waiting, rows = None, jax.device_get(rows)
        causes = []
        for i in range(n):
            values = {name: float(row[i]) for name, row in rows.items()}
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise Stop(
                    f"{bad[0]} is {values[bad[0]]} at update {step + 1 + i}: training "
                    "has failed; what was saved is from before.",
                    status=1,
                )
            row = {"step": step + 1 + i, **values}
            self._put("metrics", row)
            causes += self._see(row)
        return causes

    def _put(self, name, row):
        try:
            self._files[name].write(json.dumps(row) + "\n")
        except OSError as error:
            raise self._cannot_log(error) from error

    def _see(self, row):
        found = [
            {"step": row["step"], "cause": cause} for cause in self._watch.see(row)
        ]
        self.alarms += found
        return [describe_alarm(alarm) for alarm in found]


def describe_alarm(alarm: dict) -> str:
    """An alarm in a sentence for people."""
    return f"alarm after update {alarm['step']}: {alarm['cause']}."


def last_logged(directory: Path, evaluate_every: int | None) -> int:
    """The last update up to which no line of a run's logs is missing.

    Args:
      directory: the run's.
      evaluate_every: updates between the lines of accuracy.jsonl; None if it has none.
    """
    steps = [row["step"] for row in json_files.rows(directory / "metrics.jsonl")]
    whole = _last_consecutive(steps, 1)
    if evaluate_every is None:
        return whole
    steps = [row["step"] for row in json_files.rows(directory / "accuracy.jsonl")]
    steps = [step for step in steps if step % evaluate_every == 0]
    evaluated = _last_consecutive(steps, evaluate_every)
    # The line of the next evaluation can be made again from the state there.
    return min(whole, evaluated + evaluate_every)


def _take(stack, file, directory, wait):
    try:
        missing = stack.enter_context(locks.hold(file, wait))
    except BlockingIOError as error:
        raise Stop(
            f"{directory} is being written by {error.strerror}; wait for it, or name "
            "another directory by --out."
        ) from None
    if missing:
        said = f"{directory} cannot be locked ({missing})"
        print(f"{said}: keep other processes out of it", file=console.ERR)


def _cannot_write(directory, error):
    return Stop(
        f"cannot write to {directory}: {error.strerror}; see to that, or name another "
        "by --out."
    )


def _names(directory):
    """What lies in a directory, but for what a kill left of a file."""
    names = {path.name for path in directory.iterdir()}
    return {name for name in names if not paths.is_unfinished(name)}


def _environment(options, dataset, seeds_at_once):
    return machine.describe() | {
        "dataset": {
            "name": dataset.name,
            "note": dataset.note,
            "sha256": dataset.sha256,
            "train": len(dataset.train["label"]),
            "test": len(dataset.test["label"]),
        },
        "seed": options.seed,
        "seeds_at_once": seeds_at_once,
        "keys": kind_of_keys(),
        "steps": options.steps,  # A run that goes on for more keeps its schedules.
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _last_consecutive(steps, period):
    """The last of period, 2 period, 3 period, ... before a gap; 0 without the first."""
    end = 0
    for step in steps:
        if step != end + period:
            break
        end = step
    return end

"""The files of a run directory: what is written when, and in which form."""

import contextlib
import dataclasses
import json
import math
import os
import platform
import time
from importlib import metadata

import jax
import numpy as np

from infogan_jax import options

Stop = options.Stop

_PACKAGES = (
    "infogan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
)


def write_header(directory, config, options, dataset, resume) -> None:
    """What is known before the first update; raises Stop where it cannot be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not resume:
            _write(directory / "config.json", config.to_json() + "\n")
            write_json(directory / "environment.json", _environment(options, dataset))
        # Last: a run can be resumed once it is there.
        write_json(directory / "run.json", dataclasses.asdict(options))
    except OSError as error:
        raise Stop(
            f"cannot write to {directory}: {error.strerror}; name another by --out."
        ) from error


def _environment(options, dataset):
    return {
        "versions": {name: version(name) for name in _PACKAGES},
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


def version(name: str) -> str:
    """Of an installed package; "unknown" without one."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


class Log:
    """The lines of a run; metrics are read a dispatch late: the device stays busy."""

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

    def add(self, step, n, metrics):
        """Takes the metrics of the n updates after `step`: [n or more] each."""
        self._write_waiting()
        self._waiting = (step, n, metrics)

    def flush(self):
        """Everything that was added is on its way to the disk."""
        self._write_waiting()
        for file in (self._metrics, self._timings, self._accuracy):
            file.flush()

    def accuracy(self, step, found):
        """Writes a line, and returns its figure for the bar."""
        figures = {name: found[name] for name in ("hungarian", "nmi", "ari")}
        self._accuracy.write(json.dumps({"step": step, **figures}) + "\n")
        seconds = round(time.monotonic() - self._began, 1)
        self._timings.write(json.dumps({"step": step, "seconds": seconds}) + "\n")
        return f"test accuracy {found['hungarian']:.3f}"

    def _write_waiting(self):
        if self._waiting is None:
            return
        step, n, rows = self._waiting
        self._waiting, rows = None, jax.device_get(rows)
        for i in range(n):
            values = {name: float(row[i]) for name, row in rows.items()}
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise Stop(
                    f"{bad[0]} is {values[bad[0]]} at update {step + 1 + i}: training "
                    "has failed; the last checkpoint is from before.",
                    status=1,
                )
            self._metrics.write(json.dumps({"step": step + 1 + i, **values}) + "\n")


def cut(path, step) -> None:
    """Drops the lines after `step`, and a line that a kill left half written."""
    if not path.exists():
        return
    kept, text = [], path.read_text()
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    if "".join(kept) != text:
        _write(path, "".join(kept))


def write_json(path, value) -> None:
    """A JSON file; arrays become lists."""
    _write(path, json.dumps(value, indent=2, default=np.ndarray.tolist) + "\n")


def _write(path, text):
    """All or nothing: a kill half-way leaves the file that was there."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)

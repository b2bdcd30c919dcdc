"""The command line of an experiment: its options, and every rule that they keep."""

import argparse
import dataclasses
import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infogan_jax import data, rules
from infogan_jax.host import console, json_files, paths

_SEEDS = range(2**32)
# The smallest numbers of a run; a norm needs two images.
_LEAST = {
    "steps": 1,
    "batch_size": 2,
    "save_every": 1,
    "evaluate_every": 1,
    "devices": 1,
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run's command line says; see `parser` for the meanings."""

    quick: bool
    data: str
    data_dir: str | None
    steps: int
    batch_size: int
    seed: int
    save_every: int
    evaluate_every: int
    devices: int | None
    bfloat16: bool = False


def parser(
    description: str, defaults: Callable[[bool], Options], out: str
) -> argparse.ArgumentParser:
    """The command line, of which `parse_args` tells what was given.

    An option that is not given is missing, but for `out`, `resume` and `distributed`.
    """
    full, quick = defaults(False), defaults(True)
    p = command(description, argument_default=argparse.SUPPRESS)

    def option(name, about, kind, metavar, in_words=None):
        field = name.strip("-").replace("-", "_")
        values = (getattr(full, field), getattr(quick, field))
        shown = (
            f"{values[0]}, with --quick {values[1]}"
            if len(set(values)) > 1
            else values[0]
        )
        p.add_argument(
            name,
            type=kind,
            metavar=metavar,
            help=f"{about} (default: {in_words or shown})",
        )

    p.add_argument(
        "--quick", action="store_true", help="a small network for a laptop's CPU"
    )
    p.add_argument(
        "--bfloat16",
        action="store_true",
        help="compute in bfloat16, for GPUs and CPUs with AMX; parameters stay float32",
    )
    option("--data", f"dataset: {', '.join(data.NAMES)}", str, "NAME")
    option(
        "--data-dir",
        "directory that holds, or gets, the data",
        str,
        "DIR",
        in_words="~/.cache/infogan_jax; of tfds: TFDS's own",
    )
    option(
        "--steps",
        "updates in all, of D and of G; a rate's schedule keeps its first length",
        int,
        "N",
    )
    option("--batch-size", "images per update, over all devices", int, "N")
    option("--seed", "of everything random; an integer", int, "N")
    option("--save-every", "updates between checkpoints", int, "N")
    option("--evaluate-every", "updates between accuracies", int, "N")
    option(
        "--devices",
        "local devices to use",
        int,
        "N",
        in_words="as many as divide the batch",
    )
    p.add_argument(
        "--out", default=out, metavar="DIR", help="run directory (default: %(default)s)"
    )
    p.add_argument(
        "--distributed",
        nargs="?",
        const="auto",
        default=None,
        metavar="CLUSTER",
        help="one of several processes, each with its share of every batch: auto (TPU "
        "slices, SLURM, Open MPI) or HOST:PORT,PROCESSES,INDEX",
    )
    p.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="go on with the run in --out and its options; --steps may be raised, and "
        "its data and devices be elsewhere",
    )
    return p


def command(description: str | None, **settings: Any) -> argparse.ArgumentParser:
    """A parser that shows a docstring as it stands, and wants options by whole names.

    An option's beginning may be another command's option: `--seed` is no `--seeds`.
    """
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **settings,
    )


def path(text: str) -> Path:
    """A path, ~ expanded; a type for argparse."""
    try:
        return paths.expand(text)
    except ValueError as error:  # Whose words argparse would not show.
        raise argparse.ArgumentTypeError(str(error)) from error


def picture(text: str) -> Path:
    """A picture's file, ~ expanded; a type for argparse."""
    if not Path(text).suffix:  # Matplotlib would give it one of its own.
        raise argparse.ArgumentTypeError(
            f"{text!r} names no picture; give it an ending, such as .png"
        )
    return path(text)


def positive(text: str) -> float:
    """A finite number above 0; a type for argparse."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite, above 0, not {text}.")
    return value


def seed(text: str) -> int:
    """A seed that JAX takes, from an argument; a type for argparse."""
    value = int(text)
    if value not in _SEEDS:
        raise argparse.ArgumentTypeError(f"must lie in 0 .. 2**32 - 1, not {value}.")
    return value


def whole(least: int) -> Callable[[str], int]:
    """Whole numbers from `least` on; a type for argparse."""

    def number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}.")
        return value

    return number


def check(options: Options) -> None:
    """Raises Stop for a number that no run can have."""
    for name, low in _LEAST.items():
        value, flag = getattr(options, name), "--" + name.replace("_", "-")
        if value is not None and value < low:
            raise console.Stop(f"{flag} must be at least {low}, not {value}.")
        if value is not None and value > rules.MOST:
            raise console.Stop(f"{flag} must be at most {rules.MOST}, not {value}.")
    if options.seed not in _SEEDS:
        raise console.Stop(f"--seed must lie in 0 .. 2**32 - 1, not {options.seed}.")


def chosen(defaults: Callable[[bool], Options], given: dict) -> Options:
    """The options of a fresh run: those that were given, and defaults.

    Raises:
      Stop: a number that no run can have.
    """
    options = dataclasses.replace(defaults(given.get("quick", False)), **given)
    check(options)
    return options


def read(path: Path) -> Options:
    """The options in a run's run.json.

    Raises:
      Stop: they are damaged.
    """
    try:
        found = json_files.read(path)
        # Older runs lack the newer options.
        values = {
            field.name: found[field.name]
            for field in dataclasses.fields(Options)
            if field.name in found or field.default is dataclasses.MISSING
        }
        for name, kind in typing.get_type_hints(Options).items():
            if name in values and not isinstance(values[name], kind):
                raise ValueError(f"{path} is damaged: {name} is {values[name]!r}.")
        if unknown := sorted(found.keys() - values.keys()):
            raise ValueError(f"{path} is damaged: no option is called {unknown[0]!r}.")
    except ValueError as error:
        raise console.Stop(str(error)) from error
    return Options(**values)


def resumed(directory: Path, given: dict) -> Options:
    """The options that a run began with; of those given, only a few may differ.

    Raises:
      Stop: it is no run, it is damaged, or options differ that must not.
    """
    path = directory / "run.json"
    if not path.is_file():
        raise console.Stop(f"{directory} holds no run to resume (no run.json).")
    options = read(path)
    for name, value in given.items():
        stored = getattr(options, name)
        if value == stored or (name == "data" and value == "auto"):
            continue
        if name == "steps" and value > stored:
            options = dataclasses.replace(options, steps=value)
        elif name in ("data_dir", "devices") or (
            name == "data" and _is_path(value) and _is_path(stored)
        ):
            options = dataclasses.replace(options, **{name: value})
        else:
            flag = "--" + name.replace("_", "-")
            raise console.Stop(
                f"{directory}: {flag} {value} conflicts with the run's {stored}; leave "
                "it out, or start another run by --out."
            )
    return options


def _is_path(data):
    """Whether data are named by where they lie: another place may have the same."""
    return data.startswith(("npz:", "folder:"))

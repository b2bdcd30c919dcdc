"""What commands over many seeds share: which seeds, and how a command ends."""

import argparse
import contextlib
import pathlib
from collections.abc import Iterator

from infogan_jax import checkpoint, data, evaluation
from infogan_jax.host import console, json_files
from infogan_jax.runs import options as options_lib


def parse(text: str) -> list[int]:
    """Seeds from text such as "0-3,7", each once."""
    found = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            begin, end = map(options_lib.seed, (first, last if dash else first))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} names no seeds; write numbers and ranges, such as 0-3,7."
            ) from None
        if end < begin:
            raise argparse.ArgumentTypeError(
                f"{part} in {text!r} is an empty range; write the smaller seed first."
            )
        found += range(begin, end + 1)
    return list(dict.fromkeys(found))


def refuse_own(parser, rest: list[str], by: str) -> None:
    """Ends a command, with status 2, whose `rest` sets what is each seed's own."""
    words = {word.partition("=")[0] for word in rest}
    if refused := sorted({"--seed", "--resume"} & words):
        parser.error(f"{', '.join(refused)}: set for each seed by {by}.")
    if "--distributed" in words:
        parser.error(
            "--distributed: a process joins a cluster once; train each seed by a "
            "command of its own."
        )


def given_options(experiment, rest: list[str]) -> dict:
    """What an experiment's own options say, those of a single run apart."""
    given = vars(options_lib.parser("", experiment.defaults, "").parse_args(rest))
    for name in ("out", "resume", "distributed"):
        del given[name]
    return given


def run_of(out: pathlib.Path, seed: int) -> pathlib.Path:
    """Where a seed's run lies."""
    return out / f"seed-{seed}"


def has_begun(run: pathlib.Path) -> bool:
    """Whether a run was saved, or is finished."""
    return bool(checkpoint.steps(run)) or (run / "evaluation.json").exists()


def is_run_of(run: pathlib.Path, seed: int) -> bool:
    """Whether a run is its seed's own; says so of a copy, which would count twice."""
    is_own = run == run_of(run.parent, seed)
    if not is_own:
        print(f"{run} is left out: it holds a run of seed {seed}", flush=True)
    return is_own


def check_own(run: pathlib.Path, seed: int, theirs: int) -> None:
    """Raises Stop where another seed's run, `theirs`, lies at a seed's place."""
    if theirs != seed:
        raise console.Stop(
            f"{run} is a copy of seed {theirs}'s run, not of seed {seed}; move it away."
        )


def check_labels(dataset: data.Dataset) -> None:
    """Raises Stop where the report could not tell how well a seed did."""
    if not all(map(evaluation.has_labels, (dataset.train, dataset.test))):
        raise console.Stop(
            f"{dataset.name} has no labels, by which seeds are compared; train each by "
            "the experiment itself."
        )


@contextlib.contextmanager
def sparing_others(seed: int, failed: list[int]) -> Iterator[None]:
    """Notes in `failed` a seed whose training fails, and says so.

    Raises:
      Stop: anything else, which would stop the other seeds too (status not 1).
    """
    try:
        yield
    except console.Stop as error:
        if error.status != 1:
            raise
        failed.append(seed)
        print(f"seed {seed}: {error}", file=console.ERR)


def write_report(out: pathlib.Path, text: str, values) -> None:
    """report.md, which is printed too, and report.json.

    Raises:
      OSError: they cannot be written.
    """
    json_files.write_text(out / "report.md", text + "\n")
    json_files.write(out / "report.json", values)
    print(text)
    print(f"the report is {out / 'report.md'}")


def interrupted(number: int, step: int, steps: int) -> console.Stop:
    """What a signal ends a command with, once everything is saved."""
    return console.Stop(
        f"interrupted; saved after {step} of {steps} updates. The same command goes "
        "on.",
        status=128 + number,
    )


def check_none_failed(failed: list[int]) -> None:
    """Raises Stop, with status 1, if training has failed for some seeds."""
    if failed:
        those = ", ".join(map(str, failed))
        raise console.Stop(f"training has failed for seeds {those}.", status=1)

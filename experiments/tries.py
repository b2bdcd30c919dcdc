"""What was tried for the quick setting: one arm, one seed, its accuracy curve.

    python experiments/tries.py trunk-in-d --seed 0 > trunk-in-d-0.jsonl
    python experiments/tries.py weights-1-.1+noise-8 --seed 0 > before-0.jsonl
    python experiments/tries.py category-.3 --seed 0 --until 3000 > begun-0.jsonl
    python experiments/tries.py --table *.jsonl

An arm is `mnist.py --quick` with one thing changed, or several joined by "+". Prints a
JSON line at every 500 updates: Hungarian accuracy on the test digits, of Q as it is and
of its running average, L_I per code, D's loss. `--table` shows the last line of each
file, all seeds of an arm in a row.
Results: the tables in BUILD_NOTES.md, the files in `experiments/results`.
"""

import contextlib
import json
import pathlib
import statistics

import arms
import jax
import mnist

from infogan_jax import checkpoint, data, evaluation
from infogan_jax import state as state_lib
from infogan_jax.host import console, json_files
from infogan_jax.runs import loop, records
from infogan_jax.runs import options as options_lib

EVERY = 500
# Q's average is over some thousand updates: every 50 it keeps .95 of what it was.
AVERAGE_EVERY, KEEP = 50, 0.95


def end_of(path) -> dict:
    """The last line of an arm's file.

    Raises:
      ValueError: it has none; or later, for a field that it lacks.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}.")
    hint = "as where a try was stopped before its first"
    return json_files.read_lines(path, hint)[-1]


def table(paths) -> str:
    """Markdown: a row for each arm, all its seeds' last accuracies in order.

    Raises:
      ValueError: a file is none of this script, or a row would mix experiments.
    """
    ends = {}
    for last in map(end_of, paths):
        name = f"`{last['arm']}`"
        if last.get("data", "bundled") != "bundled":
            name += f" on {last['data']}"
        ends.setdefault((name, last["step"]), []).append(last)
    rows = [
        "| arm | updates | seeds | Hungarian on test | median | median NMI | "
        "median L_I per code [nats] | lowest D loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, step), lines in ends.items():
        lines.sort(key=lambda line: line["seed"])
        check_row(name, lines)
        accuracies = [line["hungarian"] for line in lines]
        nmi = statistics.median(line["nmi"] for line in lines)
        codes = [key for key in lines[0] if key.removeprefix("info/").isdigit()]
        bounds = [statistics.median(line[code] for line in lines) for code in codes]
        lowest = min(line["d/NonSaturating"] for line in lines)
        rows.append(
            f"| {name} | {step} | "
            f"{' '.join(str(line['seed']) for line in lines)} | "
            f"{' '.join(f'{x:.3f}' for x in accuracies)} | "
            f"{statistics.median(accuracies):.3f} | {nmi:.3f} | "
            f"{', '.join(f'{bound:.2f}' for bound in bounds)} | {lowest:.2f} |"
        )
    return "\n".join(rows)


def check_row(name, lines) -> None:
    """Raises unless the ends of an arm are of one setting, and of a seed each."""
    for what in ("steps", "batch_size"):  # Older files do not tell the first.
        if len({line[what] for line in lines if what in line}) > 1:
            raise ValueError(f"the files of {name} differ in {what}; show them apart.")
    seeds = [line["seed"] for line in lines]
    if again := {seed for seed in seeds if seeds.count(seed) > 1}:
        raise ValueError(f"{name} has several files of seed {min(again)}; give one.")


def train(config, dataset, options):
    """Trains to update `--until`, printing the lines; returns the state."""
    average = None
    for state, metrics in loop.dispatches(
        config,
        dataset.train,
        options.seed,
        steps=options.until,
        batch_size=options.batch_size,
        every=AVERAGE_EVERY,
    ):
        average = averaged(average, state)
        if state.step % EVERY and state.step < options.until:
            continue
        found = evaluation.clustering(config, state, dataset.test)
        smooth = state.replace(nets=state.nets | average)
        of_average = evaluation.clustering(config, smooth, dataset.test)
        line = {"arm": options.arm, "seed": options.seed, "data": dataset.name}
        line |= {"step": int(state.step), "steps": options.steps}
        line |= {"batch_size": options.batch_size}
        names = ("hungarian", "nmi", "image_information")
        line |= {name: found[name] for name in names}
        line |= {"hungarian_of_average": of_average["hungarian"]}
        line |= {name: float(values[-1]) for name, values in metrics.items()}
        print(json.dumps(line), flush=True)
    return state


def averaged(average, state) -> dict:
    """The running average of Q's networks, their statistics too, after an update."""
    nets = {name: state.nets[name] for name in ("trunk", "q")}
    if average is None:
        return state_lib.copy(nets)
    return jax.tree.map(lambda a, b: KEEP * a + (1 - KEEP) * b, average, nets)


def open_writer(held, directory: pathlib.Path, config):
    """What will save a try's state, before its hours; `held` keeps it open.

    Raises:
      ValueError: more lies there than a try leaves that was interrupted.
      Stop: another process writes there, or nothing can be written.
    """
    check_unsaved(directory)
    held.enter_context(records.lock(directory))
    check_unsaved(directory)  # Another may have been there first.
    return held.enter_context(checkpoint.Writer(directory, config))


def check_unsaved(directory: pathlib.Path) -> None:
    """Raises a ValueError unless a try may save its state there."""
    left = {"checkpoints", ".lock"}  # By a try that was interrupted.
    is_new = records.is_new(directory) or (
        {path.name for path in directory.iterdir()} <= left
        and not checkpoint.steps(directory)
    )
    if not is_new:
        raise ValueError(f"{directory} exists; name a new directory by --out.")


def parse(argv):
    """The options; ends the process, with status 2, where they do not go together."""
    parser = options_lib.command(__doc__)
    parser.add_argument(
        "arm",
        type=arms.arm,
        nargs="?",
        help=f"of {', '.join(arms.CHANGES)}, joined by +",
    )
    parser.add_argument("--table", nargs="+", metavar="FILE", help="show these instead")
    parser.add_argument("--seed", type=options_lib.seed, default=0, help="(default: 0)")
    parser.add_argument(
        "--steps",
        type=options_lib.whole(1),
        default=mnist.QUICK_STEPS,
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--until", type=int, help="stop here; the schedules stay those of --steps"
    )
    parser.add_argument(
        "--out",
        type=options_lib.path,
        metavar="DIR",
        help="the end's state, for sweeps.py",
    )
    parser.add_argument(
        "--batch-size", type=options_lib.whole(2), default=64, help="(default: 64)"
    )
    parser.add_argument("--data", default="bundled", help="(default: bundled)")
    parser.add_argument("--data-dir", metavar="PATH", help="where its files lie")
    options = parser.parse_args(argv)
    if options.until is None:
        options.until = options.steps
    if not 1 <= options.until <= options.steps:
        parser.error(f"--until must lie in 1 .. {options.steps}, not {options.until}.")
    if (options.arm is None) != bool(options.table):
        parser.error("name an arm, or files by --table; one of the two.")
    return options


def main(argv=None) -> int:
    """Trains one arm, or shows a table; returns the exit status."""
    options = parse(argv)
    try:
        if options.table:
            print(table(options.table))
            return 0
        dataset = data.load(options.data, options.data_dir)
        config = arms.configuration(options.arm, options.steps, dataset.image_shape)
        if not evaluation.can_cluster(config, dataset.test):
            raise ValueError(f"{dataset.name} has no labels to compare with.")
        with contextlib.ExitStack() as held:
            if options.out:
                saver = open_writer(held, options.out, config)
            state = train(config, dataset, options)
            if options.out:
                saver.save(state)
    except (console.Stop, ValueError, OSError, ImportError) as error:
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)

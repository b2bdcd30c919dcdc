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

import dataclasses
from pathlib import Path

import mnist
import mnist_vat
import seeds
import seeds_at_once
import seeds_report

from infogan_jax import Config, data
from infogan_jax.host import console, json_files
from infogan_jax.runs import options as options_lib
from infogan_jax.runs import program, records


def train(experiment, out: Path, seed: int, rest: list[str]) -> int:
    """Trains what is missing of the experiment's seed; returns the exit status."""
    run = seeds.run_of(out, seed)
    if not (run / "run.json").exists():
        return experiment.main([*rest, "--seed", str(seed), "--out", str(run)])
    try:
        given = seeds.given_options(experiment, rest)
        before, now = checked_options(experiment, run, given)
    except (console.Stop, ValueError) as error:
        return console.tell(error)
    if before.steps == now.steps and (run / "evaluation.json").exists():
        print(f"seed {seed}: finished before", flush=True)
        return 0
    return experiment.main([*rest, "--out", str(run), "--resume"])


def checked_options(
    experiment, run: Path, given: dict
) -> tuple[program.Options, program.Options]:
    """The options of a run that was begun, and those with which it would go on now.

    Raises:
      Stop, ValueError: it is another experiment's, or had other options.
    """
    before, now = (options_lib.resumed(run, wish) for wish in ({}, given))
    if now.data != before.data and ":" not in now.data:  # Files may be moved.
        raise console.Stop(f"{run} was trained on {before.data}, not {now.data}.")
    path = run / "config.json"
    if path.exists():  # The committed results have none.
        config = records.read(path, Config.from_json)
        # Its schedules are of the length that it began with.
        steps = json_files.read(run / "environment.json").get("steps", before.steps)
        began = dataclasses.replace(before, steps=steps)
        if config != program.configuration(experiment.build, began, config.image_shape):
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
    return before, now


def compared(out: Path, asked: list[int]) -> list[Path]:
    """The begun runs of the seeds asked for, and the others that the report will hold.

    It holds no copies, which have other names.
    """
    wanted = {seeds.run_of(out, seed) for seed in asked}
    found = sorted(path.parent for path in out.glob("seed-*/run.json"))
    return [
        run
        for run in found
        if run in wanted
        or (run / "evaluation.json").exists()
        and run.name.removeprefix("seed-").isdecimal()
    ]


def check_same(experiment, out: Path, asked: list[int], given: dict) -> None:
    """Raises unless the seeds that are `compared` are of this command.

    Those that are not asked for may have more or fewer steps, as the report then says.
    """
    others = {name: value for name, value in given.items() if name != "steps"}
    wanted = {seeds.run_of(out, seed): seed for seed in asked}
    for run in compared(out, asked):
        checked_options(experiment, run, given if run in wanted else others)
    begun = {
        run: options_lib.read(run / "run.json")
        for run in wanted
        if (run / "run.json").exists()
    }
    steps = options_lib.chosen(experiment.defaults, given).steps
    for run, began in begun.items():
        seeds.check_own(run, wanted[run], began.seed)
        # Without --steps a seed that has begun goes on to its own end.
        if len(begun) < len(wanted) and "steps" not in given and began.steps != steps:
            raise console.Stop(
                f"{run} is of {began.steps} updates, where a new seed would be of "
                f"{steps}; say by --steps of how many all are to be."
            )


def checked_data(out: Path, asked: list[int], given: dict) -> data.Dataset:
    """The data; raises unless they have labels, and are those of the seeds `compared`.

    Their place says little: files may be moved, and others lie where they were.
    """
    dataset = data.load(given["data"], given.get("data_dir"))
    seeds.check_labels(dataset)
    for run in compared(out, asked):
        environment = json_files.read(run / "environment.json")
        records.check_data(run, environment, dataset, "name another directory by --out")
    return dataset


def one_dataset(experiment, out: Path, asked: list[int], rest: list[str]) -> list[str]:
    """The options of each seed, with the data named that "auto" is for all of them.

    Each would look for MNIST by itself, and a later one might find what an earlier one
    had not waited for.

    Raises:
      Stop, ValueError, OSError: the seeds that have begun have several data, or cannot
        be read; or the data cannot.
    """
    given = seeds.given_options(experiment, rest)
    if given.get("data", "auto") != "auto":
        return rest
    names = {options_lib.read(run / "run.json").data for run in compared(out, asked)}
    if len(names) > 1:
        raise console.Stop(
            f"{out} holds seeds of {' and '.join(sorted(names))}; name another "
            "directory by --out, or move those away that are not to be reported."
        )
    names = names or {data.load("auto", given.get("data_dir")).name}
    return [*rest, "--data", *names]


def parse(argv):
    """The options, and those of each seed; ends the process where some are wrong."""
    parser = options_lib.command(
        __doc__, usage="%(prog)s [options] [options of mnist.py]"
    )
    parser.add_argument(
        "--seeds",
        type=seeds.parse,
        default=seeds.parse("0-9"),
        metavar="SEEDS",
        help="such as 0-3,7 (default: 0-9)",
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
        metavar="DIR",
        help="gets seed-N of every seed, and the report (default: %(default)s)",
    )
    options, rest = parser.parse_known_args(argv)
    seeds.refuse_own(parser, rest, "--seeds")
    return options, rest


def main(argv=None) -> int:
    """Trains the seeds and reports; returns the exit status."""
    options, rest = parse(argv)
    experiment, failed = mnist_vat if options.vat else mnist, []
    try:
        rest = one_dataset(experiment, options.out, options.seeds, rest)
        given = seeds.given_options(experiment, rest)
        check_same(experiment, options.out, options.seeds, given)  # Before any hour.
        runs = {seed: seeds.run_of(options.out, seed) for seed in options.seeds}
        begun = [seed for seed, run in runs.items() if seeds.has_begun(run)]
        dataset = None
        if len(begun) < len(runs) and ":" in given["data"]:  # The others are known.
            dataset = checked_data(options.out, options.seeds, given)
        if options.at_once:
            failed = seeds_at_once.train(
                experiment, options.out, options.seeds, rest, dataset
            )
        for seed in begun if options.at_once else options.seeds:
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

"""Markdown table of finished runs: every run, then the median; or a row a directory.

    for seed in 0 1 2 3 4; do
      python experiments/mnist.py --quick --seed $seed --out runs/quick-$seed
    done
    python experiments/table.py runs/quick-*
    python experiments/table.py runs/mnist --curve        # accuracy while it trained
    python experiments/table.py runs/mnist-seeds runs/vat-seeds --groups   # all seeds

Runs of a group that differ in more than their seed are refused. Results: the README's
table is one of these.
"""

import dataclasses
import itertools
import statistics

from infogan_jax.host import console, json_files
from infogan_jax.runs import options as options_lib

# What runs did that do not tell it: older ones lack the newer options.
_BEFORE = {
    field.name: field.default
    for field in dataclasses.fields(options_lib.Options)
    if field.default is not dataclasses.MISSING
}


def report_of(run) -> dict:
    """The evaluation of a run that had labels.

    Raises:
      ValueError: it is missing or damaged, or had none.
    """
    if not (path := run / "evaluation.json").is_file():
        raise ValueError(f"{run} is not a finished run: it has no {path.name}.")
    report = json_files.read(path)
    if "accuracy" not in report:
        raise ValueError(f"{run} was evaluated without labels: it has no accuracy.")
    return report


def seconds(timings) -> float:
    """Of all the processes of a run; each counts from its own start.

    At least: what a process did after its last line is not in it, and all that one did
    is not, if the next one's first line came later in its own time than its last.
    """
    times = [line["seconds"] for line in timings]
    ends = [now for now, then in zip(times, times[1:], strict=False) if then < now]
    return sum(ends) + times[-1]


def differences(runs) -> str:
    """Which options, other than the seed, the runs do not share; "" for none."""
    harmless = {"seed", "data_dir", "save_every", "evaluate_every", "devices"}
    options = [_BEFORE | json_files.read(run / "run.json") for run in runs]
    for option in options:  # Files may be moved; the images are compared below.
        option["data"] = str(option.get("data")).partition(":")[0]
    names = [
        name
        for name in dict.fromkeys(itertools.chain(*options))
        if name not in harmless and len({str(o.get(name)) for o in options}) > 1
    ]
    # What is committed of a run lacks its configuration.
    configs = [
        json_files.read(run / "config.json") | {"version": None}
        for run in runs
        if (run / "config.json").exists()
    ]
    if not names and configs != configs[:1] * len(configs):
        names = ["their configuration"]
    places = (json_files.read(run / "environment.json") for run in runs)
    if len({place["dataset"]["sha256"] for place in places}) > 1:
        names.append("their images")
    if not names:
        return ""
    return f"Not one experiment: the runs differ in {', '.join(names)}."


def summary(runs) -> str:
    """One row per run, the median of the accuracies, and what the runs do not share.

    Raises:
      ValueError: one is not finished or damaged, or had no labels.
    """
    rows = [
        "| seed | held-out accuracy | Hungarian on test | NMI | ARI | L_I per code "
        "[nats] | recovered from fakes | information on test images [nats] | minutes, "
        "evaluated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    accuracies, steps, seeds = [], [], []
    for run in runs:
        report, options = report_of(run), json_files.read(run / "run.json")
        accuracies.append(report["accuracy"])
        bounds = ", ".join(f"{code['information']:.2f}" for code in report["codes"])
        recovered = ", ".join(f"{code['recovered']:.3f}" for code in report["codes"])
        # Runs of before this measure have none.
        information = f"{report.get('image_information', float('nan')):.4f}"
        minutes = seconds(json_files.read_lines(run / "timings.jsonl")) / 60
        rows.append(
            f"| {options['seed']} | {report['accuracy']:.4f} | "
            f"{report['hungarian']:.4f} | {report['nmi']:.3f} | {report['ari']:.3f} | "
            f"{bounds} | {recovered} | {information} | "
            f"{minutes:.1f} |"
        )
        steps.append(str(options["steps"]))
        seeds.append(options["seed"])
    places = [json_files.read(run / "environment.json") for run in runs]
    versions = (f"{k} {v}" for place in places for k, v in place["versions"].items())
    images = (
        f"{d['name']} ({d['train']} + {d['test']} images, SHA-256 {d['sha256'][:12]})"
        for d in (place["dataset"] for place in places)
    )
    machines = (f"{place['cpus']} CPU cores, {place['backend']}" for place in places)
    dates = sorted(place["started"][:10] for place in places)
    rows += [
        "",
        f"Median accuracy {statistics.median(accuracies):.4f} of {len(runs)} runs; "
        f"{_all(steps)} updates; {_all(images)}; "
        f"{_all(machines)}; {_all(versions)}; {_from_to(dates)}.",
    ]
    if warning := differences(runs):
        rows += ["", warning]
    if twice := sorted({str(seed) for seed in seeds if seeds.count(seed) > 1}):
        rows += ["", f"More than one run is of seed {', '.join(twice)}."]
    together = {place.get("seeds_at_once", 1) for place in places} - {1}
    if together:
        n = " or ".join(map(str, sorted(together)))
        rows += ["", f"Where {n} seeds were trained at once, the minutes are of all."]
    return "\n".join(rows)


def groups(directories) -> str:
    """One row for each directory of runs: all its seeds, their median, worst and best.

    Raises:
      ValueError: one holds no runs, runs of several settings or of one seed, or one
        that is damaged or not finished.
    """
    rows = [
        "| runs | median | worst | best | median NMI | seeds | held-out accuracy by "
        "seed | updates | digits, SHA-256 | device | versions | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for directory in directories:
        paths = sorted(directory.glob("*/run.json"))
        if not paths:
            raise ValueError(f"{directory} holds no runs.")
        runs = {}
        for run in (path.parent for path in paths):
            seed = json_files.read(run / "run.json")["seed"]
            if seed in runs:
                raise ValueError(f"{run} and {runs[seed]} are both of seed {seed}.")
            runs[seed] = run
        if warning := differences(list(runs.values())):
            raise ValueError(f"{directory}: {warning}")
        seeds = sorted(runs)
        reports = [report_of(runs[seed]) for seed in seeds]
        accuracies = [report["accuracy"] for report in reports]
        places = [json_files.read(runs[seed] / "environment.json") for seed in seeds]
        dates = [place["started"][:10] for place in places]
        datasets = [place["dataset"] for place in places]
        versions = [place["versions"] for place in places]
        gapless = seeds == list(range(seeds[0], seeds[-1] + 1))
        cells = [
            f"`{directory}`",
            f"{statistics.median(accuracies):.4f}",
            f"{min(accuracies):.4f}",
            f"{max(accuracies):.4f}",
            f"{statistics.median(report['nmi'] for report in reports):.3f}",
            _from_to(seeds) if gapless else " ".join(map(str, seeds)),
            " ".join(f"{accuracy:.4f}".removeprefix("0") for accuracy in accuracies),
            f"{json_files.read(runs[seeds[0]] / 'run.json')['steps']:,}",
            _all(f"{d['name']} {d['sha256'][:12]}" for d in datasets),
            _all(name for place in places for name in _devices(place)),
            _all(f"{name} {v[name]}" for v in versions for name in ("jax", "flax")),
            _from_to(sorted(dates)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _devices(place):
    """What a run computed on; of a CPU its model, which early runs did not record."""
    if place["backend"] == "cpu":
        return [place.get("processor", "cpu")]
    return place["devices"]


def _all(values):
    """Each of them, once."""
    return ", ".join(dict.fromkeys(values))


def _from_to(values):
    """The first and the last, or the one that they are."""
    return " to ".join(dict.fromkeys([str(values[0]), str(values[-1])]))


def curve(run) -> str:
    """Accuracy on the test images while a run trained."""
    rows = ["| update | Hungarian on test | NMI |", "|---|---|---|"]
    hint = "as where a run had no labels"
    for line in json_files.read_lines(run / "accuracy.jsonl", hint):
        rows.append(f"| {line['step']} | {line['hungarian']:.4f} | {line['nmi']:.3f} |")
    return "\n".join(rows)


def main(argv=None) -> int:
    """Prints the table; returns the exit status."""
    parser = options_lib.command(__doc__)
    parser.add_argument(
        "runs",
        type=options_lib.path,
        nargs="+",
        metavar="RUN",
        help="finished run directories",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--curve", action="store_true", help="accuracy over updates")
    ways.add_argument(
        "--groups", action="store_true", help="a row for each directory of runs"
    )
    options = parser.parse_args(argv)
    try:
        if options.curve:
            print("\n\n".join(curve(run) for run in options.runs))
        else:
            print((groups if options.groups else summary)(options.runs))
    except ValueError as error:
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)

"""Markdown table of finished runs: every run, then the median.

for seed in 0 1 2 3 4; do
  python experiments/mnist.py --quick --seed $seed --out runs/quick-$seed
done
python experiments/table.py runs/quick-*
python experiments/table.py runs/mnist --curve        # accuracy while it trained
"""

import argparse
import json
import pathlib
import statistics
import sys


def read(run, name):
    """A JSON file of a run."""
    return json.loads((pathlib.Path(run) / name).read_text())


def lines(run, name):
    """The lines of a JSON-lines file of a run."""
    text = (pathlib.Path(run) / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def seconds(timings) -> float:
    """Of all the processes of a run; each counts from its own start."""
    times = [line["seconds"] for line in timings]
    ends = [now for now, then in zip(times, times[1:], strict=False) if then < now]
    return sum(ends) + times[-1]


def summary(runs) -> str:
    """One row per run, and the median of the accuracies."""
    rows = [
        "| seed | held-out accuracy | Hungarian on test | NMI | ARI | L_I per code "
        "[nats] | recovered from fakes | information on test images [nats] | minutes, "
        "evaluated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    accuracies = []
    for run in runs:
        report, options = read(run, "evaluation.json"), read(run, "run.json")
        accuracies.append(report["accuracy"])
        bounds = ", ".join(f"{code['information']:.2f}" for code in report["codes"])
        recovered = ", ".join(f"{code['recovered']:.3f}" for code in report["codes"])
        # Runs of before this measure have none.
        information = f"{report.get('image_information', float('nan')):.4f}"
        minutes = seconds(lines(run, "timings.jsonl")) / 60
        rows.append(
            f"| {options['seed']} | {report['accuracy']:.4f} | "
            f"{report['hungarian']:.4f} | {report['nmi']:.3f} | {report['ari']:.3f} | "
            f"{bounds} | {recovered} | {information} | "
            f"{minutes:.1f} |"
        )
    environment = read(runs[0], "environment.json")
    versions = ", ".join(f"{k} {v}" for k, v in environment["versions"].items())
    dataset = environment["dataset"]
    rows += [
        "",
        f"Median accuracy {statistics.median(accuracies):.4f} of {len(runs)} runs; "
        f"{read(runs[0], 'run.json')['steps']} updates; {dataset['name']} "
        f"({dataset['train']} + {dataset['test']} images, SHA-256 "
        f"{dataset['sha256'][:12]}); {environment['cpus']} CPU cores, "
        f"{environment['backend']}; {versions}; {environment['started'][:10]}.",
    ]
    return "\n".join(rows)


def curve(run) -> str:
    """Accuracy on the test images while a run trained."""
    rows = ["| update | Hungarian on test | NMI |", "|---|---|---|"]
    for line in lines(run, "accuracy.jsonl"):
        rows.append(f"| {line['step']} | {line['hungarian']:.4f} | {line['nmi']:.3f} |")
    return "\n".join(rows)


def main(argv=None) -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="finished run directories"
    )
    parser.add_argument("--curve", action="store_true", help="accuracy over updates")
    options = parser.parse_args(argv)
    try:
        if options.curve:
            print("\n\n".join(curve(run) for run in options.runs))
        else:
            print(summary(options.runs))
    except FileNotFoundError as error:
        print(
            f"error: {error.filename} is missing: not a finished run.", file=sys.stderr
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Where a run's accuracy is lost: G's partition, what G draws, or Q's reading of it.

    python experiments/fakes.py runs/quick runs/mnist

For each run, on 5,000 fakes. "Pure": the share whose digit is their category's, by a
classifier of real digits (the judge of sweeps.py). Then the same classifier taught by
the fakes alone, on real test digits: told their categories, it does what a perfect Q
would; told their digits by the judge, it shows what G's images cover, whatever the
partition ("GAN-train" of Shmelkov et al. 2018, arXiv:1807.09499).
"""

import argparse
import json
import sys

import jax
import numpy as np
import sweeps

import infogan_jax
from infogan_jax import data, evaluation, metrics

N_FAKES = 5000


def study(run, dataset, digits_of) -> dict:
    """The numbers of one run."""
    config, state = infogan_jax.restore(run)
    images, _, c = infogan_jax.sample(config, state, jax.random.key(0), N_FAKES)
    category = np.asarray(config.codes.split(c)[0]).argmax(-1)
    digits = digits_of(images)
    n = config.codes.parts[0].n, dataset.train["label"].max() + 1

    def taught_by(labels):
        found = sweeps.classifier(images, labels)(dataset.test["image"] / 255)
        counts = metrics.contingency(found, dataset.test["label"], max(n), n[1])
        return metrics.cluster_accuracy(counts)

    return {
        "run": str(run),
        "q": evaluation.clustering(config, state, dataset.test)["hungarian"],
        "pure": metrics.cluster_accuracy(metrics.contingency(category, digits, *n)),
        "taught_categories": taught_by(category),
        "taught_digits": taught_by(digits),
    }


def main(argv=None) -> int:
    """Prints a table of all runs; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--data", default="bundled", help="(default: %(default)s)")
    parser.add_argument("--data-dir", metavar="PATH", help="where its files lie")
    parser.add_argument("--json", metavar="PATH", help="write the rows")
    options = parser.parse_args(argv)
    try:
        dataset = data.load(options.data, options.data_dir)
        digits_of, right = sweeps.judge(dataset)
        rows = [study(run, dataset, digits_of) for run in options.runs]
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The judge is right on {right:.4f} of real test digits.\n")
    print("| run | Q | pure | taught their categories | taught their digits |")
    print("|---|---|---|---|---|")
    for row in rows:
        name, *numbers = row.values()
        print(f"| {name} | {' | '.join(f'{number:.4f}' for number in numbers)} |")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())

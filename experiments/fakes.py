"""Where a run's accuracy is lost: G's partition, what G draws, or Q's reading of it.

    python experiments/fakes.py runs/quick runs/mnist

For each run, on 5,000 fakes. "Pure": the share whose digit is their category's, by a
classifier of real digits (the judge of sweeps.py). Then the same classifier taught by
the fakes alone, on real test digits: told their categories, it does what a perfect Q
would; told their digits by the judge, it shows what G's images cover, whatever the
partition ("GAN-train" of Shmelkov et al. 2018, arXiv:1807.09499). Results:
`experiments/results/fakes.json`.
"""

import jax
import numpy as np
import sweeps

import infogan_jax
from infogan_jax import evaluation, metrics
from infogan_jax.host import console

N_FAKES = 5000


def study(run, dataset, digits_of) -> list[dict]:
    """The row of one run."""
    config, state = sweeps.restore(run, dataset)
    images, _, c = infogan_jax.sample(config, state, jax.random.key(0), N_FAKES)
    category = np.asarray(config.codes.split(c)[0]).argmax(-1)
    digits = digits_of(images)
    if len(np.unique(digits)) < 2:
        raise ValueError(f"all its fakes are a {digits[0]}, says the judge.")
    splits = dataset.train, dataset.test
    n_labels = 1 + max(split["label"].max() for split in splits)
    n_values = config.codes.parts[0].n

    def taught_by(labels):
        return sweeps.classifier(images, labels)(dataset.test["image"] / 255)

    truth = dataset.test["label"]
    read_by_category = metrics.contingency(
        taught_by(category), truth, n_values, n_labels
    )
    read_by_digit = taught_by(digits)[truth >= 0]

    drawn = metrics.contingency(category, digits, n_values, n_labels)
    row = {
        "run": str(run),
        "q": evaluation.clustering(config, state, dataset.test)["hungarian"],
        "pure": metrics.cluster_accuracy(drawn),
        "taught_categories": metrics.cluster_accuracy(read_by_category),
        "taught_digits": float(np.mean(read_by_digit == truth[truth >= 0])),
    }
    return [row]


def main(argv=None) -> int:
    """Prints a table of all runs; returns the exit status."""
    columns = "run", "Q", "pure", "taught their categories", "taught their digits"
    return sweeps.report(argv, __doc__, study, columns, decimals=4)


if __name__ == "__main__":
    console.run(main)

"""How clusters agree with labels: accuracy under a matching, purity, NMI, ARI.

`counts` is everywhere what `contingency` makes: int [clusters, labels], not all 0; all
functions of it raise ValueError otherwise. Shares of them will do, but for `ari`.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from infogan_jax import rules
from infogan_jax.metrics import information

_MOST = 10**8  # Cells of a table.


def contingency(
    clusters: ArrayLike,
    labels: ArrayLike,
    n_clusters: int | None = None,
    n_labels: int | None = None,
) -> np.ndarray:
    """Counts [n_clusters, n_labels] of pairs; label -1 (unknown) is left out.

    Args:
      clusters: int [N], in 0 .. n_clusters - 1; or booleans.
      labels: int [N], below n_labels; -1 where unknown; or booleans.
      n_clusters: rows; by default as many as the highest cluster asks for.
      n_labels: columns; the same of labels.

    Raises:
      ValueError: no integers, unequal lengths, no known label, numbers out of range, or
        a table of more than 10**8 cells.
    """
    clusters, labels = _integers("clusters", clusters), _integers("labels", labels)
    if clusters.shape != labels.shape or clusters.ndim != 1:
        raise ValueError(
            "clusters and labels need one length, not "
            f"{clusters.shape}, {labels.shape}."
        )
    known = labels != -1
    if not known.any():
        raise ValueError("no label is known.")
    shape = []
    for name, numbers, n in (
        ("clusters", clusters[known], n_clusters),
        ("labels", labels[known], n_labels),
    ):
        highest = int(numbers.max())
        n = max(highest, 0) + 1 if n is None else rules.as_count(f"n_{name}", n)
        if numbers.min() < 0 or highest >= n:
            raise ValueError(
                f"{name} must lie in 0 .. {n - 1}, not {numbers.min()} .. {highest}."
            )
        shape.append(n)
    if math.prod(shape) > _MOST:
        raise ValueError(
            f"a table of {shape[0]} clusters by {shape[1]} labels is too large; number "
            "them from 0 on, without gaps."
        )
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (clusters[known], labels[known]), 1)
    return counts


def match(counts: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
    """The label of each cluster, [n_clusters], that makes the most pairs agree.

    One to one (Hungarian method); where there are more clusters than labels, each label
    has at least one.

    Args:
      counts: [clusters, labels].
      labels: those that there are; by default those that anything in `counts` has.

    Raises:
      ValueError: counts that are none, or labels that they have no column for.
    """
    counts = _counts(counts)
    known = np.flatnonzero(counts.any(0))
    if labels is not None:
        known = np.unique(_integers("labels", labels))
        if not 0 <= known[0] <= known[-1] < counts.shape[1]:
            raise ValueError(
                f"labels must lie in 0 .. {counts.shape[1] - 1}, not "
                f"{known[0]} to {known[-1]}."
            )
    counts = counts[:, known]
    label_of = counts.argmax(1)
    # By what is lost: a cluster that is left over keeps its most frequent label.
    rows, columns = _assignment(counts.max(1, keepdims=True) - counts)
    label_of[rows] = columns
    return known[label_of]


def accuracy(counts: ArrayLike, label_of: ArrayLike) -> float:
    """Share of pairs in `counts` whose cluster maps to their label, in [0, 1].

    Args:
      counts: [clusters, labels].
      label_of: int [clusters], as `match` gives it.

    Raises:
      ValueError: `label_of` is not a label for each cluster.
    """
    counts, label_of = _counts(counts), _integers("label_of", label_of)
    n_labels = counts.shape[1]
    fits = label_of.shape == counts.shape[:1] and set(label_of) <= set(range(n_labels))
    if not fits:
        raise ValueError(
            f"label_of must be a label in 0 .. {n_labels - 1} for each of "
            f"{len(counts)} clusters, not {label_of}."
        )
    return float(counts[np.arange(len(counts)), label_of].sum() / counts.sum())


def cluster_accuracy(counts: ArrayLike) -> float:
    """Share of pairs that agree under the best one-to-one matching, in [0, 1].

    The "ACC" of the literature, fitted on these very counts; where there are more
    clusters than labels, those that are left over agree with none.

    Source: Yang et al. 2010, Image clustering using local discriminant models.
    """
    counts = _counts(counts)
    return float(counts[_assignment(-counts)].sum() / counts.sum())


def nmi(counts: ArrayLike) -> float:
    """Normalised mutual information, in [0, 1]; 1 for two constants.

    I divided by the arithmetic mean of both entropies, as scikit-learn's default is.

    Source: Strehl and Ghosh 2002, Cluster ensembles; Vinh et al. 2010 for the mean.
    """
    counts = _counts(counts)
    joint = counts / counts.sum()
    mean = (information.entropy(joint.sum(0)) + information.entropy(joint.sum(1))) / 2
    shared = max(0.0, information.mutual_information(joint))  # Rounded: it may be -0.
    return min(shared / mean, 1.0) if mean > 0 else 1.0


def ari(counts: ArrayLike) -> float:
    """Adjusted Rand index: 1 for equal partitions, about 0 for independent ones.

    Raises:
      ValueError: counts that are not whole.

    Source: Hubert and Arabie 1985, Comparing partitions.
    """
    counts = _counts(counts).astype(np.float64)
    if (counts != np.round(counts)).any():  # x (x - 1) is negative between 0 and 1.
        raise ValueError(
            "counts must be whole numbers for ARI, such as contingency(clusters, "
            "labels) gives; multiply shares by the number of images."
        )

    def pairs(x):
        return (x * (x - 1) / 2).sum()

    both, rows, columns = pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0))
    expected = rows * columns / max(pairs(counts.sum()), 1)
    highest = (rows + columns) / 2
    return (
        float((both - expected) / (highest - expected)) if highest > expected else 1.0
    )


def purity(counts: ArrayLike) -> float:
    """Share of pairs whose label is their cluster's most frequent one, in (0, 1]."""
    counts = _counts(counts)
    return float(counts.max(1).sum() / counts.sum())


def _assignment(costs):
    """Rows and columns of the cheapest one-to-one matching."""
    from scipy.optimize import linear_sum_assignment  # Half a second to import.

    return linear_sum_assignment(costs)


def _counts(counts):
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iuf":
        raise ValueError(
            "counts must be numbers [clusters, labels], made by "
            f"contingency(clusters, labels), not {counts.dtype} {counts.shape}."
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.any()):
        raise ValueError("counts must be finite, at least 0, and not all 0.")
    return counts.astype(np.float64 if counts.dtype.kind == "f" else np.int64)


def _integers(name, numbers):
    numbers = np.asarray(numbers)
    if not numbers.size:
        raise ValueError(f"{name} are empty.")
    if numbers.dtype == bool:
        return numbers.astype(np.int64)
    if not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"{name} must be integers or booleans, not {numbers.dtype}.")
    return numbers

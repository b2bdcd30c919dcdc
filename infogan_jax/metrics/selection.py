"""Choosing a run without labels: the one that others agree with, or that is surest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from infogan_jax import types
from infogan_jax.metrics import fitting, information, inputs


def image_information(q: ArrayLike) -> float:
    """What Q says of real images: I(c; x) by Q(c|x) of a categorical code, in nats.

    0 if Q says the same of every image; log n if it is sure of each, and uses all n
    values alike. A Q whose categories cut through the data's own groups is unsure where
    they meet, although it is sure of every fake: this differs where L_I does not.

    Args:
      q: probabilities [N, n], of N real images.

    Returns:
      H(mean of Q(c|x)) - mean of H(Q(c|x)): the logarithm of the Inception score with
      Q as the classifier.

    Raises:
      ValueError: another shape, or rows that are no probabilities.

    Source: Bridle et al. 1991, Unsupervised classifiers, mutual information and
    'phantom targets'; Salimans et al. 2016 (arXiv:1606.03498), section 4.
    """
    q = np.asarray(q, np.float64)
    if q.ndim != 2 or not len(q):
        raise ValueError(f"q must be probabilities [N, n], not {q.shape}.")
    if not (q >= 0).all() or not np.allclose(q.sum(1), 1, rtol=0, atol=1e-4):
        raise ValueError(
            "each row of q must be probabilities that sum to 1, not from "
            f"{q.sum(1).min():g} to {q.sum(1).max():g}; of logits take the softmax."
        )
    return max(information.mutual_information(q / q.sum()), 0.0)


def model_centrality(scores: ArrayLike) -> np.ndarray:
    """ModelCentrality of each of R runs, [R]; the largest is the run to take.

    Args:
      scores: [R, R]; entry [i, j] is FactorVAE's score of run j's representation on
        votes that run i made, one of its own codes fixed in each.

    Returns:
      The mean of the symmetrised scores with all other runs. Two runs always tie.

    Raises:
      ValueError: fewer than two runs, another shape, NaN or infinity.

    Source: Lin et al. 2020 (arXiv:1906.06034), section 5.
    """
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    if scores.shape != (n, n) or n < 2:
        raise ValueError(
            f"scores must be [R, R] of at least two runs, not {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity.")
    agreement = (scores + scores.T) / 2
    return (agreement.sum(1) - np.diag(agreement)) / (n - 1)


def udr(
    representations: types.Array | Sequence[ArrayLike],
    informative: types.Array | Sequence[ArrayLike] | None = None,
) -> np.ndarray:
    """Unsupervised disentanglement ranking (Spearman) of each of R runs, [R].

    Two disentangled runs differ by a permutation and signs of their codes: the matrix
    of rank correlations between their codes has one large entry in each row and column.

    Args:
      representations: R arrays [N, L], of the same images.
      informative: R boolean arrays [L], codes in use; by default those whose range is
        more than a millionth of the run's widest. The others count nowhere.

    Returns:
      The median of each run's scores with all others, in [0, 1]. Two runs always tie.

    Raises:
      ValueError: fewer than two runs or three images, unequal numbers of images,
        complex numbers, NaN or infinity, or masks that do not fit the codes.

    Source: Duan et al. 2020 (arXiv:1905.12614), section 4, with Spearman's correlation.
    """
    from scipy import stats  # A second to import.

    runs = [inputs.real("representations", x) for x in representations]
    if len(runs) < 2 or any(x.ndim != 2 or len(x) != len(runs[0]) for x in runs):
        raise ValueError(
            "give at least two representations [N, L] of the same images, not "
            f"{[x.shape for x in runs]}."
        )
    if len(runs[0]) < 3:  # Any two codes agree on two.
        raise ValueError(f"{len(runs[0])} images are too few to rank; give more.")
    if not all(np.isfinite(x).all() for x in runs):
        raise ValueError("representations hold NaN or infinity.")
    if informative is None:
        ranges = [np.ptp(x, 0) for x in runs]  # 0 of a constant, however large.
        informative = [r > 1e-6 * r.max(initial=0) for r in ranges]
    masks = [np.asarray(mask) for mask in informative]
    shapes = [(np.dtype(bool), x.shape[1:]) for x in runs]
    if [(mask.dtype, mask.shape) for mask in masks] != shapes:
        raise ValueError(
            f"informative must be booleans [L] for each of {len(runs)} runs, not "
            f"{[(str(mask.dtype), mask.shape) for mask in masks]}."
        )
    ranks = [
        stats.rankdata(x[:, mask], axis=0) for x, mask in zip(runs, masks, strict=True)
    ]
    ranks = [fitting.standardise(x, x) for x in ranks]
    n = len(runs)
    scores = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            scores[i, j] = scores[j, i] = _one_to_one(_similar(ranks[i], ranks[j]))
    return np.array([np.median(np.delete(scores[i], i)) for i in range(n)])


def _similar(a, b):
    """Size of the correlations of standardised columns, [L, M]."""
    return np.minimum(abs(a.T @ b) / len(a), 1.0)  # Rounding goes past it.


def _one_to_one(similar):
    """Mean over the codes of both, [L, M], of the best similarity times its share."""
    if not similar.size:
        return 0.0

    def side(matrix):
        total = matrix.sum(0)
        return (matrix.max(0) ** 2 / np.where(total > 0, total, 1.0)).sum()

    return (side(similar) + side(similar.T)) / sum(similar.shape)

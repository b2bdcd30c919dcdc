"""Entropy, information and correlation of tables and vectors; in nats."""

import math

import numpy as np
from numpy.typing import ArrayLike


def entropy(p: ArrayLike) -> float:
    """H of a table of probabilities of any shape: -sum p ln p.

    Raises:
      ValueError: negative entries, or a sum that is not 1.
    """
    p = np.asarray(p, np.float64)
    if (p < 0).any() or not np.isclose(p.sum(), 1, rtol=0, atol=1e-6):
        raise ValueError(
            "probabilities must be at least 0 and sum to 1; their least is "
            f"{p.min(initial=0):g} and their sum {p.sum():g}."
        )
    p = p[p > 0]  # 0 ln 0 is 0.
    return float(-(p * np.log(p)).sum())


def conditional_entropy(joint: ArrayLike) -> float:
    """H(B|A) = H(A, B) - H(A) of a joint table [A, B].

    Raises:
      ValueError: no table, or as `entropy`.
    """
    joint = _table(joint)
    return entropy(joint) - entropy(joint.sum(1))


def mutual_information(joint: ArrayLike) -> float:
    """I(A; B) = H(B) - H(B|A) of a joint table [A, B].

    Raises:
      ValueError: no table, or as `entropy`.
    """
    joint = _table(joint)
    return entropy(joint.sum(0)) - conditional_entropy(joint)


def correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation of two vectors, in [-1, 1].

    0 if one is constant, NaN of what is not finite.

    Raises:
      ValueError: they are no vectors of one length, or empty.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (a.ndim == 1 and a.shape == b.shape and a.size):
        raise ValueError(
            f"a correlation is of two vectors of one length, 1 or more, not of shapes "
            f"{a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.nan
    if np.ptp(a) == 0 or np.ptp(b) == 0:  # A rounded mean leaves more than 0.
        return 0.0
    a, b = (_scaled(x - x.mean()) for x in (a, b))
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    if norm == 0:
        return 0.0
    return float(np.clip((a * b).sum() / norm, -1, 1))  # Rounding goes past them.


def _table(joint):
    joint = np.asarray(joint, np.float64)
    if joint.ndim != 2:
        raise ValueError(f"a joint table must be [A, B], not {joint.shape}.")
    return joint


def _scaled(x):
    """`x` within [-1, 1]: squares of others may leave the range of float64."""
    largest = np.abs(x).max()
    return x if largest == 0 else x / largest

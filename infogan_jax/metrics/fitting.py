"""What metrics that fit a model share: which rows train, scales, and scikit-learn."""

import importlib
from typing import Any

import numpy as np


def held_out(numbered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that train, two thirds, and the others, which are scored.

    Drawn at random, always the same ones: tables come in order of their factors.

    Args:
      numbered: [N, K], factors as `check` gives them.

    Raises:
      ValueError: one of the two parts holds one value of a factor only.
    """
    order = np.random.default_rng(0).permutation(len(numbered))
    train, scored = np.split(order, [len(order) - len(order) // 3])
    for part in (train, scored):
        for k, values in enumerate(numbered[part].T):
            if values.min() == values.max():
                raise ValueError(
                    f"factor {k} takes one value only in {len(part)} of the "
                    f"{len(order)} rows, drawn at random to train or to be scored; "
                    "give more rows of its other values."
                )
    return train, scored


def parts(protocol: str, numbered: np.ndarray) -> tuple:
    """The rows that train and those that are scored, by a protocol."""
    if protocol == "infogan-cr":
        return slice(None), slice(None)
    return held_out(numbered)


def standardise(codes: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Codes less the mean of `by`, in its standard deviations, [N, L].

    A code that is constant there, but for rounding, keeps its unit.
    """
    largest = np.abs(by).max(0)  # Squares of very small numbers would be 0.
    unit = np.where(largest > 0, largest, 1.0)
    codes, by = codes / unit, by / unit
    spread = np.where(np.ptp(by, 0) > 1e-12, by.std(0), 1.0)
    return (codes - by.mean(0)) / spread


def logistic_regression() -> Any:
    """One value against the rest, as both protocols' scikit-learn (0.20) had it."""
    linear, multiclass = sklearn("linear_model"), sklearn("multiclass")
    return multiclass.OneVsRestClassifier(linear.LogisticRegression(solver="liblinear"))


def sklearn(name: str) -> Any:
    """A submodule of scikit-learn.

    Raises:
      ImportError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(f"sklearn.{name}")
    except ImportError as error:
        raise ImportError(
            "this metric needs scikit-learn; install it with "
            "pip install 'infogan_jax[metrics]'."
        ) from error

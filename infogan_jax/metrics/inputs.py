"""What every disentanglement metric asks of its arrays."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from infogan_jax import rules

BINS = 20
_LARGEST = 1e30  # A square, and what scikit-learn makes of it, stay finite.
PROTOCOLS = ("infogan-cr", "disentanglement-lib")


def check_protocol(protocol: str) -> None:
    """Raises ValueError unless it is one of PROTOCOLS."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}, not {protocol!r}.")


def check(
    codes: ArrayLike, factors: ArrayLike, rows: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """`codes` [N, L] as float64 and `factors` [N, K] as numbered values, int64.

    Factors may be of any type that can be sorted: their values are classes, and only
    where a metric says so numbers.

    Raises:
      ValueError: wrong shapes, too few rows, NaN or infinite numbers, masked arrays,
        codes that are complex or beyond 1e30, or a factor that takes one value only, or
        values that cannot be sorted.
    """
    codes = real("codes", codes)
    if np.ma.isMaskedArray(factors):
        raise ValueError("factors are masked; leave out the rows that are.")
    factors = np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(
            "codes must be [N, L] and factors [N, K] with the same N, not "
            f"{codes.shape} and {factors.shape}."
        )
    if not codes.shape[1] or not factors.shape[1]:
        raise ValueError("there must be at least one code and one factor.")
    if len(codes) < rows:
        raise ValueError(f"{len(codes)} rows are too few; give at least {rows}.")
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(1).sum())
        raise ValueError(f"codes hold NaN or infinity in {bad} of {len(codes)} rows.")
    if np.abs(codes).max() > _LARGEST:
        raise ValueError(
            f"codes may reach {_LARGEST:g}, not {np.abs(codes).max():g}; rescale them."
        )
    if factors.dtype.kind in "mM" and np.isnat(factors).any():
        raise ValueError("factors hold NaT.")
    floats: Any = factors if np.issubdtype(factors.dtype, np.inexact) else 0.0
    if factors.dtype == object:  # As a table of numbers and words is.
        floats = [x for x in factors.flat if isinstance(x, float | np.floating)]
    if not np.isfinite(floats).all():
        raise ValueError("factors hold NaN or infinity.")
    numbered = number_values(factors)
    for k, n_values in enumerate(numbered.max(0) + 1):
        if n_values < 2:
            raise ValueError(
                f"factor {k} takes one value only; leave out its column, or sample "
                "more of it."
            )
    return codes, numbered


def check_discrete(numbered: np.ndarray, which: Iterable[int] | None = None) -> None:
    """Raises ValueError where most rows have a value of their own, as if continuous.

    Args:
      numbered: [N, K], factors as `check` gives them.
      which: the factors whose values are classes; all by default.
    """
    n, n_factors = numbered.shape
    for k in range(n_factors) if which is None else which:
        alone = int((np.bincount(numbered[:, k]) == 1).sum())
        if 2 * alone > n:
            raise ValueError(
                f"factor {k}: {alone} of {n} rows have a value of their own; give each "
                "value many rows, by bins if it is continuous."
            )


def real(name: str, array: ArrayLike) -> np.ndarray:
    """The array as float64.

    Raises:
      ValueError: it is complex or masked, of which NumPy would drop what it cannot
        keep.
    """
    if np.iscomplexobj(array):
        raise ValueError(f"{name} are complex; give real numbers, as both their parts.")
    if np.ma.isMaskedArray(array):
        raise ValueError(f"{name} are masked; leave out the rows that are.")
    return np.asarray(array, np.float64)


def numbers(factors: ArrayLike, metric: str) -> np.ndarray:
    """Factors whose values are used as numbers, float64.

    Raises:
      ValueError: they are not numbers, or complex.
    """
    try:
        found = real("factors", factors)
    except ValueError as error:
        raise ValueError(
            f"{metric} takes the values of factors as numbers ({error}); number them."
        ) from error
    if not np.isfinite(found).all():  # float() takes the word "nan".
        raise ValueError(f"{metric} takes the values of factors as numbers, not NaN.")
    return found


def number_values(factors: np.ndarray) -> np.ndarray:
    """Each factor's values as 0, 1, ... in ascending order, int64 [N, K].

    Raises:
      ValueError: values that cannot be sorted.
    """
    columns = []
    for k, column in enumerate(factors.T):
        try:
            columns.append(np.unique(column, return_inverse=True)[1])
        except TypeError as error:
            raise ValueError(
                f"the values of factor {k} cannot be sorted ({error}); make them of "
                "one type."
            ) from error
    return np.stack(columns, 1).astype(np.int64)


def bin_codes(codes: ArrayLike, bins: int) -> np.ndarray:
    """Each code in `bins` intervals of equal width over its own range, int64 [N, L].

    As by NumPy's histograms, which disentanglement_lib takes; but a value on the edge
    of two intervals is in the upper one, on whichever side of it the rounding of the
    codes' own dtype, float32 of Q's, has put it.
    """
    rules.check_whole("bins", bins, 2)
    codes = np.asarray(codes)
    is_float = jnp.issubdtype(codes.dtype, jnp.floating)  # bfloat16 is one here.
    rounding = jnp.finfo(codes.dtype).eps if is_float else 0.0
    codes = codes.astype(np.float64)
    low, range_ = codes.min(0), np.ptp(codes, 0)
    range_ = np.where(range_ > 0, range_, 1.0)
    nearly = 2 * bins * float(rounding) * np.abs(codes).max(0) / range_
    places = (codes - low) / range_ * bins + np.minimum(nearly, 1e-2)
    return np.minimum(places.astype(np.int64), bins - 1)

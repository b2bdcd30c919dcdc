"""Disentanglement from a table: a representation beside the factors of the images.

`codes` [N, L] is the representation (Q's means), `factors` [N, K] the values that made
the images; a factor's values are classes, not numbers, unless a metric says otherwise.
Every metric raises ValueError on NaN or infinite codes, on factors of one value, on
wrong shapes, on too few rows and on an unknown protocol; and where values are classes,
on a factor most of whose rows have a value of their own. scikit-learn fits what has to
be fitted; where it is missing, that is an ImportError.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from infogan_jax import rules
from infogan_jax.metrics import fitting, information, inputs

_REGRESSORS = ("lasso", "forest", "boosted_trees")


def mig(codes: ArrayLike, factors: ArrayLike, *, bins: int = inputs.BINS) -> float:
    """Mutual information gap: how far the best code of a factor is ahead of the second.

    (I(c_1; v) - I(c_2; v)) / H(v), averaged over factors, in [0, 1]; information of
    codes in `bins` intervals of equal width. Both protocols do so; 10,000 rows are
    usual. A factor of more values than bins cannot reach 1.

    Raises:
      ValueError: `bins` below 2, or as every metric here.

    Source: Chen et al. 2018 (arXiv:1802.04942), section 4.
    """
    shared, entropies = _information(codes, factors, bins)
    if len(shared) == 1:
        shared = np.vstack([shared, np.zeros_like(shared)])
    ordered = np.sort(shared, 0)
    gaps = (ordered[-1] - ordered[-2]) / entropies
    return min(float(gaps.mean()), 1.0)  # Rounding goes past it.


def modularity(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = inputs.BINS
) -> float:
    """How far each code informs of one factor only, in [0, 1]; a dead code counts 0.

    It does not ask how much a code informs: noise scores far above 0, by chance.

    Raises:
      ValueError: a single factor, for which it says nothing; `bins` below 2, or as
        every metric here.

    Source: Ridgeway and Mozer 2018 (arXiv:1802.05312), section 3.
    """
    shared, _ = _information(codes, factors, bins)
    squares = shared**2
    n_factors = squares.shape[1]
    if n_factors < 2:
        raise ValueError("modularity compares factors; give at least two.")
    best = squares.max(1)
    others = (squares.sum(1) - best) / (n_factors - 1)
    alive = best > 1e-12  # Of a constant code rounding is all that is left.
    scores = np.where(alive, 1 - others / np.where(alive, best, 1.0), 0.0)
    return float(scores.mean())


def sap(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    protocol: str = "infogan-cr",
    discrete: Iterable[int] = (),
) -> float:
    """Separated attribute predictability: the gap of the two codes that predict best.

    Args:
      codes: [N, L].
      factors: [N, K]; of continuous factors the values are numbers.
      protocol: "infogan-cr" takes R^2 of a line for continuous factors and the
        accuracy of a linear SVM (C .01, balanced, scored on its own rows) for those in
        `discrete`. "disentanglement-lib" takes the SVM for all, trained on two thirds
        of the rows and scored on the others (10,000 and 5,000 are usual).
      discrete: indices of factors without an order, such as a shape. The SVM is
        regularised, so the codes' scale and offset count: about 1 and 0, as Q's means.

    Returns:
      Mean gap over factors, in [0, 1].

    Raises:
      ValueError: `discrete` names what is no factor, a factor whose values are to be
        numbers holds words, or as every metric here.

    Source: Kumar et al. 2018 (arXiv:1711.00848), section 3.
    """
    inputs.check_protocol(protocol)
    codes, numbered = inputs.check(codes, factors, rows=6)
    n_factors = numbered.shape[1]

    def is_factor(k):
        return rules.is_whole(k, 0) and not isinstance(k, bool) and k < n_factors

    indices = tuple(discrete) if isinstance(discrete, Iterable) else (None,)
    if not all(map(is_factor, indices)):
        raise ValueError(
            f"discrete must be indices of the {n_factors} factors, such as (0,), not "
            f"{discrete}."
        )
    if protocol == "disentanglement-lib":
        indices = tuple(range(n_factors))
    inputs.check_discrete(numbered, indices)
    parts, gaps = fitting.parts(protocol, numbered), []
    for k in range(n_factors):
        if k in indices:
            scores = [_svm_accuracy(code, numbered[:, k], *parts) for code in codes.T]
        else:
            values = inputs.numbers(np.asarray(factors)[:, k], "sap of a line")
            scores = [information.correlation(code, values) ** 2 for code in codes.T]
        best = np.sort([*scores, 0.0])  # A lone code has nothing to be ahead of.
        gaps.append(best[-1] - best[-2])
    return float(np.mean(gaps))


class Dci(NamedTuple):
    """Scores in [0, 1] (informativeness may fall below 0), and what they come from.

    Attributes:
      disentanglement: of codes: each informs of one factor; weighted by use. Codes that
        inform of next to nothing may have 1: see informativeness.
      completeness: of factors: each is held by one code; mean over factors.
      informativeness: R^2 of a regressor on held-out rows, or accuracy of a classifier.
      importance: [L, K].
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    regressor: str = "lasso",
    depth: int | Sequence[int | None] | None = 10,
    seed: int = 0,
) -> Dci:
    """Disentanglement, completeness, informativeness.

    Args:
      codes: [N, L].
      factors: [N, K]; lasso and forest take their values as numbers.
      regressor: "lasso" (standardised, alpha .02) or "forest" (random, 10 trees):
        InfoGAN-CR's code has both, and its table does not say which. Or
        "boosted_trees", disentanglement_lib's classifier: minutes per 10,000 rows.
      depth: of the forest's trees, on which its scores depend much, None for any; or
        one for each factor: InfoGAN-CR's code has 4, 5, 2, 5, 5 for dSprites.
      seed: of forests and boosted trees.

    Returns:
      A Dci: trained on two thirds of the rows, scored on the others. (InfoGAN-CR's code
      trains on all, and has no informativeness.)

    Raises:
      ValueError: an unknown regressor, a depth below 1 or not one for each factor, a
        seed below 0, words where values are numbers, or as every metric here.

    Source: Eastwood and Williams 2018 (ICLR), section 2.
    """
    if regressor not in _REGRESSORS:
        raise ValueError(f"regressor must be one of {_REGRESSORS}, not {regressor!r}.")
    seed = rules.as_count("seed", seed, 0)
    codes, numbered = inputs.check(codes, factors, rows=6)
    n_factors = numbered.shape[1]
    if isinstance(depth, Iterable) and np.ndim(np.asarray(depth)):
        depths = list(depth)
    else:
        depths = [depth] * n_factors
    if len(depths) != n_factors:
        raise ValueError(f"depth names {len(depths)} factors, not {n_factors}.")
    for each in depths:
        if each is not None:
            rules.check_whole("depth", each, or_else=", or None")
    if regressor == "boosted_trees":
        inputs.check_discrete(numbered)
    codes = fitting.standardise(codes, by=codes)
    train, scored = fitting.held_out(numbered)
    importance, scores = [], []
    for k in range(n_factors):
        if regressor == "boosted_trees":
            target = numbered[:, k]
        else:
            target = inputs.numbers(np.asarray(factors)[:, k], f"dci by {regressor}")
            target = fitting.standardise(target[:, None], by=target[:, None])[:, 0]
            if not target.std() > 0.5:  # Values that float64 cannot tell apart.
                raise ValueError(
                    f"dci by {regressor} cannot tell factor {k}'s values apart as "
                    "numbers; number them from 0."
                )
        model = _regressor(regressor, depths[k], seed)
        model.fit(codes[train], target[train])
        weights = model.coef_ if regressor == "lasso" else model.feature_importances_
        importance.append(np.abs(weights))
        scores.append(model.score(codes[scored], target[scored]))
    importance = np.stack(importance, 1)
    use = importance.sum(1) / max(importance.sum(), 1e-12)
    return Dci(
        float((_concentration(importance) * use).sum()),
        float(_concentration(importance.T).mean()),
        float(np.mean(scores)),
        importance,
    )


def explicitness(
    codes: ArrayLike, factors: ArrayLike, *, protocol: str = "infogan-cr"
) -> float:
    """How well logistic regression reads each factor from all codes: mean ROC AUC.

    It is regularised, so by "infogan-cr" the codes' scale and offset count: give them
    of order 1 around 0, as Q's means are.

    Args:
      codes: [N, L].
      factors: [N, K].
      protocol: "infogan-cr" scores on the rows that train; "disentanglement-lib" on
        the third that do not, the codes standardised.

    Returns:
      Mean over the values of a factor, one against the rest, then over factors: 0.5
      at chance, 1 at best.

    Raises:
      ValueError: no value of a factor is both among the rows that train and among those
        that are scored, or as every metric here.

    Source: Ridgeway and Mozer 2018 (arXiv:1802.05312), section 3.
    """
    inputs.check_protocol(protocol)
    codes, numbered = inputs.check(codes, factors, rows=6)
    inputs.check_discrete(numbered)
    measures = fitting.sklearn("metrics")
    train, scored = fitting.parts(protocol, numbered)
    if protocol == "disentanglement-lib":
        codes = fitting.standardise(codes, by=codes[train])
    areas = []
    for k, labels in enumerate(numbered.T):
        model = fitting.logistic_regression()
        model.fit(codes[train], labels[train])
        shares = model.predict_proba(codes[scored])
        if shares.shape[1] == 2:
            present = [(model.classes_[1], shares[:, 1])]
        else:
            present = zip(model.classes_, shares.T, strict=True)
        truth = labels[scored]
        of_values = [
            measures.roc_auc_score(truth == value, share)
            for value, share in present
            if 0 < (truth == value).sum() < len(truth)
        ]
        if not of_values:
            raise ValueError(
                f"factor {k}: none of its values is both among the rows that train and "
                "among those that are scored; give more rows of each."
            )
        areas.append(np.mean(of_values))
    return float(np.mean(areas))


def _information(codes, factors, bins):
    """I(code; factor) in nats, [L, K], and H(factor), [K]."""
    _, factors = inputs.check(codes, factors)
    inputs.check_discrete(factors)
    binned = inputs.bin_codes(codes, bins)
    shared = np.zeros((binned.shape[1], factors.shape[1]))
    for i, code in enumerate(binned.T):
        for k, factor in enumerate(factors.T):
            table = np.zeros((bins, factor.max() + 1))
            np.add.at(table, (code, factor), 1 / len(binned))
            shared[i, k] = max(information.mutual_information(table), 0.0)
    shares = [np.bincount(factor) / len(factor) for factor in factors.T]
    return shared, np.array([information.entropy(share) for share in shares])


def _svm_accuracy(code, labels, train, scored):
    svm = fitting.sklearn("svm").LinearSVC(C=0.01, class_weight="balanced")
    svm.fit(code[train, None], labels[train])
    return svm.score(code[scored, None], labels[scored])


def _regressor(name, depth, seed):
    if name == "lasso":
        linear = fitting.sklearn("linear_model")
        # Codes that are nearly alike take more than the 1,000 passes of the default.
        return linear.Lasso(alpha=0.02, max_iter=100_000)
    ensemble = fitting.sklearn("ensemble")
    if name == "forest":
        return ensemble.RandomForestRegressor(10, max_depth=depth, random_state=seed)
    return ensemble.GradientBoostingClassifier(random_state=seed)


def _concentration(importance):
    """1 - normalised entropy of each row: 1 where a row has one entry, 0 where flat."""
    n = importance.shape[1]
    # A row of zeros uses nothing: it is not concentrated on anything.
    used = importance.sum(1) > 0
    if n == 1:
        return used.astype(float)
    shares = importance / np.maximum(importance.sum(1, keepdims=True), 1e-12)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.where(used, 1 + (shares * logs).sum(1) / np.log(n), 0.0)

"""BetaVAE's and FactorVAE's scores: which factor was held fixed in a group of images?

A vote is a group of images that share one factor's value; all other factors vary. From
the codes of the group one point is made, and a classifier names the factor from it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from infogan_jax import rules
from infogan_jax.metrics import clustering, fitting, inputs

_ROUNDING = 4  # Units in the last place of a code's largest number, in its own type.


class Votes(NamedTuple):
    """Codes of groups of images, and the factor that each group shares.

    Attributes:
      codes: [V, M, L], M images a vote.
      fixed: int [V].
    """

    codes: np.ndarray
    fixed: np.ndarray


def draw_votes(
    codes: ArrayLike,
    factors: ArrayLike,
    n: int,
    size: int,
    *,
    seed: int,
    by_pairs: bool = False,
    in_turn: bool = False,
) -> Votes:
    """`n` votes of `size` rows each, drawn with replacement from a table.

    A factor is drawn, or takes its turn, then a row whose value of it is to be shared.
    The table should have many rows for each value; where images can be made on demand,
    make the groups from them instead (`sprites.sample_fixed`).

    Args:
      codes: [N, L].
      factors: [N, K].
      n: votes.
      size: images per vote.
      seed: of the drawing.
      by_pairs: every two rows of a vote share a value of their own instead; `size` is
        even then.
      in_turn: each factor is fixed as often as any other.

    Raises:
      ValueError: as every metric of a table; n below 1, a seed below 0, size below 2,
        or odd with `by_pairs`; or a factor in which most rows have a value of their
        own: a group would be one row again and again.
    """
    dtype = _float_type(codes)  # By which what is constant is told.
    codes, factors = inputs.check(codes, factors)
    codes = codes.astype(dtype)
    inputs.check_discrete(factors)
    n, size = rules.as_count("n", n), rules.as_count("size", size, 2)
    if by_pairs and size % 2:
        raise ValueError(f"votes of pairs need an even size, not {size}.")
    rng = np.random.default_rng(rules.as_count("seed", seed, 0))
    order = np.argsort(factors, 0, kind="stable")  # Rows of one value lie together.
    n_values = factors.max() + 1
    counts = np.stack([np.bincount(column, minlength=n_values) for column in factors.T])
    starts = np.cumsum(counts, 1) - counts
    n_factors = factors.shape[1]
    fixed = np.arange(n) % n_factors if in_turn else rng.integers(n_factors, size=n)
    factor = fixed[:, None]
    drawn = rng.integers(len(codes), size=(n, size // 2 if by_pairs else 1))
    shared = factors[drawn, factor]
    first, number = (
        np.repeat(table[factor, shared], size // shared.shape[1], 1)
        for table in (starts, counts)
    )
    picked = first + rng.integers(number, size=(n, size))
    return Votes(codes[order[picked, factor]], fixed)


def factor_vae(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    protocol: str = "infogan-cr",
    seed: int = 0,
) -> float:
    """FactorVAE's score of a table: accuracy of a majority vote, in [0, 1].

    Args:
      codes: [N, L]; all rows give the spread of each code.
      factors: [N, K].
      protocol: "infogan-cr" has 500 votes of 100 images, each factor fixed as often,
        scored on themselves, and keeps all codes. "disentanglement-lib" has 10,000
        votes of 64 images to learn from and 5,000 others to score, without codes of a
        spread under .05.
      seed: of the votes.

    Raises:
      ValueError: as `draw_votes` and `factor_vae_score`, or an unknown protocol.

    Source: Kim and Mnih 2018 (arXiv:1802.05983), section 4.
    """
    train, test = _protocol_votes(codes, factors, protocol, seed)
    spread = np.asarray(codes, np.float64).std(0)
    prune = 0.0 if protocol == "infogan-cr" else 0.05
    return factor_vae_score(train, spread, test, prune=prune)


def factor_vae_score(
    train: Votes,
    spread: ArrayLike,
    test: Votes | None = None,
    *,
    prune: float = 0.0,
) -> float:
    """Share of `test` votes whose least varying code votes for the right factor.

    Args:
      train: teach each code its factor, by majority.
      spread: [L], each code's standard deviation over images in general.
      test: is scored; `train` itself by default.
      prune: at least 0; codes of a smaller spread are left out, at 0 constants only.

    Returns:
      Accuracy in [0, 1]; 0 if no code is left.

    Raises:
      ValueError: votes, a spread or `prune` of another shape, not finite, or negative;
        or all votes fix the same factor.
    """
    bound = np.asarray(prune, np.float64)
    if bound.shape or not (np.isfinite(bound) and bound >= 0):
        raise ValueError(f"prune must be finite and at least 0, not {prune!r}.")
    spread = np.asarray(spread, np.float64)
    if spread.ndim != 1 or not (np.isfinite(spread) & (spread >= 0)).all():
        raise ValueError(f"spread must be [L], finite and at least 0, not {spread}.")
    _check_votes(train, len(spread))
    _check_tells(train)
    codes = np.asarray(train.codes)
    # The spread is rounded: what is constant, but for rounding, has one.
    low, high = (np.float64(end((0, 1))) for end in (codes.min, codes.max))
    rounding = (
        _ROUNDING
        * np.finfo(_float_type(codes)).eps
        * np.maximum(np.abs(low), np.abs(high))
    )
    varies = high - low > rounding
    alive = varies & (spread >= bound) & (spread > 0)
    if not alive.any():
        return 0.0

    def least(votes):
        # One code at a time, for all of them in float64 may be gigabytes.
        kept = (np.asarray(votes.codes)[..., code] for code in np.flatnonzero(alive))
        variances = [np.float64(code).var(1, ddof=1) for code in kept]
        return (np.stack(variances, 1) / spread[alive] ** 2).argmin(1)

    n_factors = int(np.max(train.fixed)) + 1
    n_codes = int(alive.sum())
    counts = clustering.contingency(least(train), train.fixed, n_codes, n_factors)
    if test is None:
        return clustering.purity(counts)
    _check_votes(test, len(spread))
    return float((counts.argmax(1)[least(test)] == test.fixed).mean())


def beta_vae(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    protocol: str = "infogan-cr",
    seed: int = 0,
) -> float:
    """BetaVAE's (Higgins') score of a table: accuracy of a linear classifier.

    The classifier is regularised, so the codes' scale counts: give them of order 1, as
    Q's means are.

    Args:
      codes: [N, L].
      factors: [N, K].
      protocol: "infogan-cr" has 500 votes of 50 pairs, FactorVAE's groups, scored on
        themselves; "disentanglement-lib" 10,000 votes of 64 pairs, each with a value of
        its own as in the source, and 5,000 others to score.
      seed: of the votes.

    Raises:
      ValueError: as `draw_votes` and `beta_vae_score`, or an unknown protocol.
      ImportError: scikit-learn is missing.

    Source: Higgins et al. 2017 (ICLR), section 3.
    """
    votes = _protocol_votes(codes, factors, protocol, seed, 128, by_pairs=True)
    return beta_vae_score(*votes)


def beta_vae_score(train: Votes, test: Votes | None = None) -> float:
    """Accuracy of logistic regression from mean |difference| in pairs to the factor.

    One factor against the rest, as both protocols' code had it.

    Args:
      train: is learned from; rows 0 and 1, 2 and 3, ... of a vote are its pairs.
      test: is scored; `train` itself by default.

    Raises:
      ValueError: votes of another shape, or not finite; or all fix the same factor.
      ImportError: scikit-learn is missing.
    """
    model = fitting.logistic_regression()

    n_codes = np.shape(train.codes)[-1]

    def points(votes):
        _check_votes(votes, n_codes)
        codes = np.asarray(votes.codes, np.float64)
        even = codes.shape[1] // 2 * 2
        return np.abs(codes[:, 0:even:2] - codes[:, 1:even:2]).mean(1)

    seen = points(train)
    _check_tells(train)
    model.fit(seen, train.fixed)
    scored = train if test is None else test
    return float(model.score(points(scored), scored.fixed))


def _protocol_votes(codes, factors, protocol, seed, size=64, by_pairs=False):
    """Votes that teach, and those that are scored.

    `size` and `by_pairs` are disentanglement_lib's; InfoGAN-CR has the same groups for
    all its scores.
    """
    inputs.check_protocol(protocol)
    if protocol == "infogan-cr":
        return draw_votes(codes, factors, 500, 100, seed=seed, in_turn=True), None
    votes = draw_votes(codes, factors, 15_000, size, seed=seed, by_pairs=by_pairs)
    return Votes(*(x[:10_000] for x in votes)), Votes(*(x[10_000:] for x in votes))


def _float_type(codes):
    """The codes' own, or float64 for whole numbers."""
    dtype = np.asarray(codes).dtype
    return dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float64)


def _check_votes(votes, n_codes):
    codes, fixed = np.asarray(votes.codes), np.asarray(votes.fixed)
    if codes.ndim != 3 or codes.shape[1] < 2 or codes.shape[2] != n_codes:
        raise ValueError(
            f"votes must be [V, M, {n_codes}] with M of at least 2, not {codes.shape}."
        )
    if fixed.shape != codes.shape[:1] or not len(fixed):
        raise ValueError(
            f"{len(codes)} votes need as many fixed factors: {fixed.shape}."
        )
    if not np.issubdtype(fixed.dtype, np.integer) or fixed.min() < 0:
        raise ValueError(f"fixed factors must be whole, at least 0, not {fixed}.")
    if not np.isfinite(codes).all():
        raise ValueError("votes hold NaN or infinite codes.")


def _check_tells(votes):
    if len(np.unique(votes.fixed)) < 2:
        raise ValueError("all votes fix the same factor; there is nothing to tell.")

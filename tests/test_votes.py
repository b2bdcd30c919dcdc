"""BetaVAE's and FactorVAE's scores, and choosing among runs without labels."""

import numpy as np
import pytest
from scipy import stats
from sklearn import linear_model

from infogan_jax import metrics
from infogan_jax.metrics import votes


def random_factors(seed, n=20_000, sizes=(4, 5, 3)):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, size, n) for size in sizes], 1)


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_the_factors_themselves_score_one(protocol):
    factors = random_factors(0)
    assert metrics.factor_vae(factors, factors, protocol=protocol) == 1
    assert metrics.beta_vae(factors, factors, protocol=protocol) >= 0.99


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_noise_scores_about_chance(protocol):
    factors = random_factors(0)
    noise = np.random.default_rng(1).normal(size=(len(factors), 4))
    # Scored on themselves, 500 votes give each code a lucky majority: a little more.
    assert 0.28 < metrics.factor_vae(noise, factors, protocol=protocol) < 0.45
    assert 0.28 < metrics.beta_vae(noise, factors, protocol=protocol) < 0.45


def test_images_of_a_vote_share_their_factor_and_vary_in_the_others():
    factors = random_factors(0)
    votes = metrics.draw_votes(factors, factors, n=200, size=50, seed=3)
    for group, fixed in zip(votes.codes, votes.fixed, strict=True):
        varies = [len(np.unique(column)) > 1 for column in group.T]
        assert varies == [k != fixed for k in range(3)]
    assert set(votes.fixed) == {0, 1, 2}
    again = metrics.draw_votes(factors, factors, n=200, size=50, seed=3)
    assert np.array_equal(votes.codes, again.codes)


def test_pairs_share_a_value_each():
    factors = random_factors(0)
    votes = metrics.draw_votes(factors, factors, 200, 40, seed=3, by_pairs=True)
    for group, fixed in zip(votes.codes, votes.fixed, strict=True):
        one, other = group[::2], group[1::2]
        assert (one[:, fixed] == other[:, fixed]).all()
        assert len(np.unique(one[:, fixed])) > 1
        differ = (one != other).any(0)
        assert differ.tolist() == [k != fixed for k in range(3)]
    with pytest.raises(ValueError, match="an even size, not 3"):
        metrics.draw_votes(factors, factors, 1, 3, seed=0, by_pairs=True)


def test_the_librarys_beta_vae_by_a_second_route():
    """Where a code's noise grows with its value, it matters who shares the value."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 5, (20_000, 2))
    codes = factors + rng.normal(size=factors.shape) * factors

    def vote(fixed):
        one, other = rng.integers(0, 5, (2, 64, 2))
        other[:, fixed] = one[:, fixed]
        seen = [x + rng.normal(size=x.shape) * x for x in (one, other)]
        return np.abs(seen[0] - seen[1]).mean(0)

    fixed = rng.integers(0, 2, 4000)
    points = np.array([vote(k) for k in fixed])
    model = linear_model.LogisticRegression(solver="liblinear")
    model.fit(points[:3000], fixed[:3000])  # Of two kinds: one against the other.
    expected = model.score(points[3000:], fixed[3000:])
    found = metrics.beta_vae(codes, factors, protocol="disentanglement-lib")
    assert found == pytest.approx(expected, abs=0.02)
    assert metrics.beta_vae(codes, factors, protocol="infogan-cr") < expected - 0.1


def test_factor_vae_by_a_second_route():
    rng = np.random.default_rng(0)
    factors = random_factors(0, n=3000)
    codes = factors @ rng.normal(size=(3, 3)) + rng.normal(size=(3000, 3))
    train = metrics.draw_votes(codes, factors, n=300, size=30, seed=0)
    test = metrics.draw_votes(codes, factors, n=100, size=30, seed=1)
    spread = codes.std(0)

    def least(group):
        return min(range(3), key=lambda i: np.var(group[:, i] / spread[i]))

    majority = {}
    for code in range(3):
        named = [
            int(k)
            for g, k in zip(train.codes, train.fixed, strict=True)
            if least(g) == code
        ]
        majority[code] = max(sorted(set(named)), key=named.count) if named else 0
    hits = [
        majority[least(g)] == k for g, k in zip(test.codes, test.fixed, strict=True)
    ]
    assert metrics.factor_vae_score(train, spread, test) == pytest.approx(np.mean(hits))


def test_factor_vae_does_not_depend_on_the_scale_of_a_code():
    factors = random_factors(0)
    codes = factors + 0.5 * np.random.default_rng(0).normal(size=factors.shape)
    found = metrics.factor_vae(codes, factors)
    assert metrics.factor_vae(codes * [1.0, 64.0, 1 / 64], factors) == found > 0.9


@pytest.mark.parametrize(
    ("metric", "protocol", "drawn", "taught", "scored"),
    [
        ("factor_vae", "infogan-cr", (500, 100, False), (500, 100), None),
        ("beta_vae", "infogan-cr", (500, 100, False), (500, 100), None),
        (
            *("factor_vae", "disentanglement-lib", (15_000, 64, False)),
            *((10_000, 64), (5_000, 64)),
        ),
        (
            *("beta_vae", "disentanglement-lib", (15_000, 128, True)),
            *((10_000, 128), (5_000, 128)),
        ),
    ],
)
def test_each_protocol_has_its_numbers_of_votes(
    metric, protocol, drawn, taught, scored, monkeypatch
):
    seen = []
    draw = votes.draw_votes

    in_turn = {"in_turn": True} if protocol == "infogan-cr" else {}

    def drawing(codes, factors, n, size, *, seed, by_pairs=False, **how):
        assert how == in_turn
        seen.append((n, size, by_pairs))
        return draw(codes, factors, n, size, seed=seed, by_pairs=by_pairs, **how)

    def scoring(train, *others, **_):
        test = next((x for x in others if isinstance(x, metrics.Votes)), None)
        seen.append(train.codes.shape[:2])
        seen.append(None if test is None else test.codes.shape[:2])
        both = (train,) if test is None else (train, test)
        whole = np.concatenate([x.codes for x in both])
        how = {"by_pairs": drawn[2], **in_turn}
        expected = draw(factors, factors, *drawn[:2], seed=0, **how)
        assert np.array_equal(whole, expected.codes)
        return 0.5

    factors = random_factors(0, 300)
    monkeypatch.setattr(votes, "draw_votes", drawing)
    monkeypatch.setattr(votes, f"{metric}_score", scoring)
    assert getattr(metrics, metric)(factors, factors, protocol=protocol) == 0.5
    assert seen == [drawn, taught, scored]


def test_beta_vae_by_a_second_route():
    factors = random_factors(0, n=3000)
    codes = factors + np.random.default_rng(0).normal(size=factors.shape)
    votes = metrics.draw_votes(codes, factors, n=200, size=20, seed=0)
    points = [
        np.mean([abs(group[i] - group[i + 1]) for i in range(0, 20, 2)], 0)
        for group in votes.codes
    ]
    # One against the rest, as in the code of both protocols: the surest model wins.
    chances = [
        linear_model.LogisticRegression(solver="liblinear")
        .fit(points, votes.fixed == k)
        .decision_function(points)
        for k in range(3)
    ]
    assert metrics.beta_vae_score(votes) == pytest.approx(
        np.mean(np.argmax(chances, 0) == votes.fixed)
    )


def test_codes_of_little_spread_are_pruned():
    factors = random_factors(0, n=3000)
    still = np.hstack([factors, np.full((3000, 1), 0.5)])  # always the least varying
    votes = metrics.draw_votes(still, factors, n=300, size=40, seed=0)
    assert metrics.factor_vae_score(votes, still.std(0)) == 1
    assert metrics.factor_vae_score(votes, still.std(0), prune=1.2) < 1
    assert metrics.factor_vae_score(votes, still.std(0), prune=9) == 0


def test_one_protocol_prunes_what_hardly_varies_and_the_other_does_not():
    factors = random_factors(0, n=3000)
    rare = np.where(np.random.default_rng(1).random(3000) < 0.01, 0.45, 0.0)
    assert 0.04 < rare.std() < 0.05
    codes = np.column_stack([rare, factors])  # In most votes the rare one stands still.
    assert metrics.factor_vae(codes, factors, protocol="disentanglement-lib") == 1
    assert metrics.factor_vae(codes, factors, protocol="infogan-cr") < 0.9


@pytest.mark.parametrize(
    ("codes", "fixed", "message"),
    [
        (np.zeros((4, 1, 2)), np.arange(4), "M of at least 2"),
        (np.zeros((4, 6, 3)), np.arange(4), r"\[V, M, 2\]"),
        (np.zeros((4, 6, 2)), np.arange(3), "as many fixed"),
        (np.zeros((4, 6, 2)), np.arange(4) - 1, "whole, at least 0"),
        (np.zeros((4, 6, 2)), np.arange(4.0), "whole, at least 0"),
        (np.full((4, 6, 2), np.nan), np.arange(4), "NaN"),
    ],
)
def test_bad_votes_are_named(codes, fixed, message):
    with pytest.raises(ValueError, match=message):
        metrics.factor_vae_score(metrics.Votes(codes, fixed), np.ones(2))


def test_bytes_are_scored_as_their_numbers():
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (40, 6, 3)).astype(np.int8)
    fixed = np.arange(40) % 3
    codes[np.arange(40), :, fixed] = codes[np.arange(40), :1, fixed]
    of_bytes, of_floats = (
        metrics.factor_vae_score(metrics.Votes(array, fixed), np.ones(3))
        for array in (codes, codes.astype(float))
    )
    assert of_bytes == of_floats == 1


@pytest.mark.parametrize("spread", [[1, np.nan], [1, np.inf], [1, -1], [[1, 1]]])
def test_a_spread_that_is_none_is_refused(spread):
    votes = metrics.Votes(np.zeros((4, 6, 2)), np.arange(4))
    with pytest.raises(ValueError, match="spread must be"):
        metrics.factor_vae_score(votes, spread)


@pytest.mark.parametrize("prune", [np.nan, np.inf, -1, None])
def test_a_bound_of_pruning_that_is_none_is_refused(prune):
    votes = metrics.Votes(np.zeros((4, 6, 2)), np.arange(4))
    with pytest.raises(ValueError, match="prune must be finite and at least 0"):
        metrics.factor_vae_score(votes, np.ones(2), prune=prune)


@pytest.mark.parametrize("metric", [metrics.factor_vae, metrics.beta_vae])
def test_factors_whose_values_occur_once_are_refused(metric):
    factors = np.c_[random_factors(0, 200)[:, 0], np.linspace(0, 1, 200)]
    with pytest.raises(ValueError, match="factor 1: 200 of 200 rows .* by bins"):
        metric(factors, factors)


def test_one_kind_of_vote_cannot_be_told_apart():
    with pytest.raises(ValueError, match="same factor"):
        metrics.beta_vae_score(metrics.Votes(np.zeros((4, 6, 2)), np.zeros(4, int)))
    codes = np.random.default_rng(0).normal(size=(500, 3))
    with pytest.raises(ValueError, match="same factor"):
        metrics.factor_vae(codes, np.arange(500)[:, None] % 5)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n": 0}, "n must be whole, at least 1, not 0"),
        ({"n": 2.5}, "n must be whole, at least 1, not 2.5"),
        ({"size": 1}, "size must be whole, at least 2, not 1"),
        ({"size": 4.0}, "size must be whole, at least 2, not 4.0"),
    ],
)
def test_numbers_of_votes_are_whole(numbers, message):
    factors = random_factors(0, 60)
    with pytest.raises(ValueError, match=message):
        metrics.draw_votes(
            factors, factors, **({"n": 3, "size": 2, "seed": 0} | numbers)
        )


def test_votes_of_beta_vae_are_of_one_width():
    rng = np.random.default_rng(0)
    train, test = (
        metrics.Votes(rng.normal(size=(6, 4, width)), np.arange(6) % 2)
        for width in (2, 3)
    )
    with pytest.raises(ValueError, match=r"\[V, M, 2\] .* not \(6, 4, 3\)"):
        metrics.beta_vae_score(train, test)
    lists = metrics.Votes(train.codes.tolist(), train.fixed)
    assert metrics.beta_vae_score(lists) == metrics.beta_vae_score(train)


def test_image_information_is_0_for_no_opinion_and_log_n_for_certain_even_ones():
    same, sure = np.full((6, 3), 1 / 3), np.eye(3)[[0, 1, 2, 2, 1, 0]]
    assert metrics.image_information(same) == pytest.approx(0.0, abs=1e-12)
    assert metrics.image_information(sure) == pytest.approx(np.log(3))
    # Sure, but of one value for all: nothing is said.
    assert metrics.image_information(sure[[0, 0, 0]]) == pytest.approx(0.0, abs=1e-12)


def test_image_information_is_the_mean_divergence_from_the_marginal():
    q = np.random.default_rng(0).dirichlet([0.3, 0.5, 1.0, 2.0], 50)
    divergences = [stats.entropy(row, q.mean(0)) for row in q]
    assert metrics.image_information(q) == pytest.approx(np.mean(divergences))


def test_centrality_is_the_mean_agreement_with_the_other_runs():
    scores = np.array([[1.0, 0.8, 0.2], [0.6, 1.0, 0.4], [0.4, 0.2, 1.0]])
    # Symmetrised: 0 with 1: .7, 0 with 2: .3, 1 with 2: .3.
    assert metrics.model_centrality(scores) == pytest.approx([0.5, 0.5, 0.3])


def test_udr_is_one_for_permuted_signed_monotone_codes_and_low_for_mixtures():
    codes = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    other = np.stack([-codes[:, 2], codes[:, 0] ** 3, codes[:, 1]], 1)
    turned = codes @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    ranking = metrics.udr([codes, other, turned])
    assert metrics.udr([codes, other]) == pytest.approx([1, 1], abs=0.1)
    assert ranking.argmin() == 2
    still = 1e-9 * np.random.default_rng(2).random((2000, 1))
    dead = np.hstack([codes, np.zeros((2000, 1)), still])
    assert metrics.udr([dead, other]) == pytest.approx(metrics.udr([codes, other]))
    assert metrics.udr([1e-7 * dead, other]) == pytest.approx(
        metrics.udr([dead, other])
    )


def test_udr_is_blind_to_what_is_called_uninformative():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 3))
    codes = [shared[:, rng.permutation(3)] + 0.3 * rng.normal(size=(300, 3))]
    noise = 0.2, 0.4, 0.9, 2.0  # Of five runs a median is no mean.
    codes += [shared + scale * rng.normal(size=(300, 3)) for scale in noise]
    noisy = [np.c_[x, rng.normal(size=(300, 6))] for x in codes]
    mask = np.arange(9) < 3
    # As in Duan et al.: by what is left of each pair's matrix, in plain loops.
    ranks = [stats.rankdata(x, axis=0) for x in codes]
    expected = []
    for i in range(5):
        scores = []
        for j in {0, 1, 2, 3, 4} - {i}:
            similar = abs(np.corrcoef(ranks[i].T, ranks[j].T)[:3, 3:])
            both = [row.max() ** 2 / row.sum() for row in (*similar, *similar.T)]
            scores.append(np.mean(both))
        expected.append(np.median(scores))
    assert metrics.udr(noisy, [mask] * 5) == pytest.approx(expected)
    assert metrics.udr(noisy, [np.zeros(9, bool)] * 5) == pytest.approx([0] * 5)
    for bad in ([mask] * 2, [mask.astype(int)] * 5, [mask[:3]] * 5):
        with pytest.raises(ValueError, match="informative must be booleans"):
            metrics.udr(noisy, bad)


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.image_information(np.ones(3) / 3),
        lambda: metrics.image_information(np.ones((2, 3))),
        lambda: metrics.image_information(np.full((2, 2), np.nan)),
        lambda: metrics.model_centrality(np.ones((1, 1))),
        lambda: metrics.model_centrality(np.ones((2, 3))),
        lambda: metrics.model_centrality(np.full((2, 2), np.nan)),
        lambda: metrics.udr([np.ones((4, 2))]),
        lambda: metrics.udr([np.ones((4, 2)), np.ones((5, 2))]),
        lambda: metrics.udr([np.ones((4, 2)), np.full((4, 2), np.nan)]),
        lambda: metrics.udr([np.eye(2)] * 2),
        lambda: metrics.udr([np.ones((0, 2))] * 2),
        lambda: metrics.udr([np.eye(4) * 1j] * 2),
    ],
)
def test_bad_input_to_the_choice_of_runs_is_refused(call):
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0.1, 1 / 3, 0.7])
def test_a_constant_code_wins_no_vote(constant, dtype):
    # Its mean is rounded: its deviation comes out as 1e-17 or 1e-7, not 0.
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (2000, 3))
    codes = factors + 0.05 * rng.normal(size=factors.shape)
    with_constant = np.c_[codes, np.full(len(codes), constant)].astype(dtype)
    assert metrics.factor_vae(with_constant, factors) == 1.0
    votes = metrics.draw_votes(with_constant, factors, 200, 50, seed=0)
    assert metrics.factor_vae_score(votes, with_constant.std(0)) == 1.0


def test_a_code_that_is_constant_but_for_rounding_wins_no_vote():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (2000, 3))
    codes = factors + 0.05 * rng.normal(size=factors.shape)
    angle = rng.uniform(0, 7, len(codes))
    constant = 0.1 * np.sin(angle) ** 2 + 0.1 * np.cos(angle) ** 2
    assert 0 < np.ptp(constant) < 1e-15
    assert metrics.factor_vae(np.c_[codes, constant], factors) == 1.0


@pytest.mark.parametrize("share", [0.001, 0.01])
def test_a_float32_code_that_is_constant_but_for_its_rounding_wins_no_vote(share):
    """Zeros of variance would win nearly every one: the score was .42 and .86."""
    factors = random_factors(0, 2000)
    rng = np.random.default_rng(1)
    codes = (factors + 0.05 * rng.normal(size=factors.shape)).astype(np.float32)
    dead = np.full(len(codes), 0.1, np.float32)
    dead[rng.random(len(codes)) < share] = np.nextafter(np.float32(0.1), np.float32(1))
    assert metrics.factor_vae(np.c_[codes, dead], factors) == 1
    alive = np.float32(0.1 + 1e-6 * rng.normal(size=len(codes)))
    assert metrics.draw_votes(codes, factors, 2, 2, seed=0).codes.dtype == np.float32
    spread = np.c_[codes, alive].std(0, dtype=np.float64)
    drawn = metrics.draw_votes(np.c_[codes, alive], factors, 100, 20, seed=0)
    noise = metrics.Votes(drawn.codes[..., 3:], drawn.fixed)
    assert metrics.factor_vae_score(noise, spread[3:]) > 0  # It counts.


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
@pytest.mark.parametrize("metric", [metrics.factor_vae, metrics.beta_vae])
def test_another_seed_draws_other_votes(metric, protocol):
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (2000, 3))
    codes = factors + 2 * rng.normal(size=factors.shape)
    one, other = (metric(codes, factors, protocol=protocol, seed=s) for s in (0, 1))
    assert one != other


def test_infogan_crs_votes_fix_every_factor_as_often():
    """One code that reads one of five factors is right in a fifth of the votes."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(n, size=4000) for n in (3, 6, 8, 5, 5)], 1)
    drawn = metrics.draw_votes(factors, factors, 500, 2, seed=0, in_turn=True)
    assert np.bincount(drawn.fixed).tolist() == [100] * 5
    for seed in range(3):
        assert metrics.factor_vae(factors[:, :1], factors, seed=seed) == 0.2


@pytest.mark.parametrize("seed", [None, -1, 1.5, "a"])
def test_a_seed_is_a_whole_number(seed):
    """Of None NumPy makes another one each time."""
    factors = random_factors(0)
    for metric in (metrics.factor_vae, metrics.dci):
        with pytest.raises(ValueError, match="seed must be whole, at least 0"):
            metric(factors, factors, seed=seed)

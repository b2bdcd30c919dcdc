"""Disentanglement metrics: closed cases, and a second route in plain loops."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn import ensemble, linear_model, svm
from sklearn import metrics as sk

from infogan_jax import metrics

SIZES = (3, 6, 40, 32, 32)  # dSprites' factors


def grid(*sizes):
    """Every combination of factor values, int [N, K]."""
    return np.array(list(itertools.product(*(range(n) for n in sizes))))


def sampled(seed, n, sizes=(3, 5, 4)):
    """Random factors, and codes that mix them with noise."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, n) for size in sizes], 1)
    mixing = rng.normal(size=(len(sizes), 4))
    return factors @ mixing + rng.normal(size=(n, 4)), factors


def thirds(n):
    """The two thirds of the rows that train, and the third that is scored."""
    order = np.random.default_rng(0).permutation(n)
    return order[: n - n // 3], order[n - n // 3 :]


@pytest.mark.parametrize("sizes", [(2, 3), (20, 4, 5), (7, 11)])
def test_mig_is_one_for_factors_of_at_most_twenty_values(sizes):
    factors = grid(*sizes)
    assert metrics.mig(factors, factors) == pytest.approx(1, abs=0.02)


def test_mig_of_dsprites_own_factors_is_902_at_20_bins():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, n, 60_000) for n in SIZES], 1)
    # 40 values in 20 bins keep ln 20 of ln 40; of 32, 12 bins hold two and 8 hold one.
    position = (12 / 16 * math.log(16) + 8 / 32 * math.log(32)) / math.log(32)
    expected = (1 + 1 + math.log(20) / math.log(40) + 2 * position) / 5
    assert expected == pytest.approx(0.902, abs=5e-4)
    assert metrics.mig(factors, factors) == pytest.approx(expected, abs=2e-3)


def test_mig_of_a_duplicated_code_is_zero():
    factors = grid(5, 4)
    assert metrics.mig(np.hstack([factors, factors]), factors) == pytest.approx(0)


@pytest.mark.parametrize("seed", range(3))
def test_mig_and_modularity_by_a_second_route(seed):
    codes, factors = sampled(seed, 800)
    shared = np.zeros((4, 3))
    for i, k in itertools.product(range(4), range(3)):
        edges = np.histogram_bin_edges(codes[:, i], 20)[:-1]
        binned = np.digitize(codes[:, i], edges)
        shared[i, k] = sk.mutual_info_score(binned, factors[:, k])
    gaps, modular = [], []
    for k in range(3):
        first, second = sorted(shared[:, k])[:-3:-1]
        gaps.append((first - second) / stats.entropy(np.bincount(factors[:, k])))
    for row in shared:
        best = row.argmax()
        others = [row[k] ** 2 for k in range(3) if k != best]
        modular.append(1 - sum(others) / (row[best] ** 2 * 2))
    assert metrics.mig(codes, factors) == pytest.approx(np.mean(gaps), abs=1e-6)
    assert metrics.modularity(codes, factors) == pytest.approx(
        np.mean(modular), abs=1e-6
    )


def test_modularity_is_one_for_the_factors_and_a_dead_code_counts_zero():
    factors = grid(5, 4, 3)
    assert metrics.modularity(factors, factors) == pytest.approx(1)
    dead = np.hstack([factors, np.ones((len(factors), 1))])
    assert metrics.modularity(dead, factors) == pytest.approx(3 / 4)


def test_a_code_that_is_constant_but_for_rounding_takes_part():
    codes, factors = sampled(0, 800)
    constant = np.full(len(codes), 0.1)
    constant[7] = np.nextafter(0.1, 1)  # Less than twenty numbers lie between them.
    with_it = np.c_[codes, constant]
    assert metrics.mig(with_it, factors) == metrics.mig(codes, factors)
    assert 0 <= metrics.modularity(with_it, factors) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_sap_by_a_second_route_in_both_protocols(seed):
    codes, factors = sampled(seed, 300)

    def of_svm(code, labels, code_test, labels_test):
        model = svm.LinearSVC(C=0.01, class_weight="balanced")
        predicted = model.fit(code, labels).predict(code_test)
        return sk.accuracy_score(labels_test, predicted)

    def of_line(code, values):
        return linear_model.LinearRegression().fit(code, values).score(code, values)

    def gap(scores):
        return sorted(scores)[-1] - sorted(scores)[-2]

    columns = [codes[:, [i]] for i in range(4)]
    first = factors[:, 0]
    mixed = [gap([of_svm(code, first, code, first) for code in columns])]
    mixed += [gap([of_line(code, factors[:, k]) for code in columns]) for k in (1, 2)]
    assert metrics.sap(codes, factors, discrete=(0,)) == pytest.approx(
        np.mean(mixed), abs=1e-6
    )
    train, scored = thirds(300)
    held_out = [
        gap([of_svm(c[train], v[train], c[scored], v[scored]) for c in columns])
        for v in factors.T
    ]
    assert metrics.sap(codes, factors, protocol="disentanglement-lib") == pytest.approx(
        np.mean(held_out), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(2))
def test_explicitness_by_ranks_in_both_protocols(seed):
    codes, factors = sampled(seed, 300, sizes=(3, 2))

    def area(scores, positive):
        """The Mann-Whitney statistic: how often a positive outranks a negative."""
        greater = stats.mannwhitneyu(scores[positive], scores[~positive])
        return greater.statistic / (positive.sum() * (~positive).sum())

    def one_against_the_rest(x, labels, seen):
        """Scikit-learn's default until 0.22: a model for each value, then shares."""
        chances = [
            linear_model.LogisticRegression(solver="liblinear")
            .fit(x, labels == value)
            .predict_proba(seen)[:, 1]
            for value in np.unique(labels)
        ]
        return np.stack(chances, 1) / np.sum(chances, 0)[:, None]

    every = np.arange(300)
    train, scored = thirds(300)
    normal = (codes - codes[train].mean(0)) / codes[train].std(0)
    for protocol, x, learned, judged in (
        ("infogan-cr", codes, every, every),
        ("disentanglement-lib", normal, train, scored),
    ):
        means = []
        for labels in factors.T:
            shares = one_against_the_rest(x[learned], labels[learned], x[judged])
            truth = labels[judged]
            means.append(
                np.mean(
                    [area(shares[:, v], truth == v) for v in range(shares.shape[1])]
                )
            )
        assert metrics.explicitness(codes, factors, protocol=protocol) == pytest.approx(
            np.mean(means), abs=1e-6
        )


def test_disentanglement_libs_explicitness_knows_no_scale():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (900, 2))
    codes = np.c_[
        0.02 * factors + 0.005 * rng.normal(size=(900, 2)), rng.normal(size=(900, 3))
    ]
    of = metrics.explicitness
    scaled = codes * [1, 50, 1, 0.2, 7]
    lib = {"protocol": "disentanglement-lib"}
    assert of(codes, factors, **lib) == pytest.approx(of(scaled, factors, **lib))
    assert of(codes, factors, **lib) > of(codes, factors) + 0.05


HELD_OUT = {
    "sap": lambda c, f: metrics.sap(c, f, protocol="disentanglement-lib"),
    "explicitness": lambda c, f: metrics.explicitness(
        c, f, protocol="disentanglement-lib"
    ),
    "dci": metrics.dci,
}


@pytest.mark.parametrize("metric", HELD_OUT.values(), ids=HELD_OUT)
def test_rows_in_the_order_of_a_factor_score_as_well_as_shuffled_ones(metric):
    factors = np.repeat(grid(3, 4, 5, 6), 10, 0)
    rng = np.random.default_rng(0)
    codes = factors + 0.05 * rng.normal(size=factors.shape)
    mixed = rng.permutation(len(factors))
    ordered, shuffled = metric(codes, factors), metric(codes[mixed], factors[mixed])
    if metric is metrics.dci:
        ordered, shuffled = ordered[:3], shuffled[:3]
    assert ordered == pytest.approx(shuffled, abs=0.02)


@pytest.mark.parametrize("metric", HELD_OUT.values(), ids=HELD_OUT)
def test_a_part_of_one_value_is_refused(metric):
    codes, factors = sampled(0, 60)
    factors[:, 1] = np.arange(60) == 7
    with pytest.raises(ValueError, match="factor 1 .* one value .* of the 60 rows"):
        metric(codes, factors)


def test_explicitness_is_one_for_separable_factors_and_half_for_noise():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 2, (4000, 2))
    assert metrics.explicitness(factors, factors) == pytest.approx(1)
    noise = rng.normal(size=(4000, 2))
    assert metrics.explicitness(noise, factors) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("regressor", "least"),
    [("lasso", 0.999), ("forest", 0.95), ("boosted_trees", 0.95)],
)
def test_dci_of_the_factors_themselves_is_one(regressor, least):
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (600, 3))
    found = metrics.dci(factors, factors, regressor=regressor)
    assert found.disentanglement >= least
    assert found.completeness >= least
    assert found.informativeness >= 0.99


@pytest.mark.parametrize(
    ("regressor", "factors"),
    [
        ("lasso", np.random.default_rng(0).uniform(-1, 1, (3000, 2))),
        ("forest", np.random.default_rng(0).uniform(-1, 1, (3000, 2))),
        ("forest", np.random.default_rng(0).integers(0, 8, (1200, 2))),
        ("boosted_trees", np.random.default_rng(0).integers(0, 8, (1200, 2))),
    ],
)
def test_dci_of_two_factors_turned_by_45_degrees_is_not_disentangled(
    regressor, factors
):
    turned = factors @ (np.array([[1, -1], [1, 1]]) / math.sqrt(2))
    assert metrics.dci(turned, factors, regressor=regressor).disentanglement < 0.2


@pytest.mark.filterwarnings("error")
def test_dci_reaches_the_lasso_solution_of_codes_nearly_alike():
    one, other, factor = np.random.default_rng(0).normal(size=(3, 3000))
    codes = np.stack([one, 0.998 * one + math.sqrt(1 - 0.998**2) * other], 1)
    factors = np.stack([codes @ [1, -1], factor], 1)
    train, _ = thirds(3000)
    x, y = stats.zscore(codes)[train], stats.zscore(factors[:, 0])[train]
    x, y = x - x.mean(0), y - y.mean()
    # Where neither weight is 0, the gradient of the penalty is its sign.
    moment = x.T @ y / len(y) - 0.02 * np.array([1, -1])
    expected = abs(np.linalg.solve(x.T @ x / len(y), moment))
    found = metrics.dci(codes, factors).importance[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_dci_follows_from_its_importances_by_a_second_route(seed):
    codes, factors = sampled(seed, 600)
    found = metrics.dci(codes, factors)
    weights = np.zeros((4, 3))
    (train, scored), scores = thirds(600), []
    for k in range(3):
        model = linear_model.Lasso(alpha=0.02)
        x, y = stats.zscore(codes), stats.zscore(factors[:, k])
        model.fit(x[train], y[train])
        weights[:, k] = abs(model.coef_)
        scores.append(sk.r2_score(y[scored], model.predict(x[scored])))
    rows = [1 - stats.entropy(row) / math.log(3) for row in weights]
    shares = weights.sum(1) / weights.sum()
    columns = [1 - stats.entropy(column) / math.log(4) for column in weights.T]
    assert found.disentanglement == pytest.approx(np.dot(rows, shares), abs=1e-6)
    assert found.completeness == pytest.approx(np.mean(columns), abs=1e-6)
    assert found.informativeness == pytest.approx(np.mean(scores), abs=1e-6)


TABLE_METRICS = [
    metrics.mig,
    metrics.sap,
    metrics.dci,
    metrics.modularity,
    metrics.explicitness,
    metrics.beta_vae,
    metrics.factor_vae,
]


@pytest.mark.parametrize("metric", TABLE_METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, v: (np.where(c > 2, np.nan, c), v), "NaN"),
        (lambda c, v: (c, np.where([True, False, False], 1, v)), "one value"),
        (lambda c, v: (c[:-1], v), "same N"),
        (lambda c, v: (c[:, 0], v), r"\[N, L\]"),
        (lambda c, v: (c[:1], v[:1]), "too few"),
        (lambda c, v: (c[:, :0], v), "at least one code"),
    ],
    ids=["nan", "one-value", "lengths", "vector", "one-row", "no-code"],
)
def test_bad_tables_are_named(metric, change, message):
    with pytest.raises(ValueError, match=message):
        metric(*change(*sampled(0, 60)))


@pytest.mark.parametrize(
    "metric", [metrics.sap, metrics.explicitness, metrics.beta_vae, metrics.factor_vae]
)
def test_an_unknown_protocol_is_refused(metric):
    with pytest.raises(ValueError, match="protocol must be one of"):
        metric(*sampled(0, 60), protocol="both")


def test_other_arguments_are_checked():
    codes, factors = sampled(0, 60)
    with pytest.raises(ValueError, match="regressor must be one of"):
        metrics.dci(codes, factors, regressor="ridge")
    for wrong in ((7,), (0.0,), [True, False, False]):
        with pytest.raises(ValueError, match="discrete must be indices of the 3"):
            metrics.sap(codes, factors, discrete=wrong)
    with pytest.raises(ValueError, match="bins must be"):
        metrics.mig(codes, factors, bins=1)
    with pytest.raises(ValueError, match="at least two"):
        metrics.modularity(codes, factors[:, :1])
    with pytest.raises(ValueError, match="depth names 2 factors, not 3"):
        metrics.dci(codes, factors, regressor="forest", depth=(4, 5))
    with pytest.raises(ValueError, match="depth must be whole, at least 1, .* not 0"):
        metrics.dci(codes, factors, regressor="forest", depth=(4, 0, 5))


@pytest.mark.parametrize(
    "metric",
    [
        metrics.mig,
        metrics.modularity,
        metrics.explicitness,
        lambda c, f: metrics.sap(c, f, protocol="disentanglement-lib"),
        lambda c, f: metrics.dci(c, f, regressor="boosted_trees"),
    ],
)
def test_values_that_occur_once_are_no_names(metric):
    factors = np.random.default_rng(0).random((200, 2))
    with pytest.raises(ValueError, match="factor 0: 200 of 200 rows .* by bins"):
        metric(factors, factors)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.05, 1 / 3, 0.7])
def test_mig_does_not_depend_on_the_scale_of_a_code(scale):
    """By disentanglement_lib's bins, and H(bin) in closed form: code = factor."""
    factors = np.tile(np.indices((21, 6)).reshape(2, -1).T, (3, 1))
    # Of 21 values in 20 bins the last two share one; a code of 6 values keeps all.
    low = (19 * np.log(21) + 2 * np.log(21 / 2)) / 21 / np.log(21)
    expected = (low + 1) / 2
    codes = factors * scale - 1
    assert metrics.mig(codes, factors) == pytest.approx(expected)
    # Where float32 has rounded them off the edges, as it does Q's means, too.
    assert metrics.mig(codes.astype(np.float32), factors) == pytest.approx(expected)


def test_noise_is_modular_by_chance():
    codes = np.random.default_rng(0).normal(size=(10_000, 4))
    factors = np.random.default_rng(1).integers(5, size=(10_000, 3))
    assert metrics.mig(codes, factors) < 0.01
    assert metrics.modularity(codes, factors) > 0.2


def test_a_dead_code_completes_no_factor():
    factors = np.arange(60).reshape(-1, 1) % 3
    assert metrics.dci(np.ones((60, 1)), factors).completeness == 0
    assert metrics.dci(factors * 1.0, factors).completeness == 1


def test_a_forest_has_ten_trees_of_a_depth():
    codes, factors = sampled(0, 300, sizes=(4,))
    (train, _), x = thirds(300), stats.zscore(codes)
    forest = ensemble.RandomForestRegressor(10, max_depth=3, random_state=1)
    forest.fit(x[train], stats.zscore(factors[:, 0])[train])
    found = metrics.dci(codes, factors, regressor="forest", depth=3, seed=1)
    np.testing.assert_allclose(found.importance[:, 0], forest.feature_importances_)


def test_disentanglement_libs_dci_is_of_a_hundred_trees_of_depth_three():
    codes, factors = sampled(0, 300, sizes=(3, 2))
    (train, scored), x = thirds(300), stats.zscore(codes)
    weights, scores = [], []
    for labels in factors.T:
        model = ensemble.GradientBoostingClassifier(
            n_estimators=100, max_depth=3, learning_rate=0.1, random_state=1
        )
        model.fit(x[train], labels[train])
        weights.append(model.feature_importances_)
        predicted = model.predict(x[scored])
        scores.append(sk.accuracy_score(labels[scored], predicted))
    weights = np.stack(weights, 1)
    rows, columns = (
        1 - stats.entropy(w, axis=1, base=w.shape[1]) for w in (weights, weights.T)
    )
    found = metrics.dci(codes, factors, regressor="boosted_trees", seed=1)
    np.testing.assert_allclose(found.importance, weights)
    assert found.disentanglement == pytest.approx(rows @ weights.sum(1) / weights.sum())
    assert found.completeness == pytest.approx(columns.mean())
    assert found.informativeness == pytest.approx(np.mean(scores))


def test_a_lone_code_is_ahead_of_nothing():
    factors = np.arange(60).reshape(-1, 1) % 3
    assert metrics.sap(factors, factors) == pytest.approx(1)
    assert metrics.mig(factors, factors) == pytest.approx(1)


def test_a_factor_whose_values_train_or_are_scored_but_never_both_is_refused():
    (train, scored), factors = thirds(30), np.zeros((30, 1), int)
    factors[train, 0], factors[scored, 0] = np.arange(20) % 2, 2 + np.arange(10) % 2
    with pytest.raises(ValueError, match="factor 0: none of its values is both"):
        metrics.explicitness(factors, factors, protocol="disentanglement-lib")


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.float32("nan")])
def test_what_is_no_value_is_seen_in_a_table_of_objects_too(bad):
    codes, factors = sampled(0, 80, sizes=(3,))
    factors = factors.astype(object)
    factors[7, 0] = bad
    for metric in (metrics.mig, metrics.sap, metrics.dci, metrics.explicitness):
        with pytest.raises(ValueError, match="factors hold NaN or infinity"):
            metric(codes, factors)
    with pytest.raises(ValueError, match="as numbers, not NaN"):
        metrics.sap(codes, factors.astype(str))


def test_a_shallow_tree_keeps_each_factors_best_code_alone():
    codes, factors = sampled(0, 600)
    deep, shallow, mixed = (
        metrics.dci(codes, factors, regressor="forest", depth=depth)
        for depth in (10, 1, (10, 1, 10))
    )
    assert shallow.completeness > deep.completeness + 0.1
    assert np.array_equal(mixed.importance[:, 1], shallow.importance[:, 1])
    assert np.array_equal(mixed.importance[:, [0, 2]], deep.importance[:, [0, 2]])


NAMED = np.array(["heart", "ellipse", "square"])


@pytest.mark.parametrize(
    "metric",
    [metrics.mig, metrics.modularity, metrics.explicitness, metrics.factor_vae]
    + [metrics.beta_vae, lambda c, f: metrics.sap(c, f, discrete=(0,))],
)
def test_values_of_factors_may_be_names(metric):
    codes, factors = sampled(0, 200, sizes=(3,))
    if metric in (metrics.modularity, metrics.factor_vae, metrics.beta_vae):
        factors = np.c_[factors, factors[::-1]]
    # Their alphabetical order is another: numbered by it they are the same factor.
    numbers = np.array([1, 0, 2])[factors]
    assert metric(codes, NAMED[factors]) == pytest.approx(metric(codes, numbers))


@pytest.mark.parametrize("metric", [metrics.sap, metrics.dci])
def test_names_are_refused_where_numbers_are_needed(metric):
    codes, factors = sampled(0, 60, sizes=(3,))
    with pytest.raises(ValueError, match="as numbers .* number them"):
        metric(codes, NAMED[factors])


@pytest.mark.parametrize(
    "metric",
    [
        lambda c, f: metrics.dci(c, f).disentanglement,
        lambda c, f: metrics.explicitness(c, f, protocol="disentanglement-lib"),
    ],
)
def test_standardised_codes_may_be_of_any_size(metric):
    codes, factors = sampled(0, 300)
    found = metric(codes, factors)
    for scale in (1e-14, 1e-200, 1e20):
        assert metric(codes * scale, factors) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("dtype", [object, "float16", jnp.bfloat16, int, bool])
def test_mig_takes_codes_of_any_kind_of_number(dtype):
    factors = grid(2, 2)
    assert metrics.mig(factors.astype(dtype), factors) == pytest.approx(1)


def test_sap_reads_its_discrete_factors_once():
    codes, factors = sampled(0, 300)
    found = metrics.sap(codes, factors, discrete=(0,))
    assert metrics.sap(codes, factors, discrete=iter([0])) == found
    for wrong in (0, None, [3], [-1], [True], "0"):
        with pytest.raises(ValueError, match="discrete must be indices"):
            metrics.sap(codes, factors, discrete=wrong)


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (np.eye(6) * 1e155, None, "codes may reach 1e\\+30, not 1e\\+155"),
        (np.eye(6) * 1j, None, "codes are complex"),
        (np.ma.masked_less(np.eye(6), 1), None, "codes are masked"),
        (np.eye(6), np.ma.masked_less([[0], [1]] * 3, 1), "factors are masked"),
        (np.eye(6), [[None], [1]] * 3, "factor 0 cannot be sorted"),
        (np.eye(6), np.array([["NaT"], ["2026-01-01"]] * 3, "M8[D]"), "NaT"),
    ],
)
def test_numbers_that_no_metric_can_use_are_refused(codes, factors, words):
    factors = [[0], [1]] * 3 if factors is None else factors
    for metric in (metrics.mig, metrics.sap, metrics.dci, metrics.explicitness):
        with pytest.raises(ValueError, match=words):
            metric(codes, factors)


@pytest.mark.parametrize("scale", [1e160, 1e-163])
def test_dci_does_not_depend_on_the_scale_of_a_factor(scale):
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (600, 2))
    codes = factors + 0.05 * rng.normal(size=factors.shape)
    found, expected = (metrics.dci(codes, f) for f in (factors * scale, factors))
    for name in ("disentanglement", "completeness", "informativeness"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def test_factors_that_float64_cannot_tell_apart_are_refused():
    factors = np.random.default_rng(0).integers(0, 4, (60, 2)) + 2**60
    with pytest.raises(ValueError, match="cannot tell factor 0's values apart"):
        metrics.dci(factors - 2**60 + 0.1, factors)


def test_factors_as_numbers_are_no_complex_ones():
    with pytest.raises(ValueError, match="factors are complex"):
        metrics.sap(np.eye(6), np.array([[0], [1]] * 3) + 1j)

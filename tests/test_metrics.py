import math

import numpy as np
import pytest
from sklearn import metrics as sk

from infogan_jax import metrics
from infogan_jax.metrics import strokes


def random_joint(seed, shape=(4, 6)):
    return (
        np.random.default_rng(seed).dirichlet(np.ones(math.prod(shape))).reshape(shape)
    )


@pytest.mark.parametrize("seed", range(5))
def test_chain_rule_symmetry_and_ceiling_of_information(seed):
    joint = random_joint(seed)
    a, b = joint.sum(1), joint.sum(0)
    information = metrics.mutual_information(joint)
    by_hand = sum(
        joint[i, j] * math.log(joint[i, j] / (a[i] * b[j]))
        for i in range(4)
        for j in range(6)
    )
    assert information == pytest.approx(by_hand, abs=1e-6)
    assert information == pytest.approx(metrics.mutual_information(joint.T), abs=1e-6)
    assert information <= min(metrics.entropy(a), metrics.entropy(b)) + 1e-6
    chained = metrics.entropy(a) + metrics.conditional_entropy(joint)
    assert metrics.entropy(joint) == pytest.approx(chained, abs=1e-6)


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5]])
def test_entropy_refuses_what_is_no_distribution(p):
    with pytest.raises(ValueError, match="probabilities"):
        metrics.entropy(p)


@pytest.mark.parametrize("seed", range(3))
def test_clustering_figures_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 300)
    clusters = np.where(
        rng.random(300) < 0.6, (labels + 2) % 5, rng.integers(0, 5, 300)
    )
    counts = metrics.contingency(clusters, labels, 5, 5)
    assert metrics.nmi(counts) == pytest.approx(
        sk.normalized_mutual_info_score(labels, clusters), abs=1e-9
    )
    assert metrics.ari(counts) == pytest.approx(
        sk.adjusted_rand_score(labels, clusters), abs=1e-9
    )


def test_one_cluster_of_one_label_agrees_wholly():
    assert metrics.nmi([[7]]) == metrics.ari([[7]]) == 1


def test_accuracy_does_not_depend_on_the_names_of_clusters():
    labels = np.arange(100) % 10
    counts = metrics.contingency((labels + 3) % 10, labels, 10, 10)
    assert metrics.cluster_accuracy(counts) == 1.0
    assert metrics.match(counts).tolist() == [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]


def test_matching_is_the_best_of_all_permutations():
    import itertools

    counts = np.random.default_rng(0).integers(0, 20, (5, 5))
    best = max(
        sum(counts[i, p[i]] for i in range(5)) for p in itertools.permutations(range(5))
    )
    assert metrics.cluster_accuracy(counts) == pytest.approx(best / counts.sum())


def test_clusters_beyond_the_labels_take_their_majority():
    counts = np.array([[9, 0], [0, 8], [1, 5]])
    assert metrics.match(counts).tolist() == [0, 1, 1]
    # Numbers between the labels, such as 0 and 2 of 1 and 3, are no labels.
    sparse = np.insert(counts, (0, 1), 0, 1)
    assert metrics.match(sparse).tolist() == [1, 3, 3]
    assert metrics.match(sparse, [3, 1, 0]).tolist() == [1, 3, 0]


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1]])
def test_labels_without_a_column_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must lie in 0 \.\. 1, not"):
        metrics.match(np.array([[9, 0], [0, 8]]), labels)


def test_with_more_clusters_than_labels_it_is_the_best_that_uses_every_label():
    import itertools

    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(0, 20, (4, 2))
        labelled = [m for m in itertools.product(range(2), repeat=4) if len(set(m)) > 1]
        best = max(sum(counts[i, m[i]] for i in range(4)) for m in labelled)
        found = metrics.match(counts)
        assert set(found) == {0, 1}
        assert counts[np.arange(4), found].sum() == best


def test_truths_are_counted_as_0_and_1():
    one, other = np.array([True, True, False]), np.array([True, False, False])
    assert metrics.contingency(one, other, 2, 2).tolist() == [[1, 0], [1, 1]]


def test_unknown_labels_are_left_out():
    assert metrics.contingency([0, 1, 1], [0, -1, 1], 2, 2).sum() == 2


@pytest.mark.parametrize(
    ("clusters", "labels"),
    [
        ([0], [0, 1]),
        ([0, 1], [-1, -1]),
        ([0, -1], [0, 1]),
        ([0, 2], [0, 1]),
        ([0, 1], [0, 2]),
        ([0, 1], [0, -7]),
        ([0.0, 1.0], [0, 1]),
        ([0, 1], ["a", "b"]),
        ([], []),
    ],
)
def test_contingency_refuses_what_cannot_be_counted(clusters, labels):
    with pytest.raises(ValueError):
        metrics.contingency(clusters, labels, 2, 2)


def test_rounding_takes_no_score_past_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = np.diag(rng.integers(1, 100, 7))
        assert metrics.nmi(counts) <= 1
        codes = rng.integers(0, 5, (60, 1))
        assert metrics.mig(codes, codes) <= 1


def test_correlation_is_numpys_and_zero_for_a_constant():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    assert metrics.correlation(a, a + b) == pytest.approx(np.corrcoef(a, a + b)[0, 1])
    assert metrics.correlation(a, np.ones(50)) == 0.0
    for other in ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]):
        assert np.isnan(metrics.correlation([1.0, 2.0, np.nan], other))
    for scale in (1e160, 1e-170):  # Their squares are no float64.
        assert metrics.correlation(scale * a, a) == pytest.approx(1)
    for own in rng.normal(size=(300, 5)):  # Rounding takes none past 1.
        for scale in (1, -0.3, 0.7):
            assert abs(metrics.correlation(own, scale * own + 0.1)) <= 1
    # Their means are rounded: what is left of them is not 0.
    assert metrics.correlation(np.full(3, 0.1), np.full(3, 0.7)) == 0.0


@pytest.mark.parametrize(("a", "b"), [([], []), ([1, 2], [1]), (np.eye(2), np.eye(2))])
def test_correlation_refuses_what_are_no_pairs_of_numbers(a, b):
    with pytest.raises(ValueError, match=r"one length, 1 or more, not of shapes \("):
        metrics.correlation(a, b)


def leaning(slope, side=41):
    """A line through the middle that shifts `slope` pixels per pixel of height."""
    image = np.zeros((1, side, side, 1))
    for height in range(-15, 16):
        image[0, side // 2 - height, side // 2 + round(slope * height), 0] = 1
    return image


@pytest.mark.parametrize("slope", [-1.0, -0.5, 0.0, 0.3, 1.0])
def test_slant_is_the_shift_per_pixel_of_height(slope):
    found = metrics.slant(leaning(slope))[0]
    assert found == pytest.approx(slope, abs=0.02)
    assert metrics.slant(7 * leaning(slope))[0] == pytest.approx(found)
    assert metrics.slant(np.roll(leaning(slope), (3, 2), (1, 2)))[0] == pytest.approx(
        found
    )


@pytest.mark.parametrize("slope", [-1, 0, 1])
def test_width_is_that_of_the_digit_stood_upright(slope):
    line = leaning(slope)
    broad = sum(np.roll(line, shift, 2) for shift in range(-3, 4))  # 7 pixels a row
    of_seven_places = np.sqrt((7**2 - 1) / 12)
    assert metrics.width(broad)[0] == pytest.approx(of_seven_places)
    assert metrics.width(broad / 3)[0] == pytest.approx(of_seven_places)
    assert metrics.width(line)[0] == pytest.approx(0, abs=1e-6)


def test_measures_of_images_without_a_slope():
    assert metrics.slant(np.zeros((2, 8, 8, 1))).tolist() == [0, 0]
    assert metrics.width(np.zeros((2, 8, 8, 1))).tolist() == [0, 0]
    assert metrics.stroke_area(np.full((1, 8, 8, 1), 0.25)).tolist() == [0.25]
    with pytest.raises(ValueError, match=r"\[N, H, W, 1\]"):
        metrics.slant(np.zeros((8, 8)))
    for measure in (metrics.slant, metrics.width, metrics.stroke_area):
        with pytest.raises(ValueError, match="down to -1; .* black is 0"):
            measure(2 * leaning(0.3) - 1)
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match="NaN or infinity"):
                measure(np.full((1, 8, 8, 1), bad))


def test_purity_lets_clusters_share_a_label():
    counts = np.array([[8, 2], [5, 0], [0, 5]])
    assert metrics.purity(counts) == pytest.approx(18 / 20)


def test_a_table_of_counts_may_take_its_size_from_the_pairs():
    counts = metrics.contingency([0, 3, 3], [1, 0, -1])
    assert counts.tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


def test_a_cluster_that_is_left_over_agrees_with_none():
    """One to one by hand: 9 and 8 of 23 agree."""
    counts = [[9, 0], [0, 8], [1, 5]]
    assert metrics.cluster_accuracy(counts) == pytest.approx(17 / 23)
    assert metrics.accuracy(counts, metrics.match(counts)) == pytest.approx(22 / 23)


@pytest.mark.parametrize(
    "counts",
    [
        [[0, 0], [0, 0]],
        [[3, -1], [0, 3]],
        [[np.nan, 1.0]],
        [1, 2],
        [["a"]],
        [],
        3,
    ],
)
def test_no_figure_is_of_what_are_no_counts(counts):
    for figure in "cluster_accuracy match purity nmi ari".split():
        with pytest.raises(ValueError, match="counts must be"):
            getattr(metrics, figure)(counts)


def test_shares_will_do_but_for_ari():
    """Whose pairs of less than one image were negative: independent ones had 1."""
    counts = np.array([[40, 10], [20, 30]])
    for figure in (metrics.cluster_accuracy, metrics.purity, metrics.nmi):
        for dtype in (np.float16, np.float64):
            shares = (counts / 100).astype(dtype)
            assert figure(shares) == pytest.approx(figure(counts), rel=1e-3)
    with pytest.raises(ValueError, match="whole numbers for ARI"):
        metrics.ari(counts / 100)


@pytest.mark.parametrize("label_of", [[0], [0, 2], [-1, 0], [0.0, 1.0], 0])
def test_accuracy_wants_a_label_of_each_cluster(label_of):
    with pytest.raises(ValueError, match="label_of must be"):
        metrics.accuracy([[1, 2], [3, 4]], label_of)


@pytest.mark.parametrize("joint", [np.full((2, 2, 2), 1 / 8), [0.5, 0.5]])
def test_information_is_of_a_table(joint):
    for figure in (metrics.mutual_information, metrics.conditional_entropy):
        with pytest.raises(ValueError, match=r"must be \[A, B\]"):
            figure(joint)


@pytest.mark.parametrize("measure", ["slant", "width", "stroke_area"])
def test_strokes_are_measured_in_parts(measure, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 7, 1), np.uint8)
    whole = getattr(metrics, measure)(images)
    monkeypatch.setattr(strokes, "_PART", 2)
    np.testing.assert_array_equal(getattr(metrics, measure)(images), whole)
    assert getattr(metrics, measure)(images[:0]).shape == (0,)

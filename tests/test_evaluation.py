"""Evaluation of a model that is right by construction."""

import math
import types
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from flax import linen as nn

import infogan_jax
from infogan_jax import evaluation, inference, latents, objectives


class MirrorG(nn.Module):
    """Writes its latents into the pixels."""

    @nn.compact
    def __call__(self, x, *, train, keys=None):
        return ((x + 1) / 2).reshape(-1, 2, 4, 1)


class Flat(nn.Module):
    @nn.compact
    def __call__(self, images, *, train, keys=None):
        return 2 * images.reshape(len(images), -1) - 1


class MirrorQ(nn.Module):
    """Reads the codes off the pixels: sharp logits, and the exact mean."""

    @nn.compact
    def __call__(self, features, images, *, train, keys=None):
        return features[:, 4:] * np.array([20.0, 20.0, 20.0, 1.0])[None]


class ConstantD(nn.Module):
    @nn.compact
    def __call__(self, features, *, train, keys=None):
        return features.sum(1)


@infogan_jax.register
@dataclass(frozen=True)
class Mirror:
    """An architecture of a user's own, without a single parameter."""

    image_shape: tuple = (2, 4, 1)

    def networks(self, latent_dim, n_params, axis_name):
        return {"g": MirrorG(), "trunk": Flat(), "d": ConstantD(), "q": MirrorQ()}


@pytest.fixture(scope="module")
def model():
    config = infogan_jax.Config(
        codes=latents.Product((latents.Categorical(3), latents.Uniform(sigma=0.1))),
        noise=latents.Uniform(size=4),
        architecture=Mirror(),
    )
    no_params = infogan_jax.Net({}, {})
    nets = dict.fromkeys(config.networks(), no_params)
    return config, infogan_jax.TrainState(np.int32(7), nets, {}, {})


def pictures(categories, labels):
    """Images on which Q is sure of a category, with labels beside them."""
    pixels = np.full((len(categories), 8), 128, np.uint8)
    pixels[:, 4:7] = 255 * np.eye(3, dtype=np.uint8)[categories]
    return {"image": pixels.reshape(-1, 2, 4, 1), "label": np.asarray(labels, np.int32)}


@infogan_jax.register
@dataclass(frozen=True)
class Lent(Mirror):
    """An architecture that lends its networks, and wants them back unchanged."""

    def networks(self, latent_dim, n_params, axis_name):
        return types.MappingProxyType(super().networks(latent_dim, n_params, axis_name))

    def pair_network(self, n_codes, axis_name):
        return ConstantD()


def test_networks_of_an_architecture_are_only_read(model):
    d, g = infogan_jax.Config().updates
    config = replace(
        model[0],
        architecture=Lent(),
        objective=(objectives.NonSaturating(), objectives.ContrastivePairs()),
        updates=(infogan_jax.Update("h", ("h",), lr=1e-3), d, g),
    )
    assert sorted(config.networks()) == ["d", "g", "h", "q", "trunk"]


def test_codes_are_recovered_from_fakes_and_the_bound_is_tight(model):
    category, number = evaluation.recovery(*model, jax.random.key(0))
    assert category["recovered"] == 1.0
    assert category["information"] == pytest.approx(math.log(3), abs=1e-5)
    assert number["recovered"] == pytest.approx(1.0, abs=1e-6)
    # r = 0 at sigma = 0.1: 2.077 nats, the ceiling of this convention.
    assert number["information"] == pytest.approx(2.077, abs=1e-3)


def test_labels_may_reach_the_end_of_their_type(model):
    test = pictures([0, 1, 2, 0], [127, 3, 5, 127])
    expected = evaluation.clustering(*model, test)
    assert expected["hungarian"] == 1.0
    narrow = test | {"label": test["label"].astype(np.int8)}
    assert evaluation.clustering(*model, narrow) == expected


def test_map_is_fitted_on_training_labels_and_measured_on_the_test(model):
    config, state = model
    train = pictures([0, 1, 2] * 10, [1, 2, 0] * 10)
    # Half of the test images, most of category 0, would be mapped otherwise.
    test = pictures([0, 1, 2, 0] * 5, [2, 2, 0, 2] * 5)
    report = evaluation.evaluate(config, state, train, test, jax.random.key(0))
    assert report["label_of"] == [1, 2, 0]
    assert report["accuracy"] == pytest.approx(0.5) and report["hungarian"] == 0.75
    assert report["confusion"] == [[0, 0, 10], [0, 0, 5], [5, 0, 0]]
    assert report["code"] == 0 and report["step"] == 7
    # Q is sure of every image, and half of them are of category 0.
    assert report["image_information"] == pytest.approx(1.5 * math.log(2), abs=1e-5)
    assert "0 -> 1, 1 -> 2, 2 -> 0" in evaluation.describe(report)
    unlabelled = train | {"label": np.full(30, -1)}
    without = evaluation.evaluate(config, state, unlabelled, test, jax.random.key(0))
    assert "accuracy" not in without and "hungarian" not in without


def test_a_label_may_be_missing_from_either_split(model):
    both, two = pictures([0, 1, 2], [0, 1, 2]), pictures([0, 1], [0, 1])
    for train, test in ((both, two), (two, both)):
        report = evaluation.evaluate(*model, train, test, jax.random.key(0))
        assert np.shape(report["confusion"]) == (3, 3)
        assert report["accuracy"] == 1.0


def test_only_labelled_images_are_counted(model):
    train, test = pictures([0, 1, 2], [0, 1, 2]), pictures([0, 1, 2, 2], [0, 1, 2, -1])
    report = evaluation.evaluate(*model, train, test, jax.random.key(0))
    assert np.sum(report["confusion"]) == report["test_images"] == 3
    assert "on 3 labelled test images" in evaluation.describe(report)


@pytest.mark.parametrize("labels", [[-1, -1, -1], None, "left out"])
def test_without_labels_there_is_no_accuracy_but_the_rest(model, labels):
    unknown = pictures([0, 1, 2], [-1, -1, -1]) | {"label": labels}
    if labels == "left out":
        del unknown["label"]
    report = evaluation.evaluate(*model, unknown, unknown, jax.random.key(0))
    assert "accuracy" not in report and len(report["codes"]) == 2
    assert "accuracy" not in evaluation.describe(report)


@pytest.mark.parametrize("labels", [["a", "b"], [0.0, np.nan], [None, 1]])
def test_labels_that_are_no_integers_are_refused(model, labels):
    config, state = model
    split = {"image": np.zeros((2, 2, 4, 1), np.float32), "label": labels}
    with pytest.raises(ValueError, match="labels must be integers"):
        evaluation.clustering(config, state, split)


def test_labels_may_be_a_list(model):
    known = pictures([0, 1, 2, 2], [0, 1, 2, 2])
    listed = known | {"label": [0, 1, 2, 2]}
    of_both = [
        evaluation.evaluate(*model, x, x, jax.random.key(0)) for x in (known, listed)
    ]
    assert of_both[0]["accuracy"] == of_both[1]["accuracy"] == 1
    assert of_both[0]["test_images"] == of_both[1]["test_images"] == 4


def test_long_inputs_are_read_in_pieces(model):
    images = pictures([0, 1, 2, 1] * 600, [0] * 2400)["image"]
    found = evaluation.category(model[0], evaluation.infer_all(*model, images))
    assert found.tolist() == [0, 1, 2, 1] * 600


def test_large_images_are_read_few_at_a_time(model, monkeypatch):
    sizes, infer = [], inference.infer

    def noted(config, state, images):
        sizes.append(len(images))
        return infer(config, state, images)

    monkeypatch.setattr(inference, "infer", noted)
    monkeypatch.setattr(inference, "_MOST_PIXELS", 8 * 25)  # An image has 2x4.
    images = pictures([0, 1, 2, 1] * 10, [0] * 40)["image"]
    means = evaluation.represent(*model, images)
    assert means.shape == (40, model[0].codes.dim) and sizes == [20, 20]
    evaluation.recovery(*model, jax.random.key(0))
    assert sizes[2:] == [20] * 500


def test_config_without_a_categorical_code_cannot_be_compared_with_labels(model):
    config = replace(
        model[0],
        codes=latents.Product((latents.Uniform(size=4, sigma=1.0),)),
        objective=(objectives.NonSaturating(),),
    )
    with pytest.raises(ValueError, match="no categorical code"):
        evaluation.category(config, np.zeros((2, 4), np.float32))


def test_a_report_names_its_code_wherever_it_stands(model):
    parts = latents.Uniform(sigma=0.1), latents.Categorical(3)
    config = replace(model[0], codes=latents.Product(parts))
    split = pictures([0, 1, 2], [1, 2, 0])
    split["image"] = np.roll(split["image"].reshape(3, 8), 1, 1).reshape(3, 2, 4, 1)
    report = evaluation.evaluate(config, model[1], split, split, jax.random.key(0))
    assert report["code"] == 1 and report["label_of"] == [1, 2, 0]


def test_codes_are_recovered_from_ten_thousand_different_fakes(model, monkeypatch):
    drawn, sample = [], inference.sample

    def noted(*arguments):
        drawn.append(sample(*arguments))
        return drawn[-1]

    monkeypatch.setattr(inference, "sample", noted)
    evaluation.recovery(*model, jax.random.key(0))
    z = np.concatenate([one.z for one in drawn])
    assert z.shape == (10_000, 4) and len(np.unique(z, axis=0)) == 10_000


def test_coins_are_recovered_one_by_one_and_numbers_on_average(model):
    parts = latents.Bernoulli(size=2), latents.Uniform(size=2, sigma=0.1)
    config = replace(model[0], codes=latents.Product(parts))
    coins, numbers = evaluation.recovery(config, model[1], jax.random.key(0))
    assert coins["recovered"] == 1 and numbers["recovered"] == pytest.approx(1)
    rng = np.random.default_rng(0)
    code = rng.uniform(-1, 1, (100, 2))
    half = evaluation._recovered(parts[1], code * [1, -1], code)
    assert half == {"recovered": pytest.approx(0), "measure": "correlation"}
    one = evaluation._recovered(parts[0], np.array([[0.6, 0.6]]), np.array([[1, 0]]))
    assert one == {"recovered": 0.5, "measure": "share"}


def test_what_was_measured_of_a_code_is_told_whatever_its_kind_is_called(model):
    class Die(latents.Categorical):
        pass

    class CategoricalLine(latents.Uniform):
        pass

    parts = Die(3), CategoricalLine(sigma=0.1)
    config = replace(model[0], codes=latents.Product(parts))
    codes = evaluation.recovery(config, model[1], jax.random.key(0))
    said = evaluation.describe({"step": 1, "parameters": "live", "codes": codes})
    _, die, line = said.splitlines()
    assert "(Die): " in die and die.endswith("recovered from fakes 1.000")
    assert "(CategoricalLine): " in line and "correlation from fakes 1.000" in line


def test_a_report_says_whose_parameters_drew_the_fakes(model):
    config, state = model
    split = pictures([0, 1, 2], [0, 1, 2])
    averaging = replace(config, ema_decay=0.9)
    averaged = state.replace(ema={"g": state.nets["g"]})
    for of, drawn_by, words in (
        (config, state, "live"),
        (averaging, averaged, "averaged G"),
        (config, averaged, "averaged G"),  # As `generate` does, by what is there.
        (averaging, state, "live"),
    ):
        report = evaluation.evaluate(of, drawn_by, split, split, jax.random.key(0))
        assert report["parameters"] == words


def test_labels_may_be_of_two_kinds_of_integers_but_not_number_millions(model):
    config, state = model
    key, split = jax.random.key(0), pictures([0, 1, 2], [0, 1, 2])
    other = split | {"label": np.asarray(split["label"], np.uint64)}
    report = evaluation.evaluate(config, state, split, other, key)
    assert report == evaluation.evaluate(config, state, split, split, key)
    far = split | {"label": np.asarray(split["label"]) + 10**8}
    with pytest.raises(ValueError, match="too large; number them from 0 on"):
        evaluation.clustering(config, state, far)


def test_a_report_has_each_codes_entropy(model):
    category, number = evaluation.recovery(*model, jax.random.key(0))
    assert category["entropy"] == pytest.approx(math.log(3))
    assert number["entropy"] == pytest.approx(math.log(2))


def test_fakes_are_drawn_by_the_key_that_is_given(model, monkeypatch):
    drawn, sample = [], inference.sample

    def noted(config, state, key, n):
        drawn.append(key)
        return sample(config, state, key, n)

    monkeypatch.setattr(inference, "sample", noted)
    for seed in (0, 1):
        evaluation.recovery(*model, jax.random.key(seed))
    assert len({jax.random.key_data(key).tobytes() for key in drawn}) == len(drawn)

"""Datasets by name, held-out images, draws and hashes; all offline."""

import jax
import numpy as np
import pytest

from infogan_jax import data
from infogan_jax.data import files


def test_bundled_digits_are_twelve_thousand_of_mnist():
    loaded = data.load("bundled")
    assert loaded.train["image"].shape == (10_000, 28, 28, 1)
    assert np.bincount(loaded.train["label"]).tolist() == [1000] * 10
    assert np.bincount(loaded.test["label"]).tolist() == [200] * 10
    assert loaded.train["image"].dtype == np.uint8
    assert loaded.train["image"].mean() / 255 == pytest.approx(0.1307, abs=0.002)


@pytest.mark.parametrize("name", ["mnits", "fashion-mnist", "", "npz", "tfds"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="unknown dataset.*Known: auto, bundled"):
        data.load(name)


def test_a_misspelled_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'fashion_mnist'"):
        data.load("fasion_mnist")


def test_a_dataset_of_numpy_may_be_closed_over(dataset, key):
    expected = data.draw(dataset, key, 5)
    drawn = jax.jit(lambda key: data.draw(dataset | {"extra": None}, key, 5))(key)
    jax.tree.map(np.testing.assert_array_equal, drawn, expected)


def test_hold_out_keeps_every_image_once():
    split = files.make_split(np.zeros((25, 4, 4), np.uint8), np.arange(25), "here")
    train, test = files.hold_out(split, "here")
    assert sorted([*train["label"], *test["label"]]) == list(range(25))
    assert len(test["label"]) == 2
    assert files.hold_out(split, "here")[1]["label"].tolist() == test["label"].tolist()


def test_what_is_held_out_has_every_class_of_a_file_in_order():
    split = files.make_split(np.zeros((500, 4, 4), np.uint8), np.arange(500) % 10, "x")
    assert set(files.hold_out(split, "here")[1]["label"]) == set(range(10))


def test_a_batch_is_a_function_of_its_key(dataset):
    on_device = jax.device_put(dataset)
    one, two = (data.draw(on_device, jax.random.key(1), 8) for _ in range(2))
    np.testing.assert_array_equal(one["image"], two["image"])
    other = data.draw(on_device, jax.random.key(2), 8)
    assert not np.array_equal(one["image"], other["image"])
    images = np.asarray(one["image"])
    rows = [np.flatnonzero((dataset["image"] == x).all((1, 2, 3)))[0] for x in images]
    np.testing.assert_array_equal(dataset["label"][rows], one["label"])


def test_draws_cover_the_dataset_evenly():
    counting = {"image": jax.numpy.arange(10)}
    rows = data.draw(counting, jax.random.key(0), 20_000)
    counts = np.bincount(rows["image"], minlength=10)
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000)


def test_labels_are_hashed_as_their_numbers_and_have_to_be_there(dataset):
    wide = dataset | {"label": dataset["label"].astype(np.int64)}
    hashes = {data.Dataset("x", s, s, "").sha256 for s in (dataset, wide)}
    assert len(hashes) == 1
    with pytest.raises(ValueError, match="lacks .'label'.; give images and"):
        data.Dataset("x", dataset | {"label": None}, dataset, "")


def test_the_hash_of_a_dataset_is_of_all_that_is_in_it(dataset):
    def hashed(train, test):
        return data.Dataset("it", train, test, "").sha256

    image, label = dataset["image"], dataset["label"]
    turned = dataset | {"label": (label + 1) % 3}
    flat = {"image": image.reshape(64, 4, 16, 1), "label": label}
    found = {
        hashed(dataset, dataset),
        hashed(turned, dataset),
        hashed(dataset, turned),
        hashed(flat, flat),
    }
    assert len(found) == 4


def test_a_source_without_a_path_is_refused():
    with pytest.raises(ValueError, match="folder: names no path; write folder:PATH"):
        data.load("folder:")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MNIST", "mnist"),
        ("Bundled", "bundled"),
        ("Bundeld", "bundled"),
        ("NPZ:a.npz", "npz:a.npz"),
        ("Folder:a", "folder:a"),
        ("here", "folder:here"),
        ("digits.npz", "npz:digits.npz"),
    ],
)
def test_a_name_that_is_nearly_right_is_put_right(tmp_path, monkeypatch, name, meant):
    (tmp_path / "here").mkdir()
    (tmp_path / "MNIST").mkdir()  # As another library keeps it.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        data.load(name)


def test_the_cache_lies_where_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.default_dir() == tmp_path / "infogan_jax"

"""Small datasets, prepared by TensorFlow Datasets without TensorFlow, and damaged."""

import shutil
import tracemalloc
import types

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")

from infogan_jax import data  # noqa: E402

DSPRITES = (
    "label_shape label_scale label_orientation label_x_position label_y_position "
    "value_shape"
)
SHAPES3D = (
    "label_floor_hue label_object_hue label_orientation label_scale label_shape "
    "label_wall_hue"
)
NORB = "instance label_azimuth label_category label_elevation label_lighting"
# Of what TFDS's own builders declare: the images' shape, the numbers beside them, the
# splits. The factors' names are in the order in which they are to be returned.
NAMED = {
    "mnist": ((28, 28, 1), "label", "train test"),
    "fashion_mnist": ((28, 28, 1), "label", "train test"),
    "cifar10": ((32, 32, 3), "label", "train test"),
    "svhn_cropped": ((32, 32, 3), "label", "train test extra"),
    "celeb_a": ((218, 178, 3), "", "train validation test"),
    "dsprites": ((64, 64, 1), DSPRITES, "train"),
    "shapes3d": ((64, 64, 3), SHAPES3D, "train"),
    "smallnorb": ((96, 96, 1), NORB, "train test"),
}


def prepare(dataset: str, images, columns: dict, splits: dict, directory) -> None:
    """Writes a dataset of this name: the rows of each split, images and integers."""
    features = {"image": tfds.features.Tensor(shape=images.shape[1:], dtype=np.uint8)}
    features |= {column: tfds.features.Scalar(np.int64) for column in columns}

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = directory.parent

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate(rows) for split, rows in splits.items()}

        def _generate(self, rows):
            for i in rows:
                values = {name: int(column[i]) for name, column in columns.items()}
                yield i, {"image": images[i], **values}

        def _generate_examples(self):
            raise AssertionError("unused")

    Made(data_dir=directory, file_format="array_record").download_and_prepare()


def draw(n: int, *shape) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    images, i = draw(12, 8, 8, 1), np.arange(12)
    columns = {"label": i % 3, "label_y": i + 100, "label_x": i % 4}
    directory = tmp_path_factory.mktemp("tfds")
    splits = {"train": range(8), "test": range(8, 12)}
    prepare("tiny_images", images, columns, splits, directory)
    return directory, images


def test_a_prepared_directory_is_read_whole(prepared):
    directory, images = prepared
    loaded = data.load("tfds:tiny_images", directory)
    assert len(loaded.train["label"]) == 8 and len(loaded.test["label"]) == 4
    # Preparation shuffles: the same images, in another order.
    found = np.concatenate([loaded.train["image"], loaded.test["image"]])
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in images)


def test_a_directory_of_the_users_home_is_found(prepared, monkeypatch):
    directory, _ = prepared
    monkeypatch.setenv("HOME", str(directory.parent))
    loaded = data.load("tfds:tiny_images", f"~/{directory.name}")
    assert len(loaded.train["label"]) == 8


def test_features_named_label_something_are_the_factors(prepared):
    directory, images = prepared
    loaded = data.load("tfds:tiny_images", directory)
    for split in (loaded.train, loaded.test):
        for image, label, (x, y) in zip(*split.values(), strict=True):
            i = y - 100
            assert (label, x) == (i % 3, i % 4)
            assert np.array_equal(image, images[i])


@pytest.mark.parametrize("name", NAMED)
def test_the_datasets_of_the_literature_load(name, tmp_path):
    shape, columns, splits = NAMED[name]
    columns, splits = columns.split(), splits.split()
    n = 10 * len(splits)
    images = draw(n, *shape)
    values = {c: np.arange(n) * (k + 1) % 7 for k, c in enumerate(columns)}
    rows = {split: range(10 * k, 10 * k + 10) for k, split in enumerate(splits)}
    prepare(name, images, values, rows, tmp_path / "data")
    loaded = data.load(f"tfds:{name}", tmp_path / "data")
    where = {image.tobytes(): i for i, image in enumerate(images)}
    found = {}
    for split, part in (("train", loaded.train), ("test", loaded.test)):
        assert part["image"].dtype == np.uint8 and part["image"].shape[1:] == shape
        found[split] = rank = [where[image.tobytes()] for image in part["image"]]
        labels = values.get("label", np.full(n, -1))
        assert np.array_equal(part["label"], labels[rank])
        factors = [values[c] for c in columns if c.startswith("label_")]
        if factors:
            assert np.array_equal(part["factors"], np.stack(factors, 1)[rank])
        else:
            assert "factors" not in part
    if "test" in splits:
        assert sorted(found["train"]) == list(rows["train"])
        assert sorted(found["test"]) == list(rows["test"])
    else:  # A tenth of it is held out.
        assert len(found["test"]) == 1
        assert sorted(found["train"] + found["test"]) == list(range(n))


@pytest.mark.parametrize("name", ["dsprites:1.0.0", "dsprites:*.*.*"])
def test_a_version_does_not_change_the_order_of_factors(name, tmp_path):
    columns = [column for column in DSPRITES.split() if column.startswith("label_")]
    values = {c: np.full(10, k) for k, c in enumerate(columns)}
    rows = {"train": range(10)}
    prepare("dsprites", draw(10, 64, 64, 1), values, rows, tmp_path / "data")
    loaded = data.load(f"tfds:{name}", tmp_path / "data")
    assert loaded.train["factors"][0].tolist() == [0, 1, 2, 3, 4]


def read_records(*records):
    builder = types.SimpleNamespace(name="own", as_data_source=lambda split: records)
    return data.prepared._read_split(builder, "own", "train", len(records), "here")


@pytest.mark.parametrize(
    ("records", "shapes"),
    [
        ([{"image": draw(8, 8, 1)}, {"image": draw(9, 8, 1)}], "(8, 8, 1), (9, 8, 1)"),
        ([{"picture": draw(8, 8, 1)}], "[()]"),
        ([{"image": draw(8, 8, 1)}, {}], "[(), (8, 8, 1)]"),
    ],
)
def test_whole_records_that_do_not_fit_are_not_called_damaged(records, shapes):
    with pytest.raises(ValueError, match="bring all to one") as told:
        read_records(*records)
    assert shapes in str(told.value) and "prepare it again" not in str(told.value)


def test_only_whole_numbers_are_factors():
    record = {"image": draw(8, 8, 1), "label_x": np.int64(3), "label_box": np.ones(4)}
    split = read_records(*[record | {"label_size": 0.5}] * 2)
    assert split["factors"].tolist() == [[3], [3]]


def test_images_lie_in_memory_once(tmp_path):
    images, rows = draw(400, 64, 64, 3), {"train": range(390), "test": range(390, 400)}
    prepare("many", images, {}, rows, tmp_path / "data")
    tracemalloc.start()
    data.load("tfds:many", tmp_path / "data")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * images.nbytes


def test_what_is_not_prepared_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no prepared dataset 'mnist'"):
        data.load("tfds:mnist", tmp_path)


@pytest.fixture
def copied(prepared, tmp_path):
    """A copy of the prepared directory, to be damaged."""
    return shutil.copytree(prepared[0], tmp_path / "copy")


def test_a_cut_shard_is_found_while_loading(copied):
    (shard,) = copied.rglob("*train*array_record*")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 3])
    with pytest.raises(ValueError, match="split train of tiny_images.*cannot be read"):
        data.load("tfds:tiny_images", copied)


def test_what_decodes_images_is_named_where_it_is_missing(prepared, monkeypatch):
    """No damage: what TensorFlow Datasets says of OpenCV and Pillow."""

    def without_pillow(*_):
        raise ImportError("Decoding images requires either OpenCV or PIL.")

    monkeypatch.setattr(data.prepared, "_arrays", without_pillow)
    with pytest.raises(ImportError, match=r"infogan_jax\[images\].*OpenCV or PIL"):
        data.load("tfds:tiny_images", prepared[0])


def test_a_missing_shard_is_found_while_loading(copied):
    (shard,) = copied.rglob("*test*array_record*")
    shard.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="tiny_images"):
        data.load("tfds:tiny_images", copied)

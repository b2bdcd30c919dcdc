"""A small dataset, prepared by TensorFlow Datasets without TensorFlow, and damaged."""

import shutil

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")

from infogan_jax import data  # noqa: E402


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1)).astype(np.uint8)

    class TinyImages(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path_factory.mktemp("code")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                        "label": tfds.features.Scalar(np.int64),
                        "label_y": tfds.features.Scalar(np.int64),
                        "label_x": tfds.features.Scalar(np.int64),
                    }
                ),
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate(range(8)),
                "test": self._generate(range(8, 12)),
            }

        def _generate(self, rows):
            for i in rows:
                yield (
                    i,
                    {
                        "image": images[i],
                        "label": i % 3,
                        "label_y": i + 100,
                        "label_x": i % 4,
                    },
                )

        def _generate_examples(self):
            raise AssertionError("unused")

    directory = tmp_path_factory.mktemp("tfds")
    builder = TinyImages(data_dir=directory, file_format="array_record")
    builder.download_and_prepare()
    return directory, images


def test_a_prepared_directory_is_read_whole(prepared):
    directory, images = prepared
    loaded = data.load("tfds:tiny_images", directory)
    assert len(loaded.train["label"]) == 8 and len(loaded.test["label"]) == 4
    # Preparation shuffles: the same images, in another order.
    found = np.concatenate([loaded.train["image"], loaded.test["image"]])
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in images)


def test_features_named_label_something_are_the_factors(prepared):
    directory, images = prepared
    loaded = data.load("tfds:tiny_images", directory)
    for split in (loaded.train, loaded.test):
        for image, label, (x, y) in zip(*split.values(), strict=True):
            i = y - 100
            assert (label, x) == (i % 3, i % 4)
            assert np.array_equal(image, images[i])


def test_what_is_not_prepared_is_said(prepared, tmp_path):
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


def test_a_missing_shard_is_found_while_loading(copied):
    (shard,) = copied.rglob("*test*array_record*")
    shard.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="tiny_images"):
        data.load("tfds:tiny_images", copied)

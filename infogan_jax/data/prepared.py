"""Directories that TensorFlow Datasets prepared elsewhere; TensorFlow is not needed."""

import os

import numpy as np

from infogan_jax import types
from infogan_jax.data import files
from infogan_jax.host import console

_DSPRITES = ("shape", "scale", "orientation", "x_position", "y_position")


def read(
    name: str, data_dir: str | os.PathLike[str] | None = None
) -> tuple[types.Split, types.Split]:
    """Training and test split of a prepared dataset with images.

    Every record is read here, so that a missing or cut shard shows now. Features named
    label_* are the images' factors: they become "factors", int32 [N, K], in dSprites'
    own order for dSprites, and in that of their names elsewhere.

    Args:
      name: TFDS's name, such as "mnist" or "cifar10:3.0.2".
      data_dir: TFDS's data_dir; None for its default.

    Raises:
      FileNotFoundError: the directory holds no such prepared dataset.
      ValueError: damaged shards, no images, or of several sizes, or factors that are no
        whole numbers.
    """
    import tensorflow_datasets as tfds

    where = tfds.core.constants.DATA_DIR if data_dir is None else data_dir
    try:
        builder = tfds.core.read_only_builder.builder_from_files(
            name, data_dir=data_dir
        )
        sizes = {
            split: info.num_examples for split, info in builder.info.splits.items()
        }
    except Exception as error:  # TFDS raises several unrelated types here.
        raise FileNotFoundError(
            f"{where} holds no prepared dataset {name!r}: {console.first_line(error)}. "
            "Prepare it where TensorFlow is installed, with "
            "file_format='array_record', and name its data_dir with --data-dir."
        ) from error
    if "train" not in sizes:
        raise ValueError(f"{name} in {where} has splits {sorted(sizes)}, but no train.")
    splits = {}
    for split in ("train", "test"):
        if split in sizes:
            splits[split] = _read_split(builder, name, split, sizes[split], where)
    if "test" in splits:
        return splits["train"], splits["test"]
    return files.hold_out(splits["train"], f"{name} in {where}")


def _read_split(builder, name, split, size, where):
    try:
        records = builder.as_data_source(split=split)
        if len(records) != size:
            raise ValueError(f"{len(records)} of {size} records.")
        names = _factors_of(builder.name, records[0])
        shapes, images, labels, factors = _arrays(records, names)
    except ImportError as error:
        raise ImportError(
            "prepared images need Pillow and array_record: pip install "
            f'"infogan_jax[images]" array_record ({console.first_line(error)})'
        ) from error
    except Exception as error:  # a cut shard surfaces as any of a dozen types
        raise ValueError(
            f"split {split} of {name} in {where} cannot be read: "
            f"{console.first_line(error)}. Copy or prepare it again."
        ) from error
    if len(shapes) > 1 or () in shapes:
        raise ValueError(
            f"{name} in {where} has no 'image' in each record, or not of one size: "
            f"{sorted(shapes)}; bring all to one."
        )
    made = files.make_split(images, labels, f"{name} in {where}")
    return files.add_factors(made, factors, name) if factors.size else made


def _factors_of(name, record):
    """The names of the features that are factors, in order: whole numbers, label_*."""
    if name == "dsprites":
        return [f"label_{factor}" for factor in _DSPRITES]
    return sorted(
        feature
        for feature, value in record.items()
        if feature.startswith("label_")
        and np.shape(value) == ()
        and np.issubdtype(np.asarray(value).dtype, np.integer)
    )


def _arrays(records, names):
    """The shapes of all images, and, if it is one, images, labels and factors.

    A record at a time, for images may be gigabytes.
    """
    first = np.asarray(records[0].get("image", 0))
    images = np.empty((len(records), *first.shape), first.dtype)
    shapes, labels, factors = set(), [], []
    for i, record in enumerate(records):
        image = np.asarray(record.get("image", 0))
        shapes.add(image.shape)
        if image.shape == first.shape:
            images[i] = image
        labels.append(record.get("label", -1))
        factors.append([record[feature] for feature in names])
    return shapes, images, np.array(labels), np.array(factors)

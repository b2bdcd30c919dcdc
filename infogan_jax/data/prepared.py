"""Directories that TensorFlow Datasets prepared elsewhere; TensorFlow is not needed."""

import os

import numpy as np

from infogan_jax import types
from infogan_jax.data import files

_DSPRITES = ("shape", "scale", "orientation", "x_position", "y_position")


def read(
    name: str, data_dir: str | os.PathLike[str] | None = None
) -> tuple[types.Split, types.Split]:
    """Training and test split of a prepared dataset with images.

    Every record is read here, so that a missing or cut shard shows now. Features named
    label_* are the images' factors: they become "factors", int32 [N, K], in dSprites'
    own order for dSprites, and in that of their names elsewhere.

    Args:
      name: TFDS's name, such as "mnist" or "cifar10/3.0.2".
      data_dir: TFDS's data_dir; None for its default.

    Raises:
      FileNotFoundError: the directory holds no such prepared dataset.
      ValueError: damaged shards, or features that are no images.
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
            f"{where} holds no prepared dataset {name!r}: {_first_line(error)} "
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
        images, labels, factors = _arrays(name, records)
    except ImportError as error:
        raise ImportError(
            "prepared images need Pillow and array_record: pip install "
            f'"infogan_jax[images]" array_record ({_first_line(error)})'
        ) from error
    except Exception as error:  # a cut shard surfaces as any of a dozen types
        raise ValueError(
            f"split {split} of {name} in {where} cannot be read: {_first_line(error)} "
            "Copy or prepare it again."
        ) from error
    made = files.make_split(images, labels, f"{name} in {where}")
    return files.add_factors(made, factors, name) if factors.size else made


def _arrays(name, records):
    """Images, labels and factors; a record at a time, for images may be gigabytes."""
    first = records[0]
    names = sorted(feature for feature in first if feature.startswith("label_"))
    if name.partition("/")[0] == "dsprites":
        names = [f"label_{factor}" for factor in _DSPRITES]
    shape = first["image"].shape
    images = np.empty((len(records), *shape), first["image"].dtype)
    labels, factors = [], []
    for i, record in enumerate(records):
        if record["image"].shape != shape:
            raise ValueError(
                f"image {i} has shape {record['image'].shape}, the first {shape}."
            )
        images[i] = record["image"]
        labels.append(record.get("label", -1))
        factors.append([record[feature] for feature in names])
    return images, np.array(labels), np.array(factors)


def _first_line(error):
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".") + "."

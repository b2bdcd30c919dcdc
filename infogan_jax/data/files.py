"""Images that users bring: NumPy archives and folders."""

import contextlib
import os
from pathlib import Path

import numpy as np

from infogan_jax import types
from infogan_jax.host import paths

_SUFFIXES = tuple(".png .jpg .jpeg .bmp .gif .webp .tif .tiff .pgm .ppm".split())
_NO_CLASS = (".", "__MACOSX")  # Hidden, or left by macOS's archiver.
_HELD_OUT = 10
_MOST_CLASSES = 2**15
_MOST_NUMBERED = 100
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")
_ROUNDING = 1e-6  # Of an interpolation: its weights' sum may be a little above 1.
_READ = "x_train y_train x_test y_test image label imgs latents_classes".split()


def read_images(path: str | os.PathLike[str]) -> np.ndarray:
    """All images of a folder (by name), an .npz (its `image`) or an .npy, in order.

    Returns:
      uint8 [N, H, W, C].

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: as `read_npz` and `read_folder`.
      ImportError: a folder, and Pillow is missing.
    """
    path = paths.expand(path)
    if path.is_dir():
        return _read_listed(path, list_images(path), {})["image"]
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {_seen_from_here(path)}; give a folder of images, an "
            ".npz or an .npy."
        )
    arrays = _read_arrays(path)
    if "image" not in arrays:
        raise ValueError(f"{path} holds {sorted(arrays)}; it needs image.")
    return make_split(arrays["image"], None, path)["image"]


def list_images(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, in the order of `read_images`.

    Raises:
      ValueError: there are none.
    """
    paths = sorted(
        path
        for path in _files(folder, ())
        if path.suffix.lower() in _SUFFIXES
        and not any(p.startswith(_NO_CLASS) for p in path.relative_to(folder).parts)
    )
    if not paths:
        raise ValueError(f"{folder} holds no images ({', '.join(_SUFFIXES)}).")
    return paths


def read_npz(path: Path) -> tuple[types.Split, types.Split]:
    """Training and test split of an .npz, or of an .npy of images alone.

    The archive holds x_train, y_train, x_test, y_test, or image and, optionally, label,
    or what the published dSprites holds: imgs and latents_classes, whose columns but
    the first (a single color) become the splits' "factors", int32 [N, 5]. What else it
    holds is not read.
    Images are uint8, or floats in [0, 1], [N, H, W] or [N, H, W, C].

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such an archive; pickled objects are refused.
    """
    arrays = _read_arrays(path)
    if {"x_train", "x_test"} <= arrays.keys():
        train, test = (
            make_split(arrays[f"x_{part}"], arrays.get(f"y_{part}"), path)
            for part in ("train", "test")
        )
        return train, test
    if "image" in arrays:
        return hold_out(make_split(arrays["image"], arrays.get("label"), path), path)
    if {"imgs", "latents_classes"} <= arrays.keys():
        classes = arrays["latents_classes"]
        # Popped: the published file's images are 3 GB, which nobody is to keep.
        return hold_out(_dsprites(arrays.pop("imgs"), classes, path), path)
    raise ValueError(
        f"{path} holds {sorted(arrays)}; it needs x_train and x_test (y_train, "
        "y_test), or image (and label), or dSprites' imgs and latents_classes."
    )


def read_folder(path: Path) -> tuple[types.Split, types.Split, dict[str, int]]:
    """Training and test split of a folder of images of one size, and its classes.

    Subfolders `train` and `test` are the splits if both are there. Otherwise, and
    inside each, subfolders with images are classes; what lies beside the two is left
    out. A class's name is its label if all are whole numbers below 100: of folders 3, 4
    and 7, say. Otherwise they are numbered in alphabetical order, over both splits.
    Hidden files and folders are passed over, and files of other endings than images
    have.

    Returns:
      The splits, and the label of each class by its name.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: no images in it, one that cannot be read, or unequal sizes; or a class
        has the name of a split, as of folders `train` and `val`.
      ImportError: Pillow is missing.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no folder {_seen_from_here(path)}; folder:PATH needs one."
        )
    splits = [path / "train", path / "test"]
    folders = splits if all(split.is_dir() for split in splits) else [path]
    listed = {folder: list_images(folder) for folder in folders}
    label_of = _label_classes(listed)
    if taken := sorted(name for name in label_of if name.lower() in _SPLITS):
        raise ValueError(
            f"{path / taken[0]} is a split by its name, and would be a class: name the "
            "splits train and test, or give the folder of one of them alone."
        )
    read = [_read_listed(*of_folder, label_of) for of_folder in listed.items()]
    train, test = read if len(read) == 2 else hold_out(read[0], path)
    return train, test, label_of


def make_split(
    images: types.Array, labels: types.Array | None, source: object
) -> types.Split:
    """{"image": uint8 [N, H, W, C], "label": int32 [N]} of what a file holds.

    Bytes that are 0 and 1 only, such as dSprites', are black and white.

    Raises:
      ValueError: shapes, types or ranges that are no images and labels.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"{source}: images have shape {images.shape}; [N, H, W] or [N, H, W, C] "
            "with C 1 or 3 is needed, and N, H and W at least 1."
        )
    if np.issubdtype(images.dtype, np.floating):
        low, high = float(images.min()), float(images.max())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise ValueError(
                f"{source}: float images must lie in [0, 1], not [{low}, {high}]; "
                "rescale them, or store uint8."
            )
        images = np.round(images * 255).astype(np.uint8)
    elif images.dtype == np.uint8 and images.max() == 1:
        images = images * np.uint8(255)
    if images.dtype != np.uint8:
        raise ValueError(
            f"{source}: images are {images.dtype}; uint8 or float in [0, 1] is needed."
        )
    if labels is None:
        labels = np.full(len(images), -1)
    labels = np.asarray(labels)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{source}: labels are {labels.dtype} {labels.shape} for {len(images)} "
            "images; one integer per image is needed."
        )
    low, high = int(labels.min()), int(labels.max())
    # A confusion has a column for every number up to the highest.
    if low < -1 or high >= _MOST_CLASSES:
        raise ValueError(
            f"{source}: labels reach from {low} to {high}; number the classes from 0 "
            f"to at most {_MOST_CLASSES - 1}, and give -1 where it is unknown."
        )
    return {"image": images, "label": labels.astype(np.int32)}


def add_factors(
    split: types.Split, factors: types.Array, source: object
) -> types.Split:
    """The split with "factors", int32 [N, K].

    Raises:
      ValueError: not one row of integers, of 32 bits, for each image.
    """
    factors = np.asarray(factors)
    if factors.ndim != 2 or len(factors) != len(split["image"]):
        raise ValueError(
            f"{source}: factors have shape {factors.shape} for {len(split['image'])} "
            "images; [N, K] is needed."
        )
    if not np.issubdtype(factors.dtype, np.integer):
        raise ValueError(f"{source}: factors are {factors.dtype}; integers are needed.")
    kept = factors.astype(np.int32)
    if (kept != factors).any():
        wide = factors[kept != factors][0]
        raise ValueError(f"{source}: a factor is {wide}; number its values from 0.")
    return split | {"factors": kept}


def hold_out(split: types.Split, source: object) -> tuple[types.Split, types.Split]:
    """Training and test split: a tenth is the test's, the same whenever it is asked.

    Drawn at random, for a file may be in order of its classes.

    Raises:
      ValueError: fewer than two images.
    """
    n = len(split["label"])
    if n < 2:
        raise ValueError(
            f"{source}: {n} image cannot be split into training and test; give more."
        )
    held = np.zeros(n, bool)
    held[np.random.default_rng(0).permutation(n)[: max(1, n // _HELD_OUT)]] = True
    return (
        {name: array[~held] for name, array in split.items()},
        {name: array[held] for name, array in split.items()},
    )


def _dsprites(images, classes, path):
    if classes.ndim != 2 or classes.shape[1] != 6 or not images.size:
        raise ValueError(
            f"{path}: imgs {images.shape} and latents_classes {classes.shape} are not "
            "dSprites' [N, 64, 64] and [N, 6]."
        )
    return add_factors(make_split(images, None, path), classes[:, 1:], path)


def _read_arrays(path):
    """Arrays by name; those that nobody reads, which may be pickled, are None."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {_seen_from_here(path)}; give an .npz or .npy."
        )
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"image": loaded}
            return {n: loaded[n] if n in _READ else None for n in loaded.files}
    except Exception as error:  # zipfile, zlib, EOF and format errors alike
        # NumPy takes whatever it does not know for a pickle, and advises to load it.
        reason = "it is neither, or holds objects" if "pickle" in str(error) else error
        raise ValueError(f"{path} cannot be read as .npz or .npy: {reason}") from error


def _seen_from_here(path):
    """A path, and from where it was looked for: a run may have begun elsewhere."""
    return path if path.is_absolute() else f"{path} in {Path.cwd()}"


def _label_classes(listed):
    """The label of each class of the images that were listed in each folder."""
    inside = (
        image.relative_to(folder).parts
        for folder, images in listed.items()
        for image in images
    )
    names = sorted({first for first, *rest in inside if rest})
    if all(name.isascii() and name.isdecimal() for name in names):
        labels = {name: int(name) for name in names}
        are_labels = len(set(labels.values())) == len(names)  # Of 1 and 01, neither.
        if are_labels and max(labels.values(), default=0) < _MOST_NUMBERED:
            return labels
    return {name: label for label, name in enumerate(names)}


def _files(folder, above):
    """All files below a folder, through links too, but for those that lead back."""
    chain = (*above, folder.resolve())
    with contextlib.suppress(PermissionError):  # As of a disk's lost+found.
        for path in folder.iterdir():
            if not path.is_dir():
                yield path
            elif path.resolve() not in chain:
                yield from _files(path, chain)


def _read_listed(folder, paths, label_of):
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            'folders of images need Pillow: pip install "infogan_jax[images]"'
        ) from None
    images, labels = [], []
    for path in paths:
        try:
            with Image.open(path) as picture:
                images.append(_pixels(picture))
        except Exception as error:  # Pillow raises SyntaxError and its own, too.
            raise ValueError(f"{path} is not a readable image: {error}") from error
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"{path} has shape {images[-1].shape}, but {paths[0]} has "
                f"{images[0].shape}; bring all images to one size and mode first."
            )
        labels.append(label_of.get(path.relative_to(folder).parts[0], -1))
    return make_split(np.stack(images), np.array(labels), folder)


def _pixels(picture):
    """Bytes [H, W] or [H, W, 3], upright; 16 bits are scaled, transparency refused."""
    from PIL import ImageOps

    if picture.mode == "F" or (picture.format, picture.mode) == ("TIFF", "I"):
        raise ValueError("its pixels have 32 bits; save them with 8 or 16.")
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # A camera's.
        raise ValueError(f"it holds {picture.n_frames} images; save each by itself.")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") and "transparency" not in picture.info:
        return np.round(np.asarray(picture) / 257).astype(np.uint8)
    if "A" in picture.getbands() or "transparency" in picture.info:
        if picture.convert("RGBA").getextrema()[3][0] < 255:
            raise ValueError("some pixels are transparent; put it on a background.")
    gray = picture.mode in ("1", "L", "LA")
    return np.asarray(picture.convert("L" if gray else "RGB"))

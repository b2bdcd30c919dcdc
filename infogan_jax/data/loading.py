"""`load(name)`: one entry for every place that images come from."""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from infogan_jax import types
from infogan_jax.data import files, idx, prepared
from infogan_jax.host import console, paths

NAMES = (
    "auto",
    "bundled",
    "mnist",
    "fashion_mnist",
    "npz:PATH",
    "folder:PATH",
    "tfds:NAME",
)

_BUNDLED = Path(__file__).with_name("mnist10k.npz")
_MOST_TOLD = 20  # classes
# `auto` must not keep a fresh machine waiting: seconds for all of MNIST to arrive.
_AUTO_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of a training and a test split.

    Attributes:
      name: what was loaded; never "auto".
      train, test: {"image": uint8 [N, H, W, C], "label": int32 [N], -1 if unknown},
        and "factors" int32 [N, K] where they are known.
      note: one line that says where the images came from.
    """

    name: str
    train: types.Split
    test: types.Split
    note: str

    def __post_init__(self):
        for split in (self.train, self.test):
            given = {name for name, array in split.items() if array is not None}
            if missing := {"image", "label"} - given:
                raise ValueError(
                    f"{self.name}: a split lacks {sorted(missing)}; give images and "
                    "their labels, -1 where unknown."
                )
        shapes = [split["image"].shape[1:] for split in (self.train, self.test)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{self.name}: training images are {shapes[0]}, test images "
                f"{shapes[1]}; bring all to one size and number of channels."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.train["image"].shape[1:]

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of all images and labels: the same for the same data, from anywhere."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            for name, dtype in (("image", None), ("label", np.int32)):
                array = np.ascontiguousarray(split[name], dtype)
                digest.update(f"{array.shape}{array.dtype}".encode())
                digest.update(array.data)
        return digest.hexdigest()


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Images by name.

    Args:
      name: "bundled" (10,000 + 2,000 MNIST digits that come with the package), "mnist"
        or "fashion_mnist" (four IDX files, fetched from the address and checked by the
        hash that TensorFlow Datasets registers), "auto" (MNIST if it is at hand or
        arrives in time, else bundled), "npz:PATH", "folder:PATH" (of images), or
        "tfds:NAME" (a directory that TensorFlow Datasets prepared). A set without a
        test split gives a tenth of its images to it, always the same.
      data_dir: where downloads lie, or are put; by default $XDG_CACHE_HOME/infogan_jax,
        and for "tfds:" TensorFlow Datasets' own default.

    Raises:
      ValueError: an unknown name, or files that do not hold what they should.
      OSError: a file or a server that cannot be read; the message says what to do.
      ImportError: a folder or a prepared set, and Pillow is missing.
    """
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is no dataset's name, such as 'npz:{name}'.")
    data_dir = paths.expand(data_dir) if data_dir else None
    kind, colon, rest = name.partition(":")
    if colon and kind in ("npz", "folder"):
        if not rest:
            raise ValueError(f"{name} names no path; write {name}PATH.")
        path, label_of = paths.expand(rest), dict[str, int]()
        if kind == "npz":
            train, test = files.read_npz(path)
        else:
            train, test, label_of = files.read_folder(path)
        n = len(train["label"]) + len(test["label"])
        return Dataset(name, train, test, f"{n} images of {rest}{_describe(label_of)}")
    if colon and kind == "tfds":
        train, test = prepared.read(rest, data_dir)
        return Dataset(name, train, test, f"TFDS's prepared {rest}")
    if name == "bundled":
        return _bundled("the 10,000 digits that come with the package")
    if name == "auto":
        try:
            return _from_idx("mnist", data_dir, seconds=_AUTO_SECONDS)
        except OSError as error:
            reason = console.first_line(error)
            return _bundled(
                f"the bundled 10,000 digits, for want of all MNIST: {reason}."
            )
    if name in idx.SOURCES:
        return _from_idx(name, data_dir)
    close = _close(name)
    hint = f" Did you mean {close!r}?" if close else ""
    raise ValueError(f"unknown dataset {name!r}.{hint} Known: {', '.join(NAMES)}.")


def default_dir() -> Path:
    """Where downloads lie unless told otherwise; in a user's cache, if there is one."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # No HOME, and a user whom the system does not know.
        cache = tempfile.gettempdir()
    return Path(cache) / "infogan_jax"


def _from_idx(name, data_dir, seconds=None):
    folder = data_dir or default_dir() / name
    train, test = idx.read(name, folder, seconds)
    return Dataset(name, train, test, f"all of {name}, from {folder}")


def _bundled(note):
    train, test = files.read_npz(_BUNDLED)
    return Dataset("bundled", train, test, note)


def _describe(label_of):
    """Which label each class has, where that is not its name."""
    if all(name.isdecimal() and int(name) == label for name, label in label_of.items()):
        return ""
    told = [f"{label} {name}" for name, label in label_of.items()]
    if len(told) > _MOST_TOLD:
        told[_MOST_TOLD:] = [f"... {told[-1]}"]
    return f"; labels: {', '.join(told)}"


def _close(name):
    """The name of a dataset that somebody may have meant, or None."""
    if name.lower() in NAMES:
        return name.lower()
    kind, colon, rest = name.partition(":")
    if colon and f"{kind.lower()}:" in ("npz:", "folder:", "tfds:"):
        return f"{kind.lower()}:{rest}"
    with contextlib.suppress(OSError, ValueError):  # Of what is no path at all.
        path = paths.expand(name)
        if name and path.is_dir():
            return f"folder:{name}"
        if path.suffix in (".npz", ".npy"):
            return f"npz:{name}"
    return next(iter(difflib.get_close_matches(name.lower(), NAMES, n=1)), None)

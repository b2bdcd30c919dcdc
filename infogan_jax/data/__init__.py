"""Datasets: `load(name)` gives images and labels, `draw` a batch of them.

A dataset in use is a plain dict of arrays, {"image": uint8 [N, H, W, C], "label": int32
[N], -1 where unknown}, that lives on the device as bytes; "factors" int32 [N, K] beside
them where the images' factors are known. `sprites` renders such images on demand.
"""

from infogan_jax.data import sprites
from infogan_jax.data.files import list_images, read_images
from infogan_jax.data.loading import NAMES, Dataset, default_dir, load
from infogan_jax.data.sampling import draw

__all__ = [
    "NAMES",
    "Dataset",
    "default_dir",
    "draw",
    "list_images",
    "load",
    "read_images",
    "sprites",
]

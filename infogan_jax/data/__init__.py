"""Datasets: `load(name)` gives images and labels, `draw` a batch of them.

A dataset in use is a plain dict of arrays, {"image": uint8 [N, H, W, C], "label": int32
[N], -1 where unknown}, that lives on the device as bytes.
"""

from infogan_jax.data.files import read_images
from infogan_jax.data.loading import NAMES, Dataset, load
from infogan_jax.data.sampling import draw

__all__ = ["NAMES", "Dataset", "draw", "load", "read_images"]

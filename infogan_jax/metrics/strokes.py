"""What can be measured on a drawn digit: how it leans, and how much ink it has."""

import numpy as np


def slant(images) -> np.ndarray:
    """How far the strokes lean: horizontal shift per pixel of height, [N].

    The slope of the regression of x on y, weighted by ink, from second moments:
    positive leans to the right, 0 has no ink, or all of it in one row.

    Args:
      images: [N, H, W, 1], white on black, of any range.
    """
    ink = _ink(images)
    rows, columns = np.mgrid[: ink.shape[1], : ink.shape[2]]
    total = np.maximum(ink.sum((1, 2)), 1e-12)
    y = -(rows - ((ink * rows).sum((1, 2)) / total)[:, None, None])  # upwards
    x = columns - ((ink * columns).sum((1, 2)) / total)[:, None, None]
    spread = (ink * y * y).sum((1, 2))
    return np.where(
        spread > 0, (ink * x * y).sum((1, 2)) / np.maximum(spread, 1e-12), 0
    )


def stroke_area(images) -> np.ndarray:
    """Share of the image that is ink, [N], in the range of the images."""
    return _ink(images).mean((1, 2))


def _ink(images):
    images = np.asarray(images, np.float64)
    if images.ndim != 4 or images.shape[-1] != 1:
        raise ValueError(f"images must be [N, H, W, 1], not {images.shape}.")
    return images[..., 0]

"""What can be measured on a drawn digit: its slant, its width, its ink."""

import numpy as np
from numpy.typing import ArrayLike

_PART = 1000  # images


def slant(images: ArrayLike) -> np.ndarray:
    """How far the strokes lean: horizontal shift per pixel of height, [N].

    The slope of the regression of x on y, weighted by ink, from second moments:
    positive leans to the right, 0 has no ink, or all of it in one row.

    Args:
      images: [N, H, W, 1], white on black; black is 0, white as high as it may be.

    Raises:
      ValueError: images of another shape, or with pixels below 0 or not finite.
    """
    return _in_parts(lambda part: _slope(*_from_centre(part))[:, 0, 0], images)


def width(images: ArrayLike) -> np.ndarray:
    """How broad the digit is, slant apart: ink's root mean square distance, [N].

    From the slanted line through the ink's centre, along the row, in pixels; 0 has no
    ink, or all of it on one line.

    Args:
      images: [N, H, W, 1], white on black; black is 0, white as high as it may be.

    Raises:
      ValueError: images of another shape, or with pixels below 0 or not finite.
    """

    def of_part(part):
        share, x, y = _from_centre(part)
        distance = x - _slope(share, x, y) * y
        return np.sqrt((share * distance**2).sum((1, 2)))

    return _in_parts(of_part, images)


def stroke_area(images: ArrayLike) -> np.ndarray:
    """Mean of the pixels, [N]: the share that is ink, in the range of the images.

    Args:
      images: [N, H, W, 1], white on black; black is 0.

    Raises:
      ValueError: images of another shape, or with pixels below 0 or not finite.
    """
    return _in_parts(lambda part: _ink(part).mean((1, 2)), images)


def _in_parts(measure, images):
    """What `measure` says of all images, in the memory that a thousand take."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 1:
        raise ValueError(f"images must be [N, H, W, 1], not {images.shape}.")
    starts = range(0, max(1, len(images)), _PART)
    return np.concatenate([measure(images[i : i + _PART]) for i in starts])


def _ink(images):
    images = images.astype(np.float64)
    if not np.isfinite(images).all():
        raise ValueError("images hold NaN or infinity.")
    if not (images >= 0).all():
        raise ValueError(
            f"images reach down to {images.min():g}; rescale them so that black is 0."
        )
    return images[..., 0]


def _from_centre(images):
    """Every pixel's share of the ink, and its way from the ink's centre, [N, H, W]."""
    ink = _ink(images)
    rows, columns = np.mgrid[: ink.shape[1], : ink.shape[2]]
    share = ink / np.maximum(ink.sum((1, 2), keepdims=True), 1e-12)

    def centred(places):
        return places - (share * places).sum((1, 2), keepdims=True)

    return share, centred(columns), centred(-rows)  # y points upwards.


def _slope(share, x, y):
    """Of the regression of x on y, [N, 1, 1]."""
    spread = (share * y * y).sum((1, 2), keepdims=True)
    together = (share * x * y).sum((1, 2), keepdims=True)
    return np.where(spread > 0, together / np.maximum(spread, 1e-12), 0)

"""How a part of a picture looks, in so few numbers that it can be remembered, and whether two parts look the same.

The comparison is zero-mean normalized cross-correlation (J. P. Lewis, Fast Normalized Cross-Correlation, 1995): 1 for
the same looks in any light and contrast, about 0 for unrelated ones.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camiohookd.pictures.detections import Box

SIDE = 16
"""Columns and rows of a part's looks."""

VIEW = (48, 36)
"""Columns and rows of a view's looks."""

VIEW_AROUND = 6
DARK = 16.0

Looks = NDArray[np.float32]


def looks(image: Image.Image, box: Box) -> Looks:
    """Return the looks of the part `box`, in fractions of `image`."""
    left, top = round(box.left * image.width), round(box.top * image.height)
    right, bottom = round(box.right * image.width), round(box.bottom * image.height)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    part = (left, top, min(max(right, left + 1), image.width), min(max(bottom, top + 1), image.height))
    gray = image if image.mode == "L" else image.convert("L")
    return _normalized(np.asarray(_small(gray, (SIDE, SIDE), part), np.float32))


def view(image: Image.Image) -> Looks:
    """Return the looks of a whole picture; each place is taken in proportion to its surroundings, as light changes."""
    small = _small(image.convert("L"), VIEW)
    around = np.asarray(small.filter(ImageFilter.BoxBlur(VIEW_AROUND)), np.float32)
    return _normalized(np.asarray(small, np.float32) / (around + DARK))


def _small(image: Image.Image, size: tuple[int, int], part: tuple[int, int, int, int] | None = None) -> Image.Image:
    # Averaging by a whole number first takes half of the time.
    return image.resize(size, Image.Resampling.BOX, part, reducing_gap=1.0)


def likeness(one: Looks, other: Looks) -> float:
    """Return how alike two looks are, -1 to 1."""
    return float((one * other).sum())


def _normalized(values: NDArray[np.float32]) -> Looks:
    """Return the values with mean 0 and length 1; all 0 if they are all the same."""
    centered = values - values.mean()
    length = float(np.sqrt((centered * centered).sum()))
    return np.asarray(centered / length if length > 0 else centered, np.float32)

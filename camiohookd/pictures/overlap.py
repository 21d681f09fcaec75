"""How much boxes overlap."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Areas = NDArray[np.float32]


def overlaps(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float32]:
    """Return the intersection over union of each of `boxes` [n, 4] with each of `others` [m, 4], as [n, m].

    A box is two opposite corners as x, y, x, y, the smaller coordinates first. Of empty boxes it is 0.
    """
    shared, areas, other_areas = _shared(boxes, others)
    return _ratios(shared, np.add.outer(areas, other_areas) - shared)


def overlaps_of_smaller(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float32]:
    """Return the intersection over the area of the smaller box, as `overlaps` does."""
    shared, areas, other_areas = _shared(boxes, others)
    return _ratios(shared, np.minimum.outer(areas, other_areas))


def _shared(boxes: ArrayLike, others: ArrayLike) -> tuple[Areas, Areas, Areas]:
    """Return the areas that are in both [n, m], and those of the boxes [n] and of the others [m]."""
    one, other = (np.asarray(each, np.float32) for each in (boxes, others))
    left, top, right, bottom = one.T
    other_left, other_top, other_right, other_bottom = other.T
    shared = np.maximum(np.minimum.outer(right, other_right) - np.maximum.outer(left, other_left), 0)
    shared *= np.maximum(np.minimum.outer(bottom, other_bottom) - np.maximum.outer(top, other_top), 0)
    return shared, (right - left) * (bottom - top), (other_right - other_left) * (other_bottom - other_top)


def _ratios(shared: Areas, areas: Areas) -> Areas:
    ratios: Areas = (shared / np.maximum(areas, np.finfo(np.float32).tiny)).astype(np.float32)
    return ratios

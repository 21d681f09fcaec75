"""How much boxes overlap."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def overlaps(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float32]:
    """Return the intersection over union of each of `boxes` [n, 4] with each of `others` [m, 4], as [n, m].

    A box is two opposite corners as x, y, x, y, the smaller coordinates first. Of empty boxes it is 0.
    """
    one, other = (np.asarray(each, np.float32) for each in (boxes, others))
    left, top, right, bottom = one.T
    other_left, other_top, other_right, other_bottom = other.T
    shared = np.maximum(np.minimum.outer(right, other_right) - np.maximum.outer(left, other_left), 0)
    shared *= np.maximum(np.minimum.outer(bottom, other_bottom) - np.maximum.outer(top, other_top), 0)
    areas, other_areas = (right - left) * (bottom - top), (other_right - other_left) * (other_bottom - other_top)
    ratios: NDArray[np.float32] = shared / np.maximum(
        np.add.outer(areas, other_areas) - shared, np.finfo(np.float32).tiny
    )
    return ratios

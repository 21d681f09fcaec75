"""What only one of two labelers found in a picture."""

from collections.abc import Sequence

from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps

SAME = 0.5
"""The least intersection over union of two boxes of one object."""


def only_in_first(one: Sequence[Detection], other: Sequence[Detection]) -> list[Detection]:
    """Return the finds of `one` without a counterpart in `other`: the same label at the same place.

    Each find of `other` is the counterpart of one find at most. Finds without a box are compared by their label.
    """
    left = list(other)
    alone = []
    for each in sorted(one, key=lambda found: -found.probability):
        alike = [_alike(each, found) for found in left]
        best = alike.index(max(alike)) if alike else None
        if best is None or alike[best] < SAME:
            alone.append(each)
        else:
            left.pop(best)
    return alone


def _alike(one: Detection, other: Detection) -> float:
    if one.label != other.label:
        return 0.0
    if one.box is None or other.box is None:
        return float(one.box is other.box)
    return float(overlaps([one.box], [other.box])[0, 0])

"""What two labelers found in one picture → one list.

An object is the same if its label is, and either both labelers give no box, or their boxes overlap by at least half
(`SAME_IOU`, the usual bound of PASCAL VOC: M. Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 88,
2010, section 4.2). Of the same object the more probable detection is kept, with the name of its labeler.
"""

from collections.abc import Sequence

from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps

SAME_IOU = 0.5


def together(earlier: Sequence[Detection], later: Sequence[Detection]) -> list[Detection]:
    """Return the detections of both, most probable first; at equal probability the earlier labeler's is kept."""
    result = list(earlier)
    for found in later:
        same = next((nth for nth, other in enumerate(result[: len(earlier)]) if _is_same(other, found)), None)
        if same is None:
            result.append(found)
        elif found.probability > result[same].probability:
            result[same] = found
    return sorted(result, key=lambda each: -each.probability)


def _is_same(one: Detection, other: Detection) -> bool:
    if one.label != other.label:
        return False
    if one.box is None or other.box is None:
        return one.box is other.box
    return bool(overlaps([one.box], [other.box])[0, 0] >= SAME_IOU)

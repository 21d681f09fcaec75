"""Whether two labelers see the same: a device that counts a little otherwise than the CPU is no worse for that."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection

MARGIN = 0.15
"""Of probability, by which the same object may differ: what int8 or float16 arithmetic makes of it."""

OVERLAP = 0.7
"""Intersection over union that boxes of the same object have at least."""

_SAMPLES = Path(__file__).parents[3] / "samples"
_LITTLE = 0.01


def difference(right: OnnxLabeler, tried: OnnxLabeler) -> str | None:
    """What `tried` sees otherwise than `right` in the sample pictures, None if nothing. Raises LabelingError."""
    for file in sorted(_SAMPLES.glob("*.jpg")):
        picture = decode(file.read_bytes(), PictureLimits(), right.input_size)
        if found := _difference(right, tried, picture):
            return f"{found} in {file.name}"
    return None


def _difference(right: OnnxLabeler, tried: OnnxLabeler, picture: Decoded) -> str | None:
    sure = _sure(right, picture)
    expected, found = (labeler.detect(picture, max(sure - MARGIN, 0)) for labeler in (right, tried))
    if lost := _first_missing(_over(sure, expected), found):
        return f"does not find what the CPU finds: {lost.label} {lost.probability:.2f}"
    if ghost := _first_missing(_over(sure, found), expected):
        return f"finds what the CPU does not find: {ghost.label} {ghost.probability:.2f}"
    return None


def _sure(labeler: OnnxLabeler, picture: Decoded) -> float:
    """The probability from which on an object has to be found by both: what would be reported or, of a model that is
    for other things than these pictures, what is most probable."""
    least = labeler.default_probability
    if not labeler.detect(picture, least) and (unlikely := labeler.detect(picture, _LITTLE)):
        return unlikely[0].probability
    return least


def _over(probability: float, found: Iterable[Detection]) -> list[Detection]:
    return [each for each in found if each.probability >= probability]


def _first_missing(wanted: Iterable[Detection], found: Sequence[Detection]) -> Detection | None:
    return next((each for each in wanted if not any(_same(each, other) for other in found)), None)


def _same(one: Detection, other: Detection) -> bool:
    return (
        one.label == other.label
        and abs(one.probability - other.probability) <= MARGIN
        and (one.box is None or other.box is None or _overlap(one.box, other.box) >= OVERLAP)
    )


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    both = sum((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return shared / (both - shared) if both > shared else 1.0

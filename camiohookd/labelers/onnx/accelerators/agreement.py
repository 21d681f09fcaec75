"""Whether two labelers find the same objects. A device may compute slightly different numbers than the CPU."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps

MARGIN = 0.15
"""The largest difference in probability for the same object, which int8 or float16 arithmetic causes."""

OVERLAP = 0.7
"""The least intersection over union of two boxes of the same object."""

_SAMPLES = Path(__file__).parents[3] / "samples"
_LITTLE = 0.01


def difference(right: OnnxLabeler, tried: OnnxLabeler) -> str | None:
    """Return what `tried` finds differently in the sample pictures, None if nothing. Raises LabelingError."""
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
    """Return the probability from which on both must find an object.

    That is the reported one, or the highest there is if the model is for other things than these pictures show.
    """
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
        and (one.box is None or other.box is None or float(overlaps([one.box], [other.box])[0, 0]) >= OVERLAP)
    )

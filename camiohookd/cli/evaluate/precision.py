"""COCO's average precision of boxes, and precision and recall at one score.

The definitions are those of https://github.com/cocodataset/cocoapi, `PythonAPI/pycocotools/cocoeval.py`: ten overlaps
from .50 to .95, precision at 101 recalls, at most 100 finds of a label in a picture. The tests compare the two.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from camiohookd.cli.evaluate.references import Reference
from camiohookd.pictures.detections import Box, Detection, shared_area
from camiohookd.pictures.overlap import overlaps

OVERLAPS = np.linspace(0.5, 0.95, 10)
SMALL = 32**2
"""Objects of fewer pixels are small, as COCO says it."""

_RECALLS = np.linspace(0, 1, 101)
_MOST = 100

Bools = NDArray[np.bool_]


class ComparedPicture(NamedTuple):
    """One picture: what is in it, in its pixels, and what was found there."""

    objects: Sequence[Reference]
    found: Sequence[Detection]


class Measured(NamedTuple):
    """Of one label: `objects` in the pictures, and COCO's `ap` and `ap50` (nan without objects).

    At one score and overlap .5: the finds that are `right` and `wrong`.
    """

    objects: int
    ap: float
    ap50: float
    right: int
    wrong: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else math.nan

    @property
    def recall(self) -> float:
        return self.right / self.objects if self.objects else math.nan


class _Matched(NamedTuple):
    """The finds of one label in one picture: `right` and `ignored` [overlaps, n] for `scores` [n]."""

    scores: NDArray[np.float64]
    right: Bools
    ignored: Bools
    objects: int


def measure(label: str, pictures: Iterable[ComparedPicture], score: float, max_area: float = math.inf) -> Measured:
    """Measure one label over all pictures; precision and recall are those of finds from `score` on.

    Objects of `max_area` pixels or more count neither way.
    """
    parts = [_match(label, seen, max_area) for seen in pictures]
    objects = sum(part.objects for part in parts)
    scores = np.concatenate([part.scores for part in parts]) if parts else np.empty(0)
    order = np.argsort(-scores, kind="stable")
    empty = np.empty((len(OVERLAPS), 0), np.bool_)
    right = np.concatenate([empty, *(part.right for part in parts)], axis=1)[:, order]
    ignored = np.concatenate([empty, *(part.ignored for part in parts)], axis=1)[:, order]
    precisions = [_average(found[~left], objects) for found, left in zip(right, ignored, strict=True)]
    counts = (scores[order] >= score) & ~ignored[0]
    hits = int((right[0] & counts).sum())
    return Measured(objects, float(np.mean(precisions)), precisions[0], hits, int(counts.sum()) - hits)


def mean(values: Iterable[float]) -> float:
    """Return the mean of those that are numbers, nan if none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _average(right: Bools, objects: int) -> float:
    """Return the mean of the precision at 101 recalls for finds, the most probable first."""
    if not objects:
        return math.nan
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a higher one
    at = np.searchsorted(hits / objects, _RECALLS, side="left")
    return float(np.where(at < len(best), np.append(best, 0.0)[np.minimum(at, len(best))], 0.0).mean())


def _match(label: str, seen: ComparedPicture, max_area: float) -> _Matched:
    """Give each find, the most probable first, the free object that it overlaps most."""
    objects = [each for each in seen.objects if each.label == label]
    found = sorted(
        (each for each in seen.found if each.label == label and each.box), key=lambda each: -each.probability
    )
    found = found[:_MOST]
    boxes = [each.box for each in found if each.box]
    outside = np.array([each.crowd or _area(each) >= max_area for each in objects], np.bool_)
    objects = [objects[nth] for nth in np.argsort(outside, kind="stable")]
    outside.sort()
    ratios = _overlaps(boxes, objects)
    right = np.zeros((len(OVERLAPS), len(found)), np.bool_)
    ignored = np.zeros_like(right)
    for row, least in enumerate(OVERLAPS):
        free = np.ones(len(objects), np.bool_)
        for nth, box in enumerate(boxes):
            chosen = _best(ratios[nth], free, outside, least)
            if chosen is None:
                ignored[row, nth] = _pixels(box) >= max_area
                continue
            free[chosen] = objects[chosen].crowd
            right[row, nth], ignored[row, nth] = not outside[chosen], outside[chosen]
    scores = np.array([each.probability for each in found], np.float64)
    return _Matched(scores, right, ignored, int((~outside).sum()))


def _best(ratios: NDArray[np.float64], free: Bools, outside: Bools, least: float) -> int | None:
    """Return the free object with the largest overlap; one that counts goes before one that does not."""
    for wanted in (~outside, outside):
        fitting = np.flatnonzero(wanted & free & (ratios >= min(least, 1 - 1e-10)))
        if len(fitting):
            # Take the last of equal overlaps, as cocoeval does.
            return int(fitting[len(fitting) - 1 - int(np.argmax(ratios[fitting][::-1]))])
    return None


def _overlaps(boxes: Sequence[Box], objects: Sequence[Reference]) -> NDArray[np.float64]:
    """Return intersection over union [boxes, objects]; over the find's own area where the object is a crowd."""
    if not boxes or not objects:
        return np.zeros((len(boxes), len(objects)))
    ratios = np.asarray(overlaps(boxes, [each.box for each in objects]), np.float64)
    for column, each in enumerate(objects):
        if each.crowd:
            ratios[:, column] = [shared_area(box, each.box) / max(_pixels(box), 1e-9) for box in boxes]
    return ratios


def _pixels(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _area(reference: Reference) -> float:
    return _pixels(reference.box) if reference.area is None else reference.area

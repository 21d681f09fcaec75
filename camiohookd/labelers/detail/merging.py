"""What was found in a whole picture and in tiles of it → each object once.

The rule, in this order, for finds of one label:

1. **Cut.** A find in a tile whose box reaches a side of the tile that is inside the picture is dropped: the object goes
   on beyond. A neighbor tile or the whole picture sees all of it. This is how FocusStacking treats detections at the
   borders of its chips (Najibi, Singh, Davis: AutoFocus: Efficient Multi-Scale Inference, ICCV 2019).
2. **Scale.** Where the whole picture and a tile see the same object, the one whose scale suits it is kept: of objects
   that would fit into a tile easily the tile's find, of larger ones the whole picture's. A detector is good in a range
   of sizes only (Singh, Davis: An Analysis of Scale Invariance in Object Detection - SNIP, CVPR 2018). A find that is
   much less probable replaces none. The one that is kept has the higher of both probabilities, as in SAHI.
3. **Part.** A tile's find inside a large object is dropped as a part of it, unless it is the more probable one: a large
   box around several people is less probable than they are, and must not hide them.
4. **Twice.** Of finds at the same scale, the most probable is kept of those that overlap: by intersection over union,
   or over the smaller box (IOS), which SAHI compares by default (Akyon, Altinuc, Temizel: Slicing Aided Hyper Inference
   and Fine-Tuning for Small Object Detection, ICIP 2022).

The figures below were chosen on the courtyard and on COCO photographs: ``python -m tests.bench quality``.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from camiohookd.labelers.detail.tiling import Size
from camiohookd.pictures.detections import Box, Detection
from camiohookd.pictures.overlap import overlaps, overlaps_of_smaller

CUT = 0.01
"""A box counts as cut if it is this near to a tile's side, as a part of the side's length."""

SMALL = 0.5
"""A tile shows an object better than the whole picture if the object takes at most this part of the tile's sides."""

SAME_IOU, SAME_IOS = 0.3, 0.5
"""The least overlap of a find of the whole picture and one of a tile that are one object."""

RIVAL = 0.5
"""The least probability of a find at the better scale, in proportion to that of the find that it replaces."""

PART_IOS = 0.8
"""A tile's find is only a part of a large object if at least this share of its area is inside it."""

TWICE_IOU, TWICE_IOS = 0.5, 0.6
"""The least overlap of two finds at the same scale that are one object."""


_NOWHERE = Box(0, 0, 0, 0)


class Look(NamedTuple):
    """A tile, in pixels of the picture, and what was found there, with boxes in pixels of the picture."""

    tile: Box
    found: Sequence[Detection]


def merged(size: Size, whole: Sequence[Detection], tiles: Sequence[Look]) -> list[Detection]:
    """Return each object once, most probable first, of a picture of `size` (width, height) pixels."""
    if not tiles:
        return list(whole)
    fine = [
        (each, look.tile)
        for look in tiles
        for each in look.found
        if each.box is not None and not is_cut(each.box, look.tile, size)
    ]
    kept: list[Detection] = []
    for label in dict.fromkeys(each.label for each in (*whole, *(each for each, _ in fine))):
        coarse = [each for each in whole if each.label == label]
        close = [(each, tile) for each, tile in fine if each.label == label]
        kept += _one_label(coarse, close)
    return sorted(kept, key=lambda each: -each.probability)


def is_cut(box: Box, tile: Box, size: Size) -> bool:
    """Return whether `box` reaches a side of `tile` that is not a side of the picture."""
    across, down = CUT * (tile.right - tile.left), CUT * (tile.bottom - tile.top)
    return (
        (tile.left > 0 and box.left < tile.left + across)
        or (tile.top > 0 and box.top < tile.top + down)
        or (tile.right < size[0] and box.right > tile.right - across)
        or (tile.bottom < size[1] and box.bottom > tile.bottom - down)
    )


def _one_label(coarse: Sequence[Detection], close: Sequence[tuple[Detection, Box]]) -> list[Detection]:
    fine = _once([each for each, _ in close])
    tiles = [tile for _, tile in close]
    small = [each for each in coarse if any(_fits_easily(each, tile) for tile in tiles)]
    large = [each for each in coarse if each not in small]
    large, fine = _replaced(fine, large, TWICE_IOU, math.inf)
    fine = _without_parts(fine, large)
    fine, small = _replaced(small, fine, SAME_IOU, SAME_IOS)
    return [*large, *fine, *small]


def _replaced(
    weaker: Sequence[Detection], better: Sequence[Detection], iou: float, ios: float
) -> tuple[list[Detection], list[Detection]]:
    """Leave out finds at a scale that suits them less, where one of `better` is the same object.

    Return `better` and what is left of `weaker`. The find that stays has the higher probability of both.
    """
    found = list(better)
    if not weaker or not better:
        return found, list(weaker)
    ratios = _overlap(weaker, better, iou, ios)
    left = []
    for each, row in zip(weaker, ratios, strict=True):
        nth = max(
            (n for n in range(len(row)) if row[n] > 1 and better[n].probability >= RIVAL * each.probability),
            key=lambda n: row[n],
            default=None,
        )
        if nth is None:
            left.append(each)
        elif found[nth].probability < each.probability:
            found[nth] = found[nth]._replace(probability=each.probability)
    return found, left


def _without_parts(fine: Sequence[Detection], large: Sequence[Detection]) -> list[Detection]:
    """Leave out finds in tiles that are inside a large object which is at least as probable."""
    if not fine or not large:
        return list(fine)
    inside = _overlap(fine, large, math.inf, PART_IOS) > 1
    probable = np.array([each.probability for each in large])
    return [each for each, row in zip(fine, inside, strict=True) if not (row & (probable >= each.probability)).any()]


def _fits_easily(found: Detection, tile: Box) -> bool:
    box = found.box
    return box is not None and (
        box.right - box.left <= SMALL * (tile.right - tile.left)
        and box.bottom - box.top <= SMALL * (tile.bottom - tile.top)
    )


def _once(found: Sequence[Detection]) -> list[Detection]:
    """Keep the most probable of finds that are one object."""
    ordered = sorted(found, key=lambda each: -each.probability)
    if len(ordered) < 2:
        return ordered
    same = _overlap(ordered, ordered, TWICE_IOU, TWICE_IOS) > 1
    kept = np.ones(len(ordered), np.bool_)
    for nth, row in enumerate(same):
        if kept[nth]:
            kept[nth + 1 :] &= ~row[nth + 1 :]
    return [each for each, is_kept in zip(ordered, kept, strict=True) if is_kept]


def _overlap(found: Sequence[Detection], others: Sequence[Detection], iou: float, ios: float) -> NDArray[np.float32]:
    """Return how far each overlap exceeds `iou` or `ios`: over 1 if it does; [found, others].

    A bound of infinity is never exceeded.
    """
    boxes, other_boxes = ([each.box or _NOWHERE for each in some] for some in (found, others))
    one, other = overlaps(boxes, other_boxes) / iou, overlaps_of_smaller(boxes, other_boxes) / ios
    return np.asarray(np.maximum(one, other), np.float32)

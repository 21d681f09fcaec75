"""How well boxes fit reference boxes: COCO's box AP, and what is found and wrong at one score and one overlap."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from camiohookd.cli.evaluate.precision import SMALL, ComparedPicture, mean, measure
from camiohookd.cli.evaluate.references import read_folder
from camiohookd.pictures.detections import Box, Detection
from camiohookd.pictures.overlap import overlaps
from tests.support.checkout import ROOT

SHARED = ROOT.parent / "shared"
PHOTOGRAPHS = SHARED / "coco-subset"
COURTYARD = SHARED / "courtyard"

BACKGROUND = 0.1
"""Below which overlap with every reference box a detection is of no object.

The bound is TIDE's (Bolya, Foley, Hays, Hoffman: TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV
2020).
"""

Find = Callable[[Path], Iterable[Detection]]
"""A picture's file → what is found in it, with boxes in its pixels."""


class Precision(NamedTuple):
    """Average precision at IoU .50 to .95, of all objects and of those below 32x32 pixels."""

    all: float
    small: float


def average_precision(find: Find, folder: Path = PHOTOGRAPHS, scale: float = 1.0) -> Precision:
    """Return the precision over all photographs, with at most 100 boxes a photograph.

    `scale` is the width in the photograph, in pixels, of one pixel in the boxes that `find` returns.
    """
    known = read_folder(folder)
    assert known.objects is not None
    pictures = [
        ComparedPicture(objects, [_scaled(each, scale) for each in find(path)])
        for path, objects in known.objects.items()
    ]
    labels = {each.label for seen in pictures for each in seen.objects}
    everything = [measure(label, pictures, 0.0).ap for label in labels]
    return Precision(mean(everything), mean(measure(label, pictures, 0.0, SMALL).ap for label in labels))


def _scaled(found: Detection, scale: float) -> Detection:
    return found._replace(box=found.box and Box(*(scale * side for side in found.box)))


@dataclass(slots=True)
class Counted:
    """`expected` objects, of which `right` were found; `wrong` are detections that match none, with their files.

    `on_nothing` of the wrong ones touch no reference box: their intersection over union is below `BACKGROUND`. `second`
    of them are second boxes: the object that they overlap most is found by another one. The others are at an object
    that nothing else finds, and miss its box.
    """

    expected: int = 0
    right: int = 0
    on_nothing: int = 0
    second: int = 0
    wrong: list[tuple[str, Detection]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.right / self.expected


def counted(found: Mapping[str, Sequence[Detection]], folder: Path, score: float, iou: float = 0.5) -> Counted:
    """Match finds of `folder`'s only category, from `score` on and the most probable first, with its reference boxes.

    A find matches the box that it overlaps most among those that are still free. Boxes marked ``iscrowd`` are places
    that count neither way.
    """
    known: dict[str, Any] = json.loads((folder / "instances.json").read_text())
    (label,) = (category["name"] for category in known["categories"])
    result = Counted()
    for image in known["images"]:
        boxes = [each for each in known["annotations"] if each["image_id"] == image["id"]]
        all_boxes = [_box(each) for each in boxes]
        free = [_box(each) for each in boxes if not each.get("iscrowd")]
        ignored = [_box(each) for each in boxes if each.get("iscrowd")]
        result.expected += len(free)
        wanted = [each for each in found[image["file_name"]] if each.label == label and each.probability >= score]
        wrong: list[Detection] = []
        for each in sorted(wanted, key=lambda one: -one.probability):
            assert each.box is not None
            ratios = overlaps([each.box], free)[0] if free else None
            if ratios is not None and ratios.max() >= iou:
                free.pop(int(ratios.argmax()))
                result.right += 1
            elif not any(_inside(each.box, place) >= 0.5 for place in ignored):
                wrong.append(each)
        result.wrong += ((image["file_name"], each) for each in wrong)
        for each in wrong:
            assert each.box is not None
            ratios = overlaps([each.box], all_boxes)[0]
            at_it = boxes[int(ratios.argmax())]
            if ratios.max() < BACKGROUND:
                result.on_nothing += 1
            elif not at_it.get("iscrowd") and _box(at_it) not in free:
                result.second += 1
    return result


def _box(annotation: dict[str, Any]) -> Box:
    left, top, width, height = annotation["bbox"]
    return Box(left, top, left + width, top + height)


def _sides(box: Box) -> tuple[float, float]:
    return box.right - box.left, box.bottom - box.top


def _inside(box: Box, place: Box) -> float:
    """Return the part of `box` that is in `place`."""
    width = min(box.right, place.right) - max(box.left, place.left)
    height = min(box.bottom, place.bottom) - max(box.top, place.top)
    across, down = _sides(box)
    return max(width, 0.0) * max(height, 0.0) / (across * down)

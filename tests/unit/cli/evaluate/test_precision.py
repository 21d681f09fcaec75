"""COCO's average precision, compared with COCO's own program."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it has no type hints
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]  # as above

from camiohookd.cli.evaluate.differences import only_in_first
from camiohookd.cli.evaluate.precision import SMALL, ComparedPicture, mean, measure
from camiohookd.cli.evaluate.references import Reference
from camiohookd.pictures.detections import Box, Detection

LABELS = ("cat", "dog", "bird")


def some_pictures(seed: int) -> list[ComparedPicture]:
    """Return pictures with boxes of many sizes, crowds, finds that nearly fit, and finds that do not."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(12):
        objects, found = [], []
        for _ in range(random.integers(0, 9)):
            left, top, width, height = random.uniform((0, 0, 4, 4), (300, 300, 120, 120))
            label = str(random.choice(LABELS))
            crowd = bool(random.random() < 0.1)
            box = Box(left, top, left + width, top + height)
            objects.append(Reference(label, box, crowd, float(width * height * random.uniform(0.5, 1))))
            for _ in range(random.integers(0, 4)):
                moved = Box(*(side + random.normal(0, 4) for side in box))
                if moved.left < moved.right and moved.top < moved.bottom:
                    found.append(Detection(str(random.choice([label, "dog"])), float(random.uniform(0, 1)), moved))
        pictures.append(ComparedPicture(objects, found))
    return pictures


def by_coco(pictures: list[ComparedPicture]) -> tuple[float, float, float]:
    """Return AP, AP at .5 and AP of small objects from COCO's own program."""
    ids = {label: nth for nth, label in enumerate(LABELS, start=1)}

    def sides(box: Box) -> list[float]:
        return [box.left, box.top, box.right - box.left, box.bottom - box.top]

    annotations = [
        {"image_id": nth, "category_id": ids[each.label], "bbox": sides(each.box), "area": each.area}
        | {"iscrowd": int(each.crowd)}
        for nth, seen in enumerate(pictures)
        for each in seen.objects
    ]
    found = [
        {"image_id": nth, "category_id": ids[each.label], "bbox": sides(each.box), "score": each.probability}
        for nth, seen in enumerate(pictures)
        for each in seen.found
        if each.box
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints a table
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": nth} for nth in range(len(pictures))],
            "categories": [{"id": number, "name": label} for label, number in ids.items()],
            "annotations": [{"id": nth, **each} for nth, each in enumerate(annotations, start=1)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1]), float(evaluation.stats[3])


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_that_of_cocos_own_program(seed: int) -> None:
    pictures = some_pictures(seed)
    measured = [measure(label, pictures, 0.5) for label in LABELS]
    small = [measure(label, pictures, 0.5, SMALL) for label in LABELS]
    ours = (mean(each.ap for each in measured), mean(each.ap50 for each in measured), mean(each.ap for each in small))
    assert ours == pytest.approx(by_coco(pictures), abs=1e-3)


def test_counts_what_is_right_wrong_and_missed_from_a_score_on() -> None:
    box, elsewhere = Box(0, 0, 10, 10), Box(50, 50, 60, 60)
    objects = [Reference("cat", box), Reference("cat", elsewhere), Reference("cat", Box(80, 80, 99, 99), crowd=True)]
    found = [
        Detection("cat", 0.9, box),
        Detection("cat", 0.8, box),  # the same object again
        Detection("cat", 0.7, Box(85, 85, 90, 90)),  # in the crowd
        Detection("cat", 0.4, elsewhere),
        Detection("dog", 0.9, box),
    ]
    result = measure("cat", [ComparedPicture(objects, found)], 0.5)
    assert (result.objects, result.right, result.wrong) == (2, 1, 1)
    assert (result.precision, result.recall) == (0.5, 0.5)
    nothing = measure("cow", [ComparedPicture(objects, found)], 0.5)
    assert math.isnan(nothing.ap)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
    assert math.isnan(mean([]))


def test_only_in_first_pairs_each_find_once() -> None:
    box, near, far = Box(0, 0, 10, 10), Box(1, 0, 11, 10), Box(50, 50, 60, 60)
    one = [Detection("cat", 0.9, box), Detection("cat", 0.8, near), Detection("dog", 0.7, far)]
    other = [Detection("cat", 0.5, near), Detection("cat", 0.5, far)]
    assert only_in_first(one, other) == [Detection("cat", 0.8, near), Detection("dog", 0.7, far)]
    assert only_in_first([Detection("rain", 0.9, None)], [Detection("rain", 0.1, None)]) == []
    assert only_in_first([Detection("rain", 0.9, None)], [Detection("rain", 0.1, box)]) != []

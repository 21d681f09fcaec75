"""Teach two kinds of objects, and show others: what is taken for one of the two, and what is still recognized.

cars and persons of COCO ─▶ of other kinds, how many are taken for one? of a camera's persons, how many are recognized?
cars and the camera's persons of earlier pictures ─▶ the same
"""

import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from camiohookd.cli.evaluate.references import read_folder
from camiohookd.labelers.onnx.features import FeatureModel, open_features
from camiohookd.labelers.taught import crops
from camiohookd.labelers.taught.learning import Learned
from camiohookd.labelers.taught.teaching import Example, Subject, teach
from tests.bench import taught
from tests.bench.harness import Result, result
from tests.support.box_accuracy import COURTYARD

TAUGHT_PERSONS = 20
"""How many persons of the camera are taught."""

_row = partial(result, "elsewhere", unit="")


def run() -> Iterator[Result]:
    model = open_features(taught.SHIPPED)
    kinds = taught.coco_kinds()
    cars, persons = (taught.read(kinds[name]) for name in taught.KINDS)
    others = [each for name, kind in kinds.items() if name not in taught.KINDS for each in taught.read(kind)]
    files = sorted(COURTYARD.glob("*.jpg"))
    earlier, later = (list(_persons(some)) for some in (files[: len(files) // 2], files[len(files) // 2 :]))
    earlier = random.Random(1).sample(earlier, TAUGHT_PERSONS)  # the choice need not be secret
    subject = Subject("kinds", None, "object", flip=True)
    for what, examples in (("persons", persons), ("a camera's persons", earlier)):
        learned = teach(subject, [*cars, *examples], model, "0" * 64, keep_crops=False).learned()
        wrong = len(others) - _said(learned, model, others).count(None)
        right = _said(learned, model, later).count(1)
        yield _row(f"cars and {what} are taught: of {len(others)} objects of other kinds, taken for one", wrong)
        yield _row(f"cars and {what} are taught: of {len(later)} persons of the camera, recognized", right)


def _said(learned: Learned, model: FeatureModel, asked: Sequence[Example]) -> list[int | None]:
    return [learned.verdict(model.features(crops.cut(each.image, each.box)).astype(float)).label for each in asked]


def _persons(files: Sequence[Path]) -> Iterator[Example]:
    """Return the courtyard's persons in some of its pictures as examples; each picture is an event."""
    for path, objects in (read_folder(COURTYARD).objects or {}).items():
        if path in files:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            for nth, each in enumerate(objects):
                box = crops.widened(each.box, crops.MARGIN)
                yield Example(f"{path.name} {nth}", "person", path.name, image, box)

"""Measure the shipped model with the shipped code on photographs with known contents."""

import json
from collections import defaultdict

import pytest

from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.pictures.decode import PictureLimits, decode
from tests.support.checkout import ROOT

COCO = ROOT.parent / "shared/coco-subset"
CLASSES = {"person", "bicycle", "car", "motorcycle", "bus", "truck", "bird", "cat", "dog"}
SCORE = 0.4
LEAST_F1 = 0.82


def objects_by_file() -> dict[str, set[str]]:
    known = json.loads((COCO / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in known["categories"]}
    files = {image["id"]: image["file_name"] for image in known["images"]}
    objects: defaultdict[str, set[str]] = defaultdict(set)
    for annotation in known["annotations"]:
        objects[files[annotation["image_id"]]].add(names[annotation["category_id"]])
    return {name: objects[name] & CLASSES for name in files.values()}


def test_labels_of_photographs_reach_the_models_measured_f1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not COCO.is_dir():  # their license does not let us ship these photographs
        pytest.skip(f"NOT TESTED: the model's accuracy, because {COCO} is not there")
    labeler = open_onnx(ROOT / "models/ssdlite-mobilenet-v2-coco")
    right = wrong = missed = 0
    photographs = objects_by_file()
    for name, present in photographs.items():
        picture = decode((COCO / name).read_bytes(), PictureLimits(), labeler.input_size)
        found = {detection.label for detection in labeler.detect(picture, SCORE)} & CLASSES
        right += len(found & present)
        wrong += len(found - present)
        missed += len(present - found)
    f1 = 2 * right / (2 * right + wrong + missed)
    with capsys.disabled():
        print(f"\nimage-level F1 on {len(photographs)} photographs: {f1:.3f} ({right=}, {wrong=}, {missed=})")
    assert len(photographs) > 30
    assert f1 >= LEAST_F1

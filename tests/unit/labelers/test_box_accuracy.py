"""Measure two real detectors with the shipped code on labeled photographs: box AP as COCO defines it."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it has no type hints
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]  # as above

from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.pictures.decode import PictureLimits, decode
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import model_folder

SHARED = ROOT.parent / "shared"
PHOTOGRAPHS = SHARED / "coco-subset"
SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
YOLOX = SHARED / "models/yolox_nano_416_coco.onnx"
SCORE = 0.01

PrintFigure = Callable[[str], None]


def average_precision(folder: Path) -> float:
    """Return a model's AP at IoU .50 to .95 over all 33 photographs, with at most 100 boxes a photograph."""
    known: dict[str, Any] = json.loads((PHOTOGRAPHS / "instances.json").read_text())
    ids = {category["name"]: category["id"] for category in known["categories"]}
    labeler = open_onnx(folder)
    found = [
        {
            "image_id": image["id"],
            "category_id": ids[each.label],
            "bbox": [each.box.left, each.box.top, each.box.right - each.box.left, each.box.bottom - each.box.top],
            "score": each.probability,
        }
        for image in known["images"]
        for each in labeler.detect(
            decode((PHOTOGRAPHS / image["file_name"]).read_bytes(), PictureLimits(), labeler.input_size), SCORE
        )
        if each.box and each.label in ids
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints a table
        truth = COCO(PHOTOGRAPHS / "instances.json")
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def needs(*files: Path) -> None:
    missing = [str(file) for file in files if not file.exists()]
    if missing:  # their licenses do not let us ship these photographs and this model
        pytest.skip(f"NOT TESTED: box AP, because {', '.join(missing)} is not there")


def test_the_shipped_model_reaches_its_measured_ap(print_figure: PrintFigure) -> None:
    needs(PHOTOGRAPHS)
    ap = average_precision(SHIPPED)
    print_figure(f"box AP of SSDLite int8 on 33 photographs at score {SCORE}: {ap:.3f}")
    assert ap >= 0.27


def test_yolox_nano_reaches_its_measured_ap(tmp_path: Path, print_figure: PrintFigure) -> None:
    needs(PHOTOGRAPHS, YOLOX)
    labels = [label for label in load_description(SHIPPED).labels if label]
    into = {"width": 416, "height": 416, "color_order": "BGR", "resize": "letterbox"}
    ap = average_precision(model_folder(tmp_path, YOLOX.read_bytes(), "yolox", labels, input=into))
    print_figure(f"box AP of YOLOX-Nano on 33 photographs at score {SCORE}: {ap:.3f}")
    assert ap >= 0.30

"""Measure two real detectors with the shipped code on labeled photographs: box AP as COCO defines it."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.labelers.onnx.open import open_configured
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection
from tests.bench.courtyard import sequence
from tests.support.box_accuracy import COURTYARD, PHOTOGRAPHS, SHARED, average_precision, counted
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import model_folder

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
YOLOX = SHARED / "models/yolox_nano_416_coco.onnx"
SCORE = 0.01

PrintFigure = Callable[[str], None]


def as_the_service(folder: Path) -> OnnxLabeler:
    labeler, _ = open_configured(folder, device="cpu", on_degraded=print)
    return labeler


def box_ap(folder: Path) -> float:
    labeler = as_the_service(folder)
    return average_precision(
        lambda file: labeler.detect(decode(file.read_bytes(), PictureLimits(), labeler.input_size), SCORE)
    ).all


def needs(*files: Path) -> None:
    missing = [str(file) for file in files if not file.exists()]
    if missing:  # their licenses do not let us ship these photographs and this model
        pytest.skip(f"NOT TESTED: box AP, because {', '.join(missing)} is not there")


def test_the_shipped_model_reaches_its_measured_ap(print_figure: PrintFigure) -> None:
    needs(PHOTOGRAPHS)
    ap = box_ap(SHIPPED)
    print_figure(f"box AP of SSDLite int8 on 33 photographs at score {SCORE}: {ap:.3f}")
    assert ap >= 0.27


def test_false_finds_are_told_apart(tmp_path: Path) -> None:
    known = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [left, 0, 20, 40]} for left in (0, 100)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(known))
    found = {
        "a.jpg": [
            Detection("person", probability, Box(left, 0, left + 20, 40))
            for left, probability in ((0, 0.5), (4, 0.9), (108, 0.8), (200, 0.7))
        ]
    }
    outcome = counted(found, tmp_path, 0.4)
    assert (outcome.right, len(outcome.wrong), outcome.on_nothing, outcome.second) == (1, 3, 1, 1)


def test_auto_finds_people_who_are_far_away(print_figure: PrintFigure) -> None:
    needs(COURTYARD)
    looked = sequence(as_the_service(SHIPPED), "auto", "drop")
    outcome = counted(looked.found, COURTYARD, 0.4)
    print_figure(f"persons found in a courtyard: {outcome.recall:.3f}, {len(outcome.wrong)} false, {looked.runs} runs")
    assert outcome.recall >= 0.86
    assert len(outcome.wrong) <= 8
    assert looked.runs <= 0.6 * 20 * 10  # 3x3 takes ten runs for each of the 20 pictures


def test_yolox_nano_reaches_its_measured_ap(tmp_path: Path, print_figure: PrintFigure) -> None:
    needs(PHOTOGRAPHS, YOLOX)
    labels = [label for label in load_description(SHIPPED).labels if label]
    into = {"width": 416, "height": 416, "color_order": "BGR", "resize": "letterbox"}
    ap = box_ap(model_folder(tmp_path, YOLOX.read_bytes(), "yolox", labels, input=into))
    print_figure(f"box AP of YOLOX-Nano on 33 photographs at score {SCORE}: {ap:.3f}")
    assert ap >= 0.30


def test_yolox_nano_in_half_precision_is_as_precise(tmp_path: Path, long_run: bool, print_figure: PrintFigure) -> None:
    if not long_run:
        pytest.skip("NOT TESTED: a trained model in half precision, which is measured in a long run (--long) only")
    needs(PHOTOGRAPHS, YOLOX)
    converter = importlib.import_module("onnxruntime.transformers.float16")  # it has no types
    file = tmp_path / "half.onnx"
    onnx.save(converter.convert_float_to_float16(onnx.load(YOLOX)), file)
    assert run(["models", "add", str(file), "--into", str(tmp_path), "--labels", "coco"]) == ExitStatus.FINE
    ap = box_ap(tmp_path / "half")
    print_figure(f"box AP of YOLOX-Nano in half precision on 33 photographs at score {SCORE}: {ap:.3f}")
    assert ap >= 0.30

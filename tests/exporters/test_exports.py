"""Add models from real exporters with `camiohookd models add`; only ``--long`` installs the exporters.

No package contains the exporters of PP-YOLOE, nor those of RT-DETR's and D-FINE's authors, so only graphs of their form
are tested (`tests/unit/cli/test_models_in_the_wild.py`).
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.contract import IMAGENET
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.pictures.decode import PictureLimits, decode
from tests.support.checkout import ROOT
from tests.support.environments import environment

HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".build/exporters"
REQUIREMENTS = HERE / "requirements.txt"
CAT = ROOT / "camiohookd/samples/chelsea.jpg"
SECONDS = 1800
WITH_MEAN = ("rfdetr", "transformers-detr", "transformers-yolos", "torchvision-mobilenet")


@pytest.fixture(scope="module")
def exports(long_run: bool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every export. The exporters' environment is made at its first use and takes 6 GB."""
    if not long_run:
        pytest.skip("NOT TESTED: models from real exporters, which are installed in a long run (--long) only")
    folder = tmp_path_factory.mktemp("exports")
    environ = {**os.environ, "HOME": str(folder), "YOLO_AUTOINSTALL": "false"}
    python = environment(ENVIRONMENT, REQUIREMENTS, lambda: sys.executable, "models from real exporters")
    command = [str(python), str(HERE / "export.py"), str(folder)]
    subprocess.run(command, check=True, timeout=SECONDS, env=environ, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.parametrize(
    ("name", "decoder", "size", "options", "extra"),
    [
        ("yolov8", "yolo", (640, 640), {}, []),
        ("yolo11-dynamic", "yolo", (320, 320), {}, []),
        ("yolo11-nms", "yolo", (320, 320), {"end_to_end": True}, []),
        ("yolov10", "yolo", (320, 320), {"end_to_end": True}, []),
        ("yolov10-raw", "yolo", (320, 320), {}, []),
        ("yolov8-wide", "yolo", (416, 256), {}, []),
        ("yolov8-batch", "yolo", (320, 320), {}, []),
        ("yolov8-opset12", "yolo", (320, 320), {}, []),
        ("yolov8-opset20", "yolo", (320, 320), {}, []),
        ("yolov5u", "yolo", (320, 320), {}, []),
        ("yolov8-seg", "yolo", (320, 320), {"masks": 32}, []),
        ("yolov8-cls", "classify", (224, 224), {"activation": "none"}, []),
        ("torchvision-ssdlite", "torchvision", (320, 320), {}, ["--labels", "coco"]),
        ("torchvision-fasterrcnn", "torchvision", (320, 320), {}, ["--labels", "coco", "--size", "320x320"]),
        ("torchvision-mobilenet", "classify", (224, 224), {"activation": "softmax"}, []),
        ("ultralytics-rtdetr", "yolo", (320, 320), {"end_to_end": True, "fractions": True}, []),
        ("rfdetr", "detr", (384, 384), {}, []),
        ("transformers-rtdetr", "detr", (256, 256), {}, []),
        ("transformers-dfine", "detr", (256, 256), {}, []),
        ("transformers-detr", "detr", (256, 256), {"activation": "softmax"}, []),
        ("transformers-yolos", "detr", (256, 256), {"activation": "softmax"}, []),
    ],
)
def test_an_export_is_used_as_it_was_meant(
    exports: Path,
    tmp_path: Path,
    name: str,
    decoder: str,
    size: tuple[int, int],
    options: dict[str, Any],
    extra: list[str],
) -> None:
    file = exports / f"{name}.onnx"
    assert run(["models", "add", str(file), "--into", str(tmp_path), *extra]) == ExitStatus.FINE
    description = load_description(tmp_path / name)
    assert (description.decoder, description.options) == (decoder, options)
    assert (description.input.width, description.input.height) == size
    has_mean = list(description.input.mean) == IMAGENET["mean"]
    assert has_mean == (name in WITH_MEAN)
    labeler = open_onnx(tmp_path / name)
    labeler.detect(decode(CAT.read_bytes(), PictureLimits(), labeler.input_size), 0.0)


@pytest.mark.parametrize(("name", "words"), [("yolov8-pose", "the joints of a body"), ("yolov8-obb", "rotated boxes")])
def test_an_export_without_boxes_is_refused(
    exports: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    assert run(["models", "add", str(exports / f"{name}.onnx"), "--into", str(tmp_path)]) == ExitStatus.CONFIG
    assert words in capfd.readouterr().err


def test_the_requirements_are_pinned() -> None:
    assert all("==" in line for line in REQUIREMENTS.read_text().splitlines())

"""`camiohookd evaluate`: which model, and how close a look, finds more in the owner's pictures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camiohookd.cli import ExitStatus, run
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import constant_model, model_folder

Output = Callable[[], str]
SAMPLES = ROOT / "camiohookd/samples"


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Output:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "no settings"))
    return lambda: capfd.readouterr().out


def finder(folder: Path, *boxes: tuple[float, float, float, float], label: int = 0) -> str:
    """Return a model that finds cats (or dogs) in the same places, top, left, bottom, right, of each picture."""
    places = np.array([boxes], np.float32)
    scores = np.zeros((1, len(boxes), 2), np.float32)
    scores[0, :, label] = np.linspace(0.9, 0.6, len(boxes))
    model = constant_model({"scores": scores, "boxes": places})
    return str(model_folder(folder, model, "ssd", ["cat", "dog"]))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for nth in range(2):
        Image.new("RGB", (200, 100), (90, 90, 90)).save(folder / f"{nth}.jpg")
    return folder


LEFT, RIGHT = (0.2, 0.1, 0.8, 0.4), (0.2, 0.6, 0.8, 0.9)


def test_a_table_says_which_model_is_best_and_ends_with_the_settings(
    tmp_path: Path, pictures: Path, output: Output
) -> None:
    (pictures / "classes.txt").write_text("cat\ncow\n")
    for nth in range(2):
        (pictures / f"{nth}.txt").write_text("0 0.25 0.5 0.3 0.6\n1 0.5 0.5 0.1 0.1\n")
    wrong, right = finder(tmp_path / "wrong", RIGHT), finder(tmp_path / "right", LEFT, RIGHT)
    arguments = ["--model", wrong, "--model", right, "--detail", "whole", "--annotate", str(tmp_path / "drawn")]
    assert run(["evaluate", str(pictures), *arguments]) == ExitStatus.FINE
    text = output()
    rows = [line.split() for line in text.splitlines()]
    assert "2 pictures, YOLO's files" in text
    assert ["A", ".000", ".000", ".000", ".000"] in [row[:5] for row in rows]
    assert ["B", "1.00", "1.00", ".500", "1.00"] in [row[:5] for row in rows]
    assert ["cat", "2", ".000", ".000", ".000", "1.00", ".500", "1.00"] in rows
    assert "left out, because not every model knows them: cow" in text
    assert text.endswith(
        f'the best is B: the highest AP; for camiohookd.toml:\n[labeler]\nmodel = "{right}"\ndetail = "whole"\n'
    )
    drawn = sorted(file.name for file in (tmp_path / "drawn").iterdir())
    assert drawn == ["A-B-001-0.jpg", "A-B-002-1.jpg"]
    with Image.open(tmp_path / "drawn" / drawn[0]) as image:
        assert image.size == (408, 124)


def test_without_references_it_shows_what_only_one_finds(tmp_path: Path, pictures: Path, output: Output) -> None:
    one, other = finder(tmp_path / "one", LEFT), finder(tmp_path / "other", LEFT, label=1)
    arguments = ["--detail", "whole", "--limit", "1"]
    assert run(["evaluate", str(pictures), "--model", one, "--model", other, *arguments]) == ExitStatus.FINE
    text = output()
    assert "1 picture, no reference files" in text
    assert "A and B: 2 objects found by one of them only" in text
    assert "only A  cat               0.90" in text
    assert "only B  dog               0.90" in text
    assert f'model = "{other}"' in text
    assert run(["evaluate", str(pictures), "--model", one, *arguments]) == ExitStatus.FINE
    assert "nothing says what is in the pictures: give a second --model or --detail" in output()


def test_every_model_is_tried_with_every_detail(pictures: Path, output: Output) -> None:
    shutil.copy(SAMPLES / "chelsea.jpg", pictures)
    (pictures / "0.jpg").write_bytes(b"no picture")
    table = {
        "images": [{"id": nth, "file_name": name} for nth, name in enumerate(("chelsea.jpg", "0.jpg"))],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [20, 10, 420, 280]}],
    }
    (pictures / "instances.json").write_text(json.dumps(table))
    assert run(["evaluate", str(pictures), "--detail", "whole", "--detail", "2x2"]) == ExitStatus.FINE
    text = output()
    assert "A  ssdlite-mobilenet-v2-coco, whole: " in text
    assert "B  ssdlite-mobilenet-v2-coco, 2x2: " in text
    assert 'model = "ssdlite-mobilenet-v2-coco"' in text


def test_says_what_it_cannot_evaluate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(tmp_path)]) == ExitStatus.FAILED
    assert "there are no pictures (.jpg, .jpeg, .png, .webp) in it" in capfd.readouterr().err
    assert run(["evaluate", str(tmp_path / "missing")]) == ExitStatus.USAGE
    assert run(["evaluate", str(tmp_path), "--detail", "9x9"]) == ExitStatus.USAGE


def test_a_classifier_is_refused(
    tmp_path: Path, pictures: Path, output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    model = constant_model({"p": np.zeros((1, 2), np.float32)})
    folder = model_folder(tmp_path / "weather", model, "classify", ["wet", "dry"])
    assert run(["evaluate", str(pictures), "--model", str(folder)]) == ExitStatus.FAILED
    assert "a classifier finds no boxes, which are compared here" in capfd.readouterr().err


def test_own_code_has_to_be_replaced_by_a_model(
    pictures: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMIOHOOKD_LABELER_KIND", "command")
    monkeypatch.setenv("CAMIOHOOKD_LABELER_COMMAND", '["true"]')
    assert run(["evaluate", str(pictures)]) == ExitStatus.USAGE
    assert "the configured labeler runs no model; name models with --model" in capfd.readouterr().err

"""The commands on settings with several [[labeler]]."""

import json
import os
from pathlib import Path

import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.onnx.accelerators.probe import ProbeResult
from camiohookd.labelers.onnx.accelerators.survey import Survey
from camiohookd.labelers.onnx.devices import Device
from tests.support.checkout import ROOT

CAT = str(ROOT / "camiohookd/samples/chelsea.jpg")
TEXT = """
[[labeler]]
device = "cpu"
detail = "whole"

[[labeler]]
kind = "python"
name = "fur"
script = "{folder}/fur.py"
on = ["cat"]
{more}
"""
FUR = """
def compute_labels(images):
    return {image["timestamp"]: {"tabby": {"probability": 0.75}} for image in images}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the settings and of own code, which is written there."""
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CAMIOHOOKD_HOOK_API_KEY", "a-key-of-decent-length-0123456789")
    for listener in ("HOOK", "ADMIN"):
        monkeypatch.setenv(f"CAMIOHOOKD_{listener}_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "camiohookd.toml").write_text(TEXT.format(folder=tmp_path, more=""))
    (tmp_path / "fur.py").write_text(FUR)
    return tmp_path


def test_label_says_which_labeler_found_an_object(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "--explain", CAT]) == ExitStatus.FINE
    header, *rows = capfd.readouterr().out.splitlines()
    assert header.split() == ["FILE", "LABEL", "PROBABILITY", "BOX", "LABELER", "RESULT"]
    by_label = {row.split()[1]: row for row in rows}
    assert "  ssdlite-mobilenet-v2-coco  kept" in by_label["cat"]
    assert "  fur  " in by_label["tabby"]
    assert by_label["tabby"].index("kept") == by_label["cat"].index("kept")
    assert run(["label", "--json", CAT]) == ExitStatus.FINE
    found = json.loads(capfd.readouterr().out)
    assert found["labels"]["tabby"]["polygon"] == found["labels"]["cat"]["polygon"]
    assert {each["label"]: each["labeler"] for each in found["detections"]}["tabby"] == "fur"


def test_label_with_a_model_asks_that_one_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "--json", "--model", "ssdlite-mobilenet-v2-coco", CAT]) == ExitStatus.FINE
    assert list(json.loads(capfd.readouterr().out)["labels"]) == ["cat"]


def test_labels_lists_those_of_the_models_and_names_own_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["labels"]) == ExitStatus.FINE
    printed = capfd.readouterr()
    assert {"cat", "person"} <= set(printed.out.splitlines())
    assert printed.err == "labeler fur: your own code makes the labels: see what it returns\n"


def test_check_warns_of_a_labeler_that_is_not_required_and_refuses_one_that_is(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "--as-me"]) == ExitStatus.FINE
    assert capfd.readouterr().err == ""
    (folder / "fur.py").unlink()
    assert run(["check", "--as-me"]) == ExitStatus.FINE
    assert (
        f'warning: labeler "fur" does not work, so events are labeled without it: labeler.script: {folder}/fur.py: '
        in capfd.readouterr().err
    )
    (folder / "camiohookd.toml").write_text(TEXT.format(folder=folder, more="required = true"))
    assert run(["check", "--as-me"]) == ExitStatus.CONFIG
    assert f"{folder}/fur.py: cannot be read" in capfd.readouterr().err


def test_devices_tries_each_model(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = Device("CPUExecutionProvider", "cpu")
    fakes = {"built_in": lambda: [cpu], "offers": lambda *_: [], "try_out": lambda *_: ProbeResult(ms=8.0)}
    monkeypatch.setattr(Survey.__init__, "__kwdefaults__", fakes)
    text = '[[labeler]]\n[[labeler]]\nname = "second"\n[[labeler]]\nkind = "command"\ncommand = ["/opt/labels"]\n'
    (folder / "camiohookd.toml").write_text(text)
    assert run(["devices"]) == ExitStatus.FINE
    lines = [line for line in capfd.readouterr().out.splitlines() if line]
    assert [line.split()[0] for line in lines] == [
        *("ssdlite-mobilenet-v2-coco", "DEVICE", "CPUExecutionProvider", "auto"),
        *("second", "DEVICE", "CPUExecutionProvider", "auto"),
    ]
    assert run(["devices", "--json"]) == ExitStatus.FINE
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["labeler"] for row in rows] == ["ssdlite-mobilenet-v2-coco", "second"]


def test_a_variable_of_the_labeler_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMIOHOOKD_LABELER_DEVICE", "cpu")
    assert run(["check", "--as-me"]) == ExitStatus.CONFIG
    assert "has 2 labelers, and a variable does not say which one it is for" in capfd.readouterr().err
    assert "CAMIOHOOKD_LABELER_DEVICE" in os.environ

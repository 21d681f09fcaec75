"""A model that cannot be used stops the daemon's start with one line and status 78, without a traceback."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from camiohookd.cli import ExitStatus
from tests.support.daemon_process import Daemon
from tests.support.onnx_graphs import constant_model, model_folder

GOOD = constant_model({"p": np.array([[0.75, 0.25]], np.float32)})


def of_opset(version: int) -> bytes:
    model = onnx.load_model_from_string(GOOD)
    model.opset_import[0].version = version
    data: bytes = model.SerializeToString()
    return data


def missing(folder: Path) -> None:
    (model_folder(folder, GOOD, "classify", ["a", "b"]) / "model.onnx").unlink()


def without_description(folder: Path) -> None:
    (model_folder(folder, GOOD, "classify", ["a", "b"]) / "model.toml").unlink()


def of_other_bytes(folder: Path) -> None:
    (model_folder(folder, GOOD, "classify", ["a", "b"]) / "model.onnx").write_bytes(GOOD + b"\0")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (missing, "model.onnx: No such file or directory"),
    "missing description": (without_description, "model.toml"),
    "wrong hash": (of_other_bytes, "sha256"),
    "not ONNX": (
        lambda folder: model_folder(folder, b"no model at all", "classify", ["a", "b"]),
        "ONNX Runtime cannot load the model",
    ),
    "an opset that the runtime lacks": (
        lambda folder: model_folder(folder, of_opset(99), "classify", ["a", "b"]),
        "is till opset",
    ),
    "an operator that the runtime lacks": (
        lambda folder: model_folder(folder, GOOD.replace(b"ReduceMean", b"ReduceMood"), "classify", ["a", "b"]),
        "ReduceMood",
    ),
    "outputs that the decoder does not read": (
        lambda folder: model_folder(folder, GOOD, "ssd", ["a", "b"]),
        "the model's outputs are p; model.toml expects scores, boxes",
    ),
    "labels that do not fit": (
        lambda folder: model_folder(folder, GOOD, "classify", ["a", "b", "c"]),
        "model.toml expects tensor(float) or tensor(float16) [any, 3]",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_an_unusable_model_exits_with_78_and_one_line(tmp_path: Path, what: str) -> None:
    make, complaint = BAD[what]
    make(tmp_path / "model")
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", {"CAMIOHOOKD_LABELER_MODEL": str(tmp_path / "model")})
    done = daemon.command("serve", check=False)
    assert done.returncode == ExitStatus.CONFIG
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert complaint in error

"""`camiohookd models`: list the installed models, and add one."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers import library
from camiohookd.labelers.model import load_description
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import constant_model, model_folder
from tests.support.users import open_folder, ordinary_user

CAT = ROOT / "camiohookd/samples/chelsea.jpg"
YOLOX = ROOT.parent / "shared/models/yolox_nano_416_coco.onnx"

Output = Callable[[], tuple[str, str]]


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    """Return what was printed since the last call, on standard output and standard error."""

    def read() -> tuple[str, str]:
        sys_output = capfd.readouterr()
        return sys_output.out, sys_output.err

    return read


def classifier(tmp_path: Path, metadata: dict[str, str] | None = None) -> Path:
    file = tmp_path / "weather.onnx"
    scores = np.array([[3.0, 1.0]], np.float32)
    file.write_bytes(constant_model({"p": scores}, shape=("n", 3, 32, 32), metadata=metadata))
    return file


def test_the_shipped_model_is_listed_as_verified(output: Output) -> None:
    assert run(["models"]) == ExitStatus.FINE
    head, *rows = output()[0].splitlines()
    assert head.split() == ["NAME", "TASK", "SIZE", "LICENSE", "STATE"]
    assert "ssdlite-mobilenet-v2-coco detection 5.3 MB Apache-2.0 verified" in [" ".join(row.split()) for row in rows]


def test_lists_a_changed_file_and_a_broken_description_with_their_problems(tmp_path: Path) -> None:
    model = constant_model({"p": np.zeros((1, 2), np.float32)})
    model_folder(tmp_path / "a-good-one", model, "classify", ["wet", "dry"])
    (model_folder(tmp_path / "changed", model, "classify", ["wet", "dry"]) / "model.onnx").write_bytes(b"another")
    (tmp_path / "described-wrongly").mkdir()
    (tmp_path / "described-wrongly/model.toml").write_text("task = 3")
    good, changed, wrong = library.installed([tmp_path])
    assert (good.problem, good.size) == (None, len(model))
    assert changed.problem is not None
    assert "its sha256 is" in changed.problem
    assert wrong.problem is not None
    assert "model.toml: task = 3" in wrong.problem


def test_says_which_models_are_not_listed_because_their_folder_is_closed(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_folder() as folder:
        (folder / "closed").mkdir(0)
        folders = [folder / "missing", folder, folder / "closed"]
        with ordinary_user():
            assert library.closed_folders(folders) == [folder / "closed"]
            monkeypatch.setattr(library, "closed_folders", lambda: [folder / "closed"])
            monkeypatch.setattr(library, "installed", list)  # the checkout's own may be in root's folder
            assert run(["models"]) == ExitStatus.FINE
    sudo = "are not listed, because it cannot be read; run this command with sudo"
    assert output()[1] == f"models in {folder}/closed {sudo}\n"


def test_lists_models_as_json(output: Output) -> None:
    assert run(["models", "--json"]) == ExitStatus.FINE
    listed = {each["name"]: each for each in map(json.loads, output()[0].splitlines())}
    assert listed["ssdlite-mobilenet-v2-coco"]["verified"] is True


def test_adds_a_model_with_the_metadata_of_its_exporter(tmp_path: Path, output: Output) -> None:
    file = classifier(tmp_path, {"names": "{0: 'rain', 1: 'sun'}"})
    into = tmp_path / "models"
    assert run(["models", "add", str(file), "--into", str(into), "--license", "MIT"]) == ExitStatus.FINE
    description = load_description(into / "weather")
    assert (description.labels, description.decoder, description.task) == (
        ("rain", "sun"),
        "classify",
        "classification",
    )
    assert (description.input.width, description.input.mean) == (32, (0.485, 0.456, 0.406))
    shown = output()[0]
    assert "rain 0.88" in shown
    assert "<- used" in shown
    assert run(["label", "--model", str(into / "weather"), str(CAT)]) == 0
    assert "rain" in output()[0]


def test_options_override_derived_values(tmp_path: Path) -> None:
    names, license_file = tmp_path / "names.txt", tmp_path / "LICENSE.txt"
    names.write_text("wet\n\n")
    license_file.write_text("do what you like")
    arguments = [
        "--labels",
        str(names),
        "--color-order",
        "BGR",
        "--range",
        "-1..1",
        "--resize",
        "stretch",
        "--name",
        "w",
    ]
    arguments += [
        "--mean",
        "0,0.5,1",
        "--score",
        "0.2",
        "--licence-file",
        str(license_file),
        "--into",
        str(tmp_path / "new"),
    ]
    assert run(["models", "add", str(classifier(tmp_path)), *arguments]) == ExitStatus.FINE
    description = load_description(tmp_path / "new/w")
    assert description.labels == ("wet", "")
    assert (description.input.color_order, description.input.range) == ("BGR", "-1..1")
    assert (description.input.resize, description.input.mean, description.thresholds.score) == (
        "stretch",
        (0, 0.5, 1),
        0.2,
    )
    assert (tmp_path / "new/w/LICENSE").read_text() == "do what you like"


def test_replaces_a_model_of_the_same_name_unless_the_new_one_is_unusable(tmp_path: Path, output: Output) -> None:
    into = tmp_path / "models"
    file = classifier(tmp_path, {"names": "['rain', 'sun']"})
    for score in ("0.3", "0.6"):
        assert run(["models", "add", str(file), "--into", str(into), "--score", score]) == ExitStatus.FINE
    file.write_bytes(b"no model")
    output()
    assert run(["models", "add", str(file), "--into", str(into)]) == ExitStatus.CONFIG
    assert output()[1].startswith(f"camiohookd: error: {file}: ONNX Runtime cannot load the model")
    file.write_bytes(constant_model({"p": np.zeros((1, 2, 3, 4), np.float32)}))
    assert run(["models", "add", str(file), "--into", str(into)]) == ExitStatus.CONFIG
    assert "no decoder can read" in output()[1]
    assert load_description(into / "weather").thresholds.score == 0.6
    assert [each.name for each in into.iterdir()] == ["weather"]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: whose the models are that root adds, which takes root")
def test_gives_a_model_added_by_root_to_the_state_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65533)
    into = tmp_path / "models"
    file = classifier(tmp_path, {"names": "['rain', 'sun']"})
    for _ in range(2):  # the first one of all, and one in its place
        assert run(["models", "add", str(file), "--into", str(into)]) == ExitStatus.FINE
        made = [into, *into.rglob("*")]
        assert {path.name for path in made} == {"models", "weather", "model.toml", "model.onnx"}
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(65534, 65533)}


def test_requires_labels_if_the_model_does_not_name_them(tmp_path: Path, output: Output) -> None:
    assert run(["models", "add", str(classifier(tmp_path)), "--into", str(tmp_path / "new")]) == ExitStatus.CONFIG
    assert "the model's file does not name its 2 labels; give them with --labels" in output()[1]


def test_refuses_labels_that_do_not_fit_the_output_and_adds_nothing(tmp_path: Path, output: Output) -> None:
    names = tmp_path / "names.txt"
    names.write_text("wet\ndry\nice\n")
    file = classifier(tmp_path)
    assert (
        run(["models", "add", str(file), "--labels", str(names), "--into", str(tmp_path / "new")]) == ExitStatus.CONFIG
    )
    assert "'p' is tensor(float)" in output()[1]
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mean", "1,2"], "expected three numbers"),
        (["--size", "640"], "expected width x height"),
        (["--name", "../x"], "cannot be the name of a folder"),
        (["--decoder", "magic"], "is not one of"),
    ],
)
def test_a_wrong_option_is_a_usage_error(tmp_path: Path, output: Output, arguments: list[str], complaint: str) -> None:
    assert run(["models", "add", str(classifier(tmp_path)), *arguments]) == ExitStatus.USAGE
    assert complaint in output()[1]


def test_reports_a_folder_that_cannot_be_created(tmp_path: Path, output: Output) -> None:
    file = classifier(tmp_path, {"names": "['rain', 'sun']"})
    assert run(["models", "add", str(file), "--into", str(file)]) == ExitStatus.USAGE
    assert run(["models", "add", str(file), "--into", "/proc/models"]) == ExitStatus.CONFIG
    assert "/proc/models/weather: cannot be made" in output()[1]


def test_adds_a_published_detector_without_options(tmp_path: Path, output: Output) -> None:
    if not YOLOX.exists():  # its license does not allow us to ship it
        pytest.skip(f"NOT TESTED: YOLOX through `models add`, because {YOLOX} is not there")
    assert run(["models", "add", str(YOLOX), "--into", str(tmp_path)]) == ExitStatus.FINE
    assert re.search(r"BGR +0\.\.255 +none +cat 0\.\d\d   <- used", output()[0])
    assert run(["label", "--model", str(tmp_path / YOLOX.stem), "--explain", "--all", str(CAT)]) == 0
    explained = output()[0]
    assert re.search(r"cat +0\.\d\d +[\d, ]+ kept\n", explained)
    assert re.search(r"dog +0\.\d\d +[\d, ]+ left out: below 0\.4 for dog \(the labeler's default\)\n", explained)

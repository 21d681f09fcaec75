"""Find a model's folder, and use it only if its description and its bytes are valid."""

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.model import FOLDERS, find, load_description, read_model
from tests.support.checkout import ROOT
from tests.support.users import ordinary_user

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
UNUSED_COCO_IDS = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]

DESCRIPTION = f"""
task = "detection"
decoder = "ssd"
file = "model.onnx"
sha256 = "{hashlib.sha256(b"a model").hexdigest()}"
licence = "MIT"
source = "here"
labels = ["cat"]
[input]
name = "images"
width = 300
height = 200
layout = "NCHW"
color_order = "RGB"
range = "0..255"
resize = "stretch"
[thresholds]
score = 0.4
iou = 0.6
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a-model"
    folder.mkdir()
    (folder / "model.toml").write_text(DESCRIPTION)
    (folder / "model.onnx").write_bytes(b"a model")
    return folder


def test_searches_the_folders_in_order(folder: Path, tmp_path: Path) -> None:
    assert find("a-model", [tmp_path / "absent", tmp_path]) == folder


def test_searches_the_folders_of_the_package_the_owner_and_the_checkout() -> None:
    checkouts = ROOT / "models"
    assert list(FOLDERS) == [
        Path("/usr/share/camiohookd/models"),
        Path("/var/lib/camiohookd/models"),
        checkouts,
    ]


def test_uses_a_path_unchanged(folder: Path) -> None:
    assert find(str(folder), []) == folder


def test_a_folder_of_the_working_directory_needs_no_slash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert find("a-model", []) == Path("a-model")


def test_an_unknown_name_lists_the_searched_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"'b-model' is not in {tmp_path}"):
        find("b-model", [tmp_path])


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a model's folder that only root may read, which takes root")
def test_names_an_unreadable_folder_and_searches_the_folders_after_it() -> None:
    with (
        TemporaryDirectory() as hidden,
        TemporaryDirectory() as open_to_all,
    ):  # not in tmp_path, which only its owner may enter
        seen_by_nobody(Path(hidden), Path(open_to_all))


def seen_by_nobody(hidden: Path, open_to_all: Path) -> None:
    open_to_all.chmod(0o755)
    model = open_to_all / "a-model"
    model.mkdir()
    (model / "model.toml").touch()
    with ordinary_user():
        assert find("a-model", [hidden, open_to_all]) == model
        with pytest.raises(ModelError, match=f"not in {hidden} \\(which cannot be read; run this command with sudo\\)"):
            find("b-model", [hidden])


def test_an_unknown_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        find(str(tmp_path / "b-model"))


def test_a_valid_description_gives_the_model(folder: Path) -> None:
    description = load_description(folder)
    assert (description.input.width, description.input.height) == (300, 200)
    assert description.labels == ("cat",)
    assert read_model(folder, description) == b"a model"


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("width = 300", 'width = "300"', "input.width = '300': expected `int`, got `str`"),
        ("width = 300", "width = 0", "input.width = 0: expected `int` >= 1"),
        ("width = 300", "", r"key `width` is missing in \[input\]"),
        ("width = 300", "width = 300\nwidht = 3", r"unknown key `widht` in \[input\], expected are name, width,"),
        ('licence = "MIT"', 'licences = "MIT"', "unknown key `licences`, expected are task, decoder,"),
        ('decoder = "ssd"', 'decoder = "sdd"', "decoder = 'sdd': expected 'ssd' or 'yolox'"),
        ('resize = "stretch"', 'resize = "squeeze"', "input.resize = 'squeeze': expected 'stretch' or 'letterbox'"),
        ('layout = "NCHW"', 'layout = "CHWN"', "input.layout = 'CHWN': expected 'NCHW' or 'NHWC'"),
        ("score = 0.4", "score = 40", "thresholds.score = 40: expected `float` <= 1.0"),
        ('labels = ["cat"]', "labels = [1]", "labels.* = .*1.*: expected `str`, got `int`"),
        ('labels = ["cat"]', "labels = []", r"labels = \[\]: expected `array` of length >= 1"),
        ('file = "model.onnx"', 'file = "../model.onnx"', "file = '../model.onnx': expected"),
        ('sha256 = "', 'sha256 = "x', "sha256 = 'x.*': expected"),
        ("[input]", "[input", "not valid TOML: .*line"),
    ],
)
def test_a_wrong_description_is_an_error_with_file_key_and_expected_value(
    folder: Path, right: str, wrong: str, complaint: str
) -> None:
    assert right in DESCRIPTION
    (folder / "model.toml").write_text(DESCRIPTION.replace(right, wrong))
    with pytest.raises(ModelError, match=f"^{folder}/model.toml: {complaint}"):
        load_description(folder)


def test_a_folder_without_a_description_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.toml: No such file"):
        load_description(tmp_path)


def test_a_description_that_is_not_text_is_an_error(folder: Path) -> None:
    (folder / "model.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="not valid TOML"):
        load_description(folder)


def test_a_missing_model_is_an_error(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx: No such file.*model\.toml names it"):
        read_model(folder, load_description(folder))


def test_one_changed_byte_of_the_model_is_an_error(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"a model!")
    with pytest.raises(ModelError, match=r"its sha256 is .* expects"):
        read_model(folder, load_description(folder))


def test_the_shipped_model_matches_its_description_and_has_cocos_labels() -> None:
    description = load_description(SHIPPED)
    assert read_model(SHIPPED, description)
    assert [number for number, label in enumerate(description.labels, 1) if not label] == UNUSED_COCO_IDS
    assert len(description.labels) == 90
    assert len(set(description.labels)) == 81
    assert (description.labels[0], description.labels[16], description.labels[89]) == ("person", "cat", "toothbrush")


def test_the_shipped_model_has_its_full_license() -> None:
    text = (SHIPPED / "LICENSE").read_text()
    assert load_description(SHIPPED).licence == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text

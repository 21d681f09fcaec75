"""Read what is in pictures from COCO's and YOLO's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from camiohookd.cli.evaluate.references import Reference, read_folder
from camiohookd.errors import CamiohookdError
from camiohookd.pictures.detections import Box


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not looked at")
    return path


def coco(**changes: Any) -> str:
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 9.5, "iscrowd": 1}
    table = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "gone.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [annotation, annotation | {"image_id": 8}],
    }
    return json.dumps(table | changes)


@pytest.mark.parametrize("where", ["", "images"])
def test_reads_cocos_file_and_leaves_out_pictures_that_are_not_there(tmp_path: Path, where: str) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances.json").write_text(coco())
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    path = picture(tmp_path / where / "a.jpg")
    picture(tmp_path / "another.jpg")
    known = read_folder(tmp_path)
    assert known.objects == {path: [Reference("cat", Box(1, 2, 4, 6), True, 9.5)]}
    assert (known.pictures, known.source) == ([path], "instances.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"categories": []}, "category 3 of an annotation is not among the categories"),
        ({"annotations": [{"image_id": 7}]}, "not COCO's reference file"),
    ],
)
def test_says_what_is_wrong_with_cocos_file(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    (tmp_path / "instances.json").write_text(coco(**changes))
    picture(tmp_path / "a.jpg")
    with pytest.raises(CamiohookdError, match=complaint):
        read_folder(tmp_path)


def test_cocos_file_cannot_name_pictures_outside_the_folder(tmp_path: Path) -> None:
    picture(tmp_path / "outside.jpg")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "instances.json").write_text(coco(images=[{"id": 7, "file_name": "../outside.jpg"}]))
    assert read_folder(inside).objects is None


YAML = {
    "a list in one line": "path: x\nnames: ['cat', \"dog\"]  # two\n",
    "a list": "names:\n  - cat\n  - dog\nnc: 2\n",
    "numbers": "nc: 2\nnames:\n  0: cat\n  1: dog # a comment\n",
    "numbers in one line": "names: {0: cat, 1: dog}\n",
}


@pytest.mark.parametrize("form", YAML)
def test_reads_yolos_files_with_names_in_a_data_yaml(tmp_path: Path, form: str) -> None:
    (tmp_path / "data.yaml").write_text(YAML[form])
    first, second = picture(tmp_path / "images/val/1.jpg"), picture(tmp_path / "images/val/2.png")
    (tmp_path / "labels/val").mkdir(parents=True)
    (tmp_path / "labels/val/1.txt").write_text("1 0.5 0.5 0.2 0.4\n\n")
    known = read_folder(tmp_path)
    assert known.objects is not None
    assert list(known.objects) == [first, second]
    (found,) = known.objects[first]
    in_pixels = found.in_pixels(100, 200)
    assert in_pixels.label == "dog"
    assert list(in_pixels.box) == pytest.approx([40, 60, 60, 140])
    assert known.objects[second] == ()


def test_reads_yolos_files_beside_the_pictures_with_classes_txt(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.jpg")
    (tmp_path / "1.txt").write_text("0 0.5 0.5 1 1\n")
    with pytest.raises(CamiohookdError, match=r"no names of their labels: put a classes\.txt there"):
        read_folder(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\n")
    known = read_folder(tmp_path)
    assert known.objects == {path: [Reference("cat", Box(0, 0, 1, 1), as_fractions=True)]}
    for line in ("cat 0 0 1 1", "1 0.5 0.5 1 1", "0 0.5"):
        (tmp_path / "1.txt").write_text(f"0 0.5 0.5 1 1\n{line}\n")
        with pytest.raises(CamiohookdError, match=r"1\.txt, line 2: expected label, center x"):
            read_folder(tmp_path)


def test_a_folder_without_reference_files_has_pictures_alone(tmp_path: Path) -> None:
    path = picture(tmp_path / "deep/er/1.JPG")
    (tmp_path / "notes.txt").write_text("hello")
    assert read_folder(tmp_path) == ([path], None, "")

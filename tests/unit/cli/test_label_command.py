"""`camiohookd label`: picture files → a table, JSON or annotated pictures."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from camiohookd.cli.label.command import label
from camiohookd.errors import CamiohookdError, ModelError
from tests.support.checkout import ROOT

SAMPLES = ROOT / "camiohookd/samples"
CAT, COFFEE = SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(label, [str(argument) for argument in arguments], env=env, catch_exceptions=False)


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def size_of(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def pixels_of(file: Path) -> NDArray[np.int_]:
    with Image.open(file) as image:
        return np.asarray(image).astype(int)


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    file = tmp_path / "unusable.jpg"
    file.write_bytes(b"no picture")
    return file


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Write a picture without objects."""
    file = tmp_path / "gray.jpg"
    Image.new("RGB", (300, 300), "gray").save(file)
    return file


def test_the_table_has_a_header_and_a_row_for_each_object() -> None:
    result = run(CAT, COFFEE)
    heading, *rows = [line.split() for line in result.stdout.splitlines()]
    assert heading == ["FILE", "LABEL", "PROBABILITY", "BOX"]
    assert [row[:2] for row in rows] == [[str(CAT), "cat"], [str(COFFEE), "cup"], [str(COFFEE), "dining"]]
    assert all(0.4 <= float(row[-5]) <= 1 for row in rows)
    assert result.exit_code == 0
    assert result.stderr == ""


def test_the_table_lists_pictures_without_objects(empty: Path) -> None:
    assert run(empty).stdout.splitlines()[1] == f"{empty}  (nothing found)"


def test_json_has_file_labels_detections_and_milliseconds_on_one_line() -> None:
    result = run("--json", CAT, COFFEE)
    cat, coffee = objects(result)
    assert list(cat) == ["file", "labels", "detections", "ms"]
    assert cat["file"] == str(CAT)
    assert list(cat["labels"]) == ["cat"]
    assert set(coffee["labels"]) == {"cup", "dining table"}
    assert list(cat["ms"]) == ["decode", "infer", "total"]
    assert all(milliseconds > 0 for milliseconds in cat["ms"].values())
    assert result.exit_code == 0


def test_escapes_control_characters_in_file_names(tmp_path: Path) -> None:
    for name in ("a\nb.jpg", "a\x1b[2Jb.jpg"):
        shutil.copy(CAT, tmp_path / name)
    result = run(tmp_path / "a\nb.jpg", tmp_path / "a\x1b[2Jb.jpg", tmp_path / "not\nthere.jpg")
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "FILE",
        f"{tmp_path}/a\\nb.jpg",
        f"{tmp_path}/a\\x1b[2Jb.jpg",
    ]
    assert result.stderr == f"{tmp_path}/not\\nthere.jpg: No such file or directory\n"
    assert all(line.isprintable() for line in result.stdout.splitlines())


def test_json_boxes_are_in_pixels_y_down_and_polygons_in_fractions_y_up() -> None:
    (cat,) = objects(run("--json", CAT))
    width, height = size_of(CAT)
    (detection,) = cat["detections"]
    assert list(detection) == ["label", "probability", "box"]
    left, top, right, bottom = detection["box"]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    expected = [[left, bottom], [right, bottom], [right, top], [left, top]]
    assert np.allclose(cat["labels"]["cat"]["polygon"], [[x / width, 1 - y / height] for x, y in expected], atol=0.001)
    assert cat["labels"]["cat"]["probability"] == detection["probability"]


def test_json_has_no_labels_if_nothing_was_found(empty: Path) -> None:
    (nothing,) = objects(run("--json", empty))
    assert (nothing["labels"], nothing["detections"]) == ({}, [])


def test_reports_an_unusable_picture_and_labels_the_others(unusable: Path, tmp_path: Path) -> None:
    result = run("--json", unusable, tmp_path / "absent.jpg", tmp_path, CAT)
    assert [one["file"] for one in objects(result)] == [str(CAT)]
    assert result.stderr.splitlines() == [
        f"{unusable}: the file is not a JPEG picture",
        f"{tmp_path / 'absent.jpg'}: No such file or directory",
        f"{tmp_path}: Is a directory",
    ]
    assert result.exit_code == 1


def test_refuses_png_unless_the_settings_allow_it(tmp_path: Path) -> None:
    png = tmp_path / "cat.png"
    Image.open(CAT).save(png)
    refused = run("--json", png)
    assert refused.stderr == f"{png}: the picture is a PNG, only JPEG is allowed (setting images.formats)\n"
    (let_in,) = objects(run("--json", png, env={"CAMIOHOOKD_IMAGES_FORMATS": '["jpeg", "png"]'}))
    assert list(let_in["labels"]) == ["cat"]


ZONES = """
[[rule]]
camera = "kitchen*"
label_map = { cup = "mug" }
min_probability_of = { "dining table" = 0.9 }
[[rule.zone]]
name = "middle"
polygon = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]
[[rule.zone]]
name = "corner"
kind = "exclude"
polygon = [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]
"""


@pytest.fixture
def zones(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose settings have a rule for the cameras in the kitchen."""
    (tmp_path / "camiohookd.toml").write_text(ZONES)
    return {"CONFIGURATION_DIRECTORY": str(tmp_path)}


def test_applies_the_cameras_rule_as_the_daemon_does(zones: dict[str, str]) -> None:
    (coffee,) = objects(run("--json", "--camera", "kitchen 2", COFFEE, env=zones))
    assert list(coffee["labels"]) == ["mug"]
    assert [found["label"] for found in coffee["detections"]] == ["mug"]
    (elsewhere,) = objects(run("--json", COFFEE, env=zones))
    assert set(elsewhere["labels"]) == {"cup", "dining table"}


def test_the_table_explains_each_detection(zones: dict[str, str]) -> None:
    result = run("--camera", "kitchen", "--all", COFFEE, CAT, env=zones)
    rows = [" ".join(row.split()[1:]) for row in result.stdout.splitlines()]
    assert rows[0] == "LABEL PROBABILITY BOX RESULT"
    assert re.fullmatch(r"cup 0.9\d [\d, ]+ kept as mug", rows[1])
    assert re.fullmatch(
        r"dining table 0.\d\d [\d, ]+ left out: below 0.9 for dining table \(min_probability_of\)", rows[2]
    )
    assert re.search(r"cat 0.9\d [\d, ]+ left out: outside zone middle", "\n".join(rows))
    assert any(row.endswith("left out: below 0.4 for bowl (the labeler's default)") for row in rows)


def test_json_explains_each_detection(zones: dict[str, str]) -> None:
    (coffee,) = objects(run("--camera", "kitchen", "--explain", "--json", COFFEE, env=zones))
    verdicts = {found["label"]: found["verdict"] for found in reversed(coffee["detections"])}
    assert (verdicts["cup"], verdicts["dining table"]) == (
        "kept as mug",
        "left out: below 0.9 for dining table (min_probability_of)",
    )


def test_explains_probabilities_under_a_quarter_only_with_all(zones: dict[str, str]) -> None:
    def probabilities(option: str) -> list[float]:
        (coffee,) = objects(run("--camera", "kitchen", option, "--json", COFFEE, env=zones))
        return [found["probability"] for found in coffee["detections"]]

    assert min(probabilities("--explain")) >= 0.25
    assert min(probabilities("--all")) < 0.25


def test_names_the_setting_of_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "camiohookd.toml").write_text("[[rule]]\nmin_probability = 0.99\n")
    (cat,) = objects(run("--explain", "--json", CAT, env={"CONFIGURATION_DIRECTORY": str(tmp_path)}))
    assert cat["detections"][0]["verdict"] == "left out: below 0.99 for cat (the rule's min_probability)"


def test_prints_no_header_if_no_picture_could_be_labeled(unusable: Path) -> None:
    assert run(unusable).stdout == ""


def test_draws_a_thin_box_around_objects_that_are_left_out(zones: dict[str, str], tmp_path: Path) -> None:
    run("--camera", "kitchen", "--annotate", tmp_path / "without", CAT)
    run("--camera", "kitchen", "--annotate", tmp_path / "with", CAT, env=zones)
    plain, left_out = (
        np.abs(pixels_of(tmp_path / one / "chelsea.jpg") - pixels_of(CAT)) for one in ("without", "with")
    )
    lower_left = np.s_[250:290, :6]  # the box's left side, below all captions
    assert 0 < (left_out[lower_left].max(axis=2) > 60).sum() < (plain[lower_left].max(axis=2) > 60).sum()


def test_draws_zones_in_their_place(zones: dict[str, str], tmp_path: Path, empty: Path) -> None:
    run("--camera", "kitchen", "--annotate", tmp_path / "out", empty, env=zones)
    drawn = pixels_of(tmp_path / "out/gray.jpg") - 128
    green, red = drawn[..., 1] - drawn[..., 0] > 8, drawn[..., 0] - drawn[..., 1] > 8
    assert green[100:200, 100:200].all()
    assert not green[:50].any() | green[230:].any()
    assert red[30:50, 30:50].all()  # beside the name
    assert not red[90:, :60].any()


@pytest.mark.parametrize(
    ("kind", "value", "label"),
    [
        ("SCRIPT", str(ROOT / "camiohookd/examples/labeler.py"), "day"),
        ("COMMAND", json.dumps(["perl", str(ROOT / "camiohookd/examples/labeler.pl")]), "landscape"),
    ],
)
def test_runs_the_owners_code(kind: str, value: str, label: str) -> None:
    environ = {"CAMIOHOOKD_LABELER_KIND": "python" if kind == "SCRIPT" else "command"}
    (cat,) = objects(run("--json", CAT, env=environ | {f"CAMIOHOOKD_LABELER_{kind}": value}))
    assert cat["labels"] == {label: {"probability": 1.0, "polygon": []}}


def test_shows_what_the_owners_code_prints_and_the_place_of_its_error(tmp_path: Path) -> None:
    script = tmp_path / "labeler.py"
    script.write_text("def compute_labels(images):\n    print('looking', len(images))\n    return images[7]")
    environ = {
        "PATH": "/usr/bin:/bin",
        "CONFIGURATION_DIRECTORY": str(tmp_path),
        "CAMIOHOOKD_LABELER_KIND": "python",
        "CAMIOHOOKD_LABELER_SCRIPT": str(script),
    }
    command = [sys.executable, "-m", "camiohookd", "label", str(CAT)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    # A thread reads what the code prints, so the command's own line may come before it.
    assert lines.index("labeler: looking 1") < lines.index("labeler: IndexError: list index out of range")
    assert f"{CAT}: {script}, line 3: IndexError: list index out of range" in lines


def test_shows_labels_of_the_whole_event_without_a_box(tmp_path: Path) -> None:
    (tmp_path / "labeler.py").write_text("def compute_labels(images): return ['busy']")
    environ = {"CAMIOHOOKD_LABELER_KIND": "python", "CAMIOHOOKD_LABELER_SCRIPT": str(tmp_path / "labeler.py")}
    (cat,) = objects(run("--json", CAT, env=environ))
    assert cat["labels"] == ["busy"]
    assert cat["detections"] == [{"label": "busy", "probability": 1.0, "box": []}]


def test_annotated_pictures_have_the_same_size_and_boxes(tmp_path: Path) -> None:
    run("--annotate", tmp_path / "a/b", CAT)
    before, after = (pixels_of(file) for file in (CAT, tmp_path / "a/b/chelsea.jpg"))
    changed = np.abs(before - after).max(axis=2) > 60
    assert before.shape == after.shape
    assert changed[:, :5].any()  # the box's left side
    assert 0.005 < changed.mean() < 0.1


def test_writes_a_picture_without_objects_unchanged(tmp_path: Path, empty: Path) -> None:
    run("--annotate", tmp_path / "out", empty)
    assert np.abs(pixels_of(tmp_path / "out/gray.jpg") - 128).max() < 3


def test_a_small_picture_can_be_annotated_too(tmp_path: Path) -> None:
    Image.open(CAT).resize((90, 60)).save(tmp_path / "small.jpg")
    assert run("--annotate", tmp_path / "out", tmp_path / "small.jpg").exit_code == 0
    assert size_of(tmp_path / "out/small.jpg") == (90, 60)


def test_a_picture_stored_on_its_side_is_annotated_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(CAT).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    run("--annotate", tmp_path / "out", tmp_path / "turned.jpg")
    assert size_of(tmp_path / "out/turned.jpg") == size_of(CAT)


def test_numbers_annotated_pictures_of_the_same_name(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        shutil.copy(CAT, tmp_path / name / "x.jpg")
    run("--annotate", tmp_path / "out", *(tmp_path / name / "x.jpg" for name in "abc"))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["x-2.jpg", "x-3.jpg", "x.jpg"]


def test_never_overwrites_the_given_pictures(tmp_path: Path) -> None:
    shutil.copy(CAT, tmp_path / "x.jpg")
    run("--annotate", tmp_path, tmp_path / "x.jpg")
    assert (tmp_path / "x.jpg").read_bytes() == CAT.read_bytes()
    assert (tmp_path / "x-2.jpg").is_file()


def test_reports_an_annotation_folder_that_cannot_be_created(unusable: Path) -> None:
    with pytest.raises(CamiohookdError, match=f"cannot create the folder {unusable}/out: Not a directory"):
        run("--annotate", unusable / "out", CAT)


def test_reports_an_annotated_picture_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "chelsea.jpg").mkdir()
    with pytest.raises(CamiohookdError, match=f"cannot write {tmp_path}/chelsea.jpg: Is a directory"):
        run("--annotate", tmp_path, CAT)


def test_finds_a_model_by_folder_or_by_name() -> None:
    for model in (ROOT / "models/ssdlite-mobilenet-v2-coco", "ssdlite-mobilenet-v2-coco"):
        (cat,) = objects(run("--json", "--model", model, CAT))
        assert list(cat["labels"]) == ["cat"]


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelError, match="'no-such-model' is not in"):
        run("--model", "no-such-model", CAT)


def test_a_missing_picture_is_a_usage_error() -> None:
    assert run().exit_code == 2


def test_help_names_every_option_and_shows_an_example() -> None:
    text = run("--help").stdout
    for word in (
        "--json",
        "--annotate DIR",
        "--model DIR",
        "--camera NAME",
        "--explain",
        "--event",
        "--detail",
        "IMAGE...",
        "camiohookd label photo.jpg",
    ):
        assert word in text


def test_help_loads_neither_the_model_nor_onnx_runtime() -> None:
    heavy = {"onnxruntime", "numpy", "PIL"}
    program = f"import sys; from camiohookd.cli.label import command; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"


def test_prints_no_warning_for_odd_metadata(tmp_path: Path) -> None:
    Image.open(CAT).save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12garbage")
    program = "from camiohookd.cli.label.command import label; label()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--json", tmp_path / "odd.jpg"], capture_output=True, text=True, check=True
    )
    assert list(json.loads(done.stdout)["labels"]) == ["cat"]
    assert done.stderr == ""


def test_explains_how_closely_a_picture_was_looked_at(zones: dict[str, str]) -> None:
    assert "(labeled by cpu, as a whole and in 4 of 4 tiles)" in run("--explain", "--detail", "2x2", COFFEE).stdout
    assert "(labeled by cpu, as a whole)" in run("--explain", "--detail", "whole", COFFEE).stdout
    (described,) = objects(run("--explain", "--json", "--detail", "2x2", COFFEE, env=zones))
    assert described["looked"]["planned"] == len(described["looked"]["tiles"]) == 4
    assert described["looked"]["changed"] is None


def test_pictures_of_one_event_are_compared(tmp_path: Path) -> None:
    changed, twin = tmp_path / "changed.jpg", tmp_path / COFFEE.name
    shutil.copy(COFFEE, twin)
    with Image.open(COFFEE) as image:
        image.paste("white", (20, 20, 90, 90))
        image.save(changed)
    results = objects(run("--event", "--explain", "--json", "--detail", "auto", COFFEE, twin, changed))
    assert [Path(each["file"]) for each in results] == [COFFEE, twin, changed]
    assert [len(each["looked"]["changed"]) for each in results] == [0, 0, 1]
    (region,) = results[-1]["looked"]["changed"]
    assert region == pytest.approx([20, 20, 90, 90], abs=40)  # the mean around a place reaches farther


def test_one_event_goes_on_without_the_pictures_that_cannot_be_used(unusable: Path, tmp_path: Path) -> None:
    result = run("--event", CAT, unusable, tmp_path / "missing.jpg")
    assert "cat" in result.stdout
    assert "unusable.jpg: the file is not a JPEG picture" in result.stderr
    assert "missing.jpg: No such file" in result.stderr
    assert result.exit_code == 1


def test_draws_the_tiles_that_were_looked_at_if_they_are_to_be_explained(tmp_path: Path, empty: Path) -> None:
    run("--annotate", tmp_path / "plain", "--detail", "2x2", empty)
    assert np.abs(pixels_of(tmp_path / "plain" / empty.name) - pixels_of(empty)).max() < 10
    run("--annotate", tmp_path / "tiles", "--detail", "2x2", "--explain", empty)
    assert (pixels_of(tmp_path / "tiles" / empty.name)[5] - pixels_of(empty)[5]).max() > 30

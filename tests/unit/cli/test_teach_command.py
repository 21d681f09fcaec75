"""`camiohookd teach` and `camiohookd taught`."""

import io
from pathlib import Path

import pytest
from PIL import Image

from camiohookd.cli import ExitStatus, run
from camiohookd.config.rule import Rule
from camiohookd.labelers.taught import places, store
from camiohookd.monitoring.activity import EventLabeled
from camiohookd.monitoring.history.archive import Archive
from camiohookd.pictures.detections import Box, Detection
from camiohookd.system.disk import Disk
from tests.support.checkout import ROOT
from tests.support.history_events import NOW, labeled_event
from tests.support.onnx_graphs import backbone_model, model_folder
from tests.support.taught import lamp

SETTINGS = """
[labeler]
model = "{model}"

[[rule]]
camera = "a:b"

[[rule.zone]]
name = "lamp"
kind = "state"
polygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the settings with a small model, and a state folder; return the latter."""
    model = model_folder(
        tmp_path / "model", backbone_model(), "classify", list("abcde"), input={"width": 64, "height": 64}
    )
    (tmp_path / "camiohookd.toml").write_text(SETTINGS.format(model=model))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def pictures(folder: Path, red: int, green: int, count: int = 6) -> list[str]:
    folder.mkdir(parents=True)
    for nth in range(count):
        lamp(red + 5 * nth, green + 3 * nth).save(folder / f"{nth}.jpg", quality=95)
    return [str(file) for file in sorted(folder.iterdir())]


def test_labels_stand_in_front_of_their_files(tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on, off = pictures(tmp_path / "a", 200, 40), pictures(tmp_path / "b", 40, 200)
    arguments = ["teach", "lamp", "--zone", "a:b:lamp", "--label", "on", *on, "--steady", "2", "--label=off", *off]
    assert run(arguments) == ExitStatus.FINE
    printed = capsys.readouterr().out
    assert "  on: 6 pictures of 6 events\n  off: 6 pictures of 6 events\n" in printed
    assert "each event left out in turn: balanced accuracy 1.000" in printed
    taught = store.read(places.path_of(state, "lamp"))
    assert taught.zone and (taught.zone.camera, taught.zone.name, taught.steady) == ("a:b", "lamp", 2)
    assert [crop.label for crop in taught.crops] == [0] * 6 + [1] * 6


def test_a_folder_has_a_folder_of_pictures_for_each_label_and_nothing_is_kept_if_not_allowed(
    tmp_path: Path, state: Path
) -> None:
    pictures(tmp_path / "all" / "on/off".replace("/", " "), 200, 40)
    pictures(tmp_path / "all" / "green", 40, 200)
    assert run(["teach", "lamp", str(tmp_path / "all"), "--zone", "a:b:lamp", "--no-pictures"]) == ExitStatus.FINE
    taught = store.read(places.path_of(state, "lamp"))
    assert (taught.labels, taught.crops) == (("green", "on off"), ())


def test_what_is_not_learned_well_enough_is_not_kept_unless_the_owner_says_so(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = pictures(tmp_path / "a", 200, 40)
    arguments = ["teach", "lamp", "--zone", "a:b:lamp", "--label", "on", *same, "--label", "off", *same]
    assert run(arguments) == ExitStatus.FAILED
    printed = capsys.readouterr()
    assert "not learned well enough: the same picture is given as on (" in printed.out
    assert 'error: not learned well enough, so "lamp" is not kept (--anyway keeps it)' in printed.err
    assert places.files(state) == []
    assert run([*arguments, "--anyway"]) == ExitStatus.FINE
    assert len(places.files(state)) == 1


def test_kept_events_are_examples(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = Archive(state / "history", 100, disk=Disk())
    for number in range(12):
        color = (200 + 5 * number, 40) if number < 6 else (40, 140 + 5 * number)
        archive.take_in(event(number), NOW)
        archive.keep_thumbnail(number, 0, jpeg(lamp(*color)))
    archive.close()
    on, off = [f"--event={number}" for number in range(6)], [f"--event={number}" for number in range(6, 12)]
    arguments = ["--label", "on", *on, "--label", "off", *off]
    assert run(["teach", "lamp", "--zone", "a:b:lamp", *arguments]) == ExitStatus.FINE
    assert "  on: 6 pictures of 6 events" in capsys.readouterr().out
    assert run(["teach", "lamp", "--zone", "a:b:lamp", "--label", "on", "--event", "99"]) == ExitStatus.FAILED
    assert "no pictures of event 99 are kept" in capsys.readouterr().err


def event(number: int) -> EventLabeled:
    return labeled_event(number, found=(Detection("car", 0.8, Box(0, 0, 64, 64)),), rule=Rule())


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_the_most_probable_object_of_each_picture_is_an_example(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMIOHOOKD_LABELER_MODEL", "ssdlite-mobilenet-v2-coco")
    photo = Image.new("RGB", (1200, 800), (90, 120, 90))
    with Image.open(ROOT / "camiohookd/samples/chelsea.jpg") as cat:
        photo.paste(cat, (0, 0))
    photo.save(tmp_path / "cat.jpg")
    none = pictures(tmp_path / "none", 90, 90, count=1)
    run(
        [
            "teach",
            "pets",
            "--on",
            "cat",
            "--anyway",
            "--label",
            "chelsea",
            str(tmp_path / "cat.jpg"),
            "--label",
            "other",
            *none,
        ]
    )
    assert f"{none[0]}: no cat is found in it, so the whole picture is taken" in capsys.readouterr().err
    first, second = store.read(places.path_of(state, "pets")).crops
    with Image.open(io.BytesIO(first.jpeg)) as found, Image.open(io.BytesIO(second.jpeg)) as whole:
        assert found.width < 350  # of 600, after decoding
        assert whole.size == (64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lamp"], "give either --zone CAMERA:ZONE or --on LABEL"),
        (["lamp", "--zone", "x", "--on", "car"], "give either --zone CAMERA:ZONE or --on LABEL"),
        (["lamp", "--zone", "lamp"], '--zone lamp: expected the camera and the zone, such as "front:gate"'),
        (["lamp", "--zone", "a:b:door"], 'the rule for camera "a:b" has no zone "door" but "lamp"; draw one'),
        (["lamp", "--zone", "c:lamp"], 'the rule for camera "c" has no zone "lamp" but no zone; draw one'),
        (["a/b", "--zone", "a:b:lamp"], '"a/b" cannot be a name'),
        (["lamp", "--zone", "a:b:lamp"], "expected 2 to 20 different labels, given 0"),
        (["lamp", "--zone", "a:b:lamp", "--event", "3"], "give --label NAME in front of --event"),
        (["lamp", "--zone", "a:b:lamp", "--label", "on", "nowhere.jpg"], "'nowhere.jpg' does not exist"),
        (["lamp", "--zone", "a:b:lamp", "--label", "on", "--event", "x"], "'x' is not a valid integer"),
    ],
)
def test_a_mistake_is_reported(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["teach", *arguments]) != ExitStatus.FINE
    assert message in " ".join(capsys.readouterr().err.split())


def test_taught_lists_shows_exports_imports_and_forgets(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["taught"]) == ExitStatus.FINE
    assert "nothing was taught" in capsys.readouterr().out
    on, off = pictures(tmp_path / "a", 200, 40), pictures(tmp_path / "b", 40, 200)
    assert run(["teach", "lamp", "--zone", "a:b:lamp", "--label", "on", *on, "--label", "off", *off]) == ExitStatus.FINE
    (state / "taught" / "torn.taught").write_bytes(b"camiohookd taught 1 ")
    capsys.readouterr()
    run(["taught"])
    head, lamp_row, torn_row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "OF", "LABELS", "PICTURES", "ACCURACY", "STATE"]
    assert " ".join(lamp_row.split()) == "lamp a:b:lamp on, off 12 1.000 in use"
    assert "torn.taught: this is not a file of taught labels" in torn_row
    run(["taught", "show", "lamp"])
    assert "lamp: the state of the zone lamp of camera a:b; in use" in capsys.readouterr().out
    copy = tmp_path / "copy.taught"
    assert run(["taught", "export", "lamp", str(copy), "--no-pictures"]) == ExitStatus.FINE
    assert run(["taught", "export", "lamp", str(copy)]) == ExitStatus.FAILED  # it exists
    assert run(["taught", "forget", "lamp"]) == ExitStatus.FINE
    assert run(["taught", "forget", "lamp"]) == ExitStatus.FAILED
    assert run(["taught", "show", "lamp"]) == ExitStatus.FAILED
    assert run(["taught", "import", str(copy)]) == ExitStatus.FINE
    assert store.read(places.path_of(state, "lamp")).crops == ()


def test_a_file_of_another_model_without_pictures_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on, off = pictures(tmp_path / "a", 200, 40), pictures(tmp_path / "b", 40, 200)
    run(["teach", "lamp", "--zone", "a:b:lamp", "--label", "on", *on, "--label", "off", *off])
    copies = [str(tmp_path / name) for name in ("with", "without")]
    run(["taught", "export", "lamp", copies[0]])
    run(["taught", "export", "lamp", copies[1], "--no-pictures"])
    monkeypatch.setenv("CAMIOHOOKD_LABELER_MODEL", "ssdlite-mobilenet-v2-coco")
    capsys.readouterr()
    assert run(["taught", "import", copies[0]]) == ExitStatus.FINE
    assert "of another model; the daemon teaches it again" in capsys.readouterr().out
    assert run(["taught", "import", copies[1]]) == ExitStatus.FAILED
    assert "was taught with another model and holds no pictures" in capsys.readouterr().err

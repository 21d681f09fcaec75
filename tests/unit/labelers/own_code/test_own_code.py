"""Labels by the owner's own code: real scripts and programs, correct and broken ones."""

import ast
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from textwrap import dedent

import pytest
from PIL import Image

from camiohookd.errors import LabelerDown, LabelerError, LabelingError
from camiohookd.labelers import Findings, Frame
from camiohookd.labelers.own_code.labeler import HELPER, OwnCode, open_command, open_script
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from tests.support.checkout import ROOT

EXAMPLES = ROOT / "camiohookd/examples"
PATIENCE = 20.0
DARK, BRIGHT = (20, 20, 20), (240, 240, 240)
WITHOUT_SITE = f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n'  # a Python without Pillow

Open = Callable[..., OwnCode]


def frame(timestamp: str, color: tuple[int, int, int] = BRIGHT, size: tuple[int, int] = (40, 20)) -> Frame:
    file = BytesIO()
    Image.new("RGB", size, color).save(file, "JPEG")
    return Frame(Picture(timestamp, file.getvalue()), decode(file.getvalue(), PictureLimits(), (1, 1)))


FRAMES = [frame("t1"), frame("t2", DARK, (30, 60))]


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Open]:
    """Yield a function that opens a labeler for a script with the given text."""
    opened: list[OwnCode] = []

    def open_it(text: str, *, interpreter: str = "", deadline: float = PATIENCE) -> OwnCode:
        file = tmp_path / "labeler.py"
        file.write_text(dedent(text))
        opened.append(open_script(str(file), interpreter, deadline))
        return opened[-1]

    yield open_it
    for labeler in opened:
        labeler.close()


def labels_of(findings: Findings) -> list[list[str]]:
    return [[found.label for found in picture] for picture in findings.pictures]


def test_a_script_gets_camios_fields_and_the_picture_with_type_and_size_filled_in(script: Open) -> None:
    labeler = script("""
        def compute_labels(images):
            return [f"{k} {type(v).__name__} {v if k in ('timestamp', 'type', 'size') else ''}".strip()
                    for image in images for k, v in image.items()] + [str(images[1]["image"].getpixel((0, 0)))]
    """)
    assert labeler.label(FRAMES).event == [
        *("timestamp str t1", "image_b64 str", "type str image/jpeg", "size list [40, 20]", "image Image"),
        *("timestamp str t2", "image_b64 str", "type str image/jpeg", "size list [30, 60]", "image Image"),
        str(DARK),
    ]


def test_labels_by_timestamp_become_detections_with_outline_and_box(script: Open) -> None:
    labeler = script("""
        def compute_labels(images):
            triangle = [(0.1, 0.2), (0.5, 0.2), (0.3, 0.7)]
            return {"t1": {"dim": {"probability": 0.5}, "cat": {"probability": 0.75, "polygon": triangle}}}
    """)
    outline = ((0.1, 0.2), (0.5, 0.2), (0.3, 0.7))
    (cat, dim), nothing = labeler.label(FRAMES).pictures
    assert cat == Detection("cat", 0.75, pytest.approx(Box(4, 6, 20, 16)), outline)  # type: ignore[arg-type]  # approx
    assert (dim, nothing) == (Detection("dim", 0.5, None, ()), [])


def test_a_list_of_labels_belongs_to_the_event(script: Open) -> None:
    findings = script("def compute_labels(images): return ['cat', 'dog']").label(FRAMES)
    assert (findings.event, labels_of(findings)) == (["cat", "dog"], [[], []])


def test_accepts_numpy_numbers(script: Open) -> None:
    labeler = script("""
        import numpy as np
        def compute_labels(images):
            return {"t1": {"cat": {"probability": np.float32(0.5), "polygon": np.zeros((3, 2))}}}
    """)
    assert labeler.label(FRAMES).pictures[0][0].probability == 0.5


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ("None", "the labels are nothing, expected a dict by timestamp or a list of labels"),
        ("'cat'", "the labels are a str, expected"),
        ("{'t3': {}}", "labels['t3']: no image of this event has that timestamp"),
        ("{'t1': ['cat']}", "labels['t1'] is a list, expected a dict by label"),
        ("{'t1': {'cat': 0.5}}", "labels['t1']['cat']: expected `object`, got `float`"),
        ("{'t1': {'cat': {}}}", "labels['t1']['cat']: object missing required field `probability`"),
        ("{'t1': {'cat': {'probability': 1.5}}}", "labels['t1']['cat'].probability: expected `float` <= 1.0"),
        ("{'t1': {'cat': {'probability': -1}}}", "labels['t1']['cat'].probability: expected `float` >= 0.0"),
        ("{'t1': {'cat': {'probability': True}}}", "labels['t1']['cat'].probability: expected `float`, got `bool`"),
        (
            "{'t1': {'cat': {'probability': float('nan')}}}",
            "what compute_labels returned['t1']['cat']['probability'] is nan, expected a number from 0 to 1",
        ),
        (
            "{'t1': {'cat': {'probability': 1, 'polygon': [(0, 0), (0, 2), (1, 1)]}}}",
            "labels['t1']['cat'].polygon[1][1]: expected `float` <= 1.0",
        ),
        ("{'t1': {'cat': {'probability': 1, 'polygon': [(0, 0), (1, 1)]}}}", "a polygon has at least three points"),
        ("{'t1': {'': {'probability': 1}}}", "a label is a text of 1 to 200 letters, given ''"),
        ("['cat', 3]", "labels[1]: a label is a text of 1 to 200 letters, given '3'"),
        ("{1: {}}", "what compute_labels returned has the key 1, which is not a string"),
        ("{'t1': object()}", "what compute_labels returned['t1'] is a object, expected a dict, list, string or"),
    ],
)
def test_reports_a_wrong_answer_with_file_and_line_of_the_function(
    script: Open, tmp_path: Path, returned: str, complaint: str
) -> None:
    labeler = script(f"""
        # A comment.
        def compute_labels(images):
            return {returned}
    """)
    with pytest.raises(LabelingError) as caught:
        labeler.label(FRAMES)
    assert str(caught.value).startswith(f"{tmp_path}/labeler.py, line 3: ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1 / 0", "line 4: ZeroDivisionError: division by zero"),
        ("raise ValueError('two\\nlines')", "line 4: ValueError: two lines"),
        ("sys.exit('enough')", "line 4: SystemExit: enough"),
        ("__import__('json').loads('nonsense')", "line 4: JSONDecodeError: Expecting value"),
    ],
)
def test_reports_an_exception_with_its_file_and_line(
    script: Open, line: str, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    labeler = script(f"""
        import sys
        def compute_labels(images):
            {line}
    """)
    for _ in range(2):
        with pytest.raises(LabelingError, match=complaint):
            labeler.label(FRAMES)
    # Another thread logs the program's output, maybe later.
    _wait_for(lambda: any("labeler: Traceback" in message for message in caplog.messages))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def compute_labels(images)\n", "labeler.py, line 1: expected ':'"),
        ("import nonsense_module\n", "labeler.py, line 1: ModuleNotFoundError: No module named 'nonsense_module'"),
        ("compute_label = print\n", "labeler.py: it defines no function compute_labels"),
        ("import sys\nsys.exit(3)\n", "labeler.py, line 2: SystemExit: 3"),
        ("import os\nos._exit(3)\n", "labeler.py ended with status 3 before it answered"),
        ("import os\nos.kill(os.getpid(), 11)\n", "labeler.py was ended by signal 11 .Segmentation fault."),
    ],
)
def test_an_unloadable_script_stops_the_start_and_names_file_and_line(script: Open, text: str, complaint: str) -> None:
    with pytest.raises(LabelerError, match=complaint):
        script(text)


def test_a_missing_script_or_program_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(LabelerError, match=f"{tmp_path}/labeler.py: cannot be read: No such file or directory"):
        open_script(str(tmp_path / "labeler.py"), "", 1)
    (tmp_path / "labeler.py").write_text("")
    with pytest.raises(LabelerError, match=f"cannot be started: {tmp_path}/python: No such file"):
        open_script(str(tmp_path / "labeler.py"), str(tmp_path / "python"), 1)
    with pytest.raises(LabelerError, match=r"labeler\.command is empty"):
        open_command([], 1)


def test_a_script_may_print_and_read_and_its_output_is_logged(script: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    labeler = script("""
        import os, subprocess, sys
        def compute_labels(images):
            print("hello \\x1b[2J")
            os.write(1, b"raw\\n")
            subprocess.run(["echo", "from a child"])
            return [repr(sys.stdin.read())]
    """)
    assert labeler.label(FRAMES).event == ["''"]
    _wait_for(lambda: "labeler: from a child" in caplog.messages)
    assert {"labeler: hello \\x1b[2J", "labeler: raw"} <= set(caplog.messages)


def test_limits_the_logged_output_of_a_script(script: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    labeler = script("""
        def compute_labels(images):
            for n in range(100_000): print(n)
            return ["done"]
    """)
    assert labeler.label(FRAMES).event == ["done"]
    _wait_for(lambda: any("prints too much" in message for message in caplog.messages))
    assert len(caplog.messages) <= 402  # the limit of two minutes, in case a new minute begins


def test_its_environment_holds_no_key(script: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAMIOHOOKD_HOOK_API_KEY", "CAMIO_OAUTH_TOKEN", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "secret-1234567890")
    labeler = script("""
        import os
        def compute_labels(images):
            return sorted(os.environ)
    """)
    names = labeler.label(FRAMES).event
    assert names is not None
    assert "PATH" in names
    assert not [name for name in names if "CAMIO" in name or name in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")]


def test_kills_a_hanging_script_and_its_children_at_the_deadline_and_labels_the_next_event(
    script: Open, tmp_path: Path
) -> None:
    labeler = script(
        f"""
        import subprocess
        def compute_labels(images):
            if len(images) == 1:
                child = subprocess.Popen(["sleep", "600"])
                open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
                child.wait()
            return ["fine"]
        """,
        deadline=1.5,
    )
    with pytest.raises(LabelingError, match=r"labeler\.py gave no answer within 1\.5 s \(setting labeler\.deadline\)"):
        labeler.label(FRAMES[:1])
    assert labeler.label(FRAMES).event == ["fine"]
    child = int((tmp_path / "child").read_text())
    _wait_for(lambda: _state(child) in ("gone", "Z"))


def test_a_kill_during_an_event_fails_only_that_try(script: Open, caplog: pytest.LogCaptureFixture) -> None:
    labeler = script("""
        import os, signal
        def compute_labels(images):
            if len(images) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return ["fine"]
    """)
    for _ in range(2):
        with pytest.raises(LabelingError, match=r"labeler\.py was killed before it answered"):
            labeler.label(FRAMES[:1])
        assert labeler.label(FRAMES).event == ["fine"]


def test_a_kill_between_two_events_loses_nothing(script: Open, caplog: pytest.LogCaptureFixture) -> None:
    labeler = script("import os\ndef compute_labels(images): return [str(os.getpid())]")
    (pid,) = labeler.label(FRAMES).event or []
    os.kill(int(pid), signal.SIGKILL)
    _wait_for(lambda: _state(int(pid)) in ("gone", "Z"))
    assert labeler.label(FRAMES).event not in (None, [pid])
    assert any("was killed; starting it again" in message for message in caplog.messages)


def test_a_script_that_breaks_while_running_is_reported_and_used_again_once_repaired(
    script: Open, tmp_path: Path
) -> None:
    labeler = script("import os\ndef compute_labels(images): os._exit(1)")
    (tmp_path / "labeler.py").write_text("nonsense")
    with pytest.raises(LabelingError):
        labeler.label(FRAMES)
    with pytest.raises(LabelerDown, match=r"labeler\.py, line 1: NameError"):
        labeler.label(FRAMES)
    (tmp_path / "labeler.py").write_text("def compute_labels(images): return []")
    assert labeler.label(FRAMES).event == []


def test_close_ends_a_script_that_is_still_answering(script: Open) -> None:
    labeler = script("import time\ndef compute_labels(images): time.sleep(600)", deadline=600)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            labeler.label(FRAMES)
        except (LabelingError, LabelerDown) as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    labeler.close()
    thread.join(PATIENCE)
    assert len(caught) == 1


def test_without_pillow_the_picture_is_given_as_the_files_bytes(script: Open, tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(WITHOUT_SITE)
    interpreter.chmod(0o755)
    labeler = script(
        "def compute_labels(images): return [type(images[0]['image']).__name__]", interpreter=str(interpreter)
    )
    assert labeler.label(FRAMES).event == ["bytes"]


def test_rotates_a_picture_upright_by_its_exif_orientation(script: Open) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    turned = Frame(Picture("t1", file.getvalue()), decode(file.getvalue(), PictureLimits(), (1, 1)))
    labeler = script('def compute_labels(images): return [f\'{images[0]["image"].size} {images[0]["size"]}\']')
    assert labeler.label([turned]).event == ["(20, 40) [20, 40]"]


def test_the_helper_is_one_file_that_needs_only_python_3_8() -> None:
    tree = ast.parse(HELPER.read_text(), feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - {"PIL"} <= sys.stdlib_module_names


@pytest.mark.parametrize("minor", range(8, 15))
def test_the_helper_runs_under_every_installed_python(script: Open, minor: int) -> None:
    interpreter = _python(minor)
    if interpreter is None:
        return  # not installed; the test above checks the helper's imports
    labeler = script(
        "import sys\ndef compute_labels(images): return [str(sys.version_info[:2])]", interpreter=interpreter
    )
    assert labeler.label(FRAMES).event == [f"(3, {minor})"]


def _python(minor: int) -> str | None:
    managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
    return str(managed[0]) if managed else shutil.which(f"python3.{minor}", path="/usr/bin:/usr/local/bin")


def test_the_bundled_script_distinguishes_day_and_night_in_ten_lines() -> None:
    labeler = open_script(str(EXAMPLES / "labeler.py"), "", PATIENCE)
    assert labels_of(labeler.label(FRAMES)) == [["day"], ["night"]]
    assert len((EXAMPLES / "labeler.py").read_text().splitlines()) <= 10
    labeler.close()


def test_the_bundled_program_speaks_the_same_protocol_in_fifteen_lines() -> None:
    labeler = open_command(["perl", str(EXAMPLES / "labeler.pl")], PATIENCE)
    assert labels_of(labeler.label(FRAMES)) == [["landscape"], ["portrait"]]
    assert len((EXAMPLES / "labeler.pl").read_text().splitlines()) <= 15
    labeler.close()


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("echo hello world; cat", r"announces an answer of 1\.75 GB, allowed are 8\.39 MB; does it print"),
        ("printf '\\0\\0\\0\\7nothing'; cat >&2", "its answer cannot be read: JSON is malformed"),
        ("printf '\\0\\0\\0\\5[\"\\377\"]'; cat >&2", "its answer cannot be read: "),
        ('printf \'\\0\\0\\0\\23{"error": "no GPU"}\'; cat >&2', "no GPU"),
        ("exit 5", "ended with status 5 before it answered"),
        ("exec sleep 600", "gave no answer within 1 s"),
    ],
)
def test_a_program_that_breaks_the_protocol_stops_the_start(program: str, complaint: str) -> None:
    with pytest.raises(LabelerError, match=complaint):
        open_command(["/bin/sh", "-c", program], 1)


def test_sends_the_documented_json_to_the_owners_program(tmp_path: Path) -> None:
    """The request has exactly the fields that examples/own-labels.md documents."""
    program = tmp_path / "program.py"
    program.write_text(
        dedent("""
        import json, struct, sys
        while head := sys.stdin.buffer.read(4):
            request = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
            labels = [json.dumps([sorted(request), [sorted(image) for image in request["images"]]])]
            answer = json.dumps({"labels": labels if request["images"] else {}}).encode()
            sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
            sys.stdout.buffer.flush()
        """)
    )
    labeler = open_command([sys.executable, str(program)], PATIENCE)
    (described,) = labeler.label(FRAMES).event or []
    assert json.loads(described) == [["images"], [["image_b64", "size", "timestamp", "type"]] * 2]
    labeler.close()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def _wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "timed out"
        time.sleep(0.02)

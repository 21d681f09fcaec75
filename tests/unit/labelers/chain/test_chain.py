"""Several labelers for an event: real own-code processes and real small graphs, in the event labeler."""

import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from camiohookd.config.rule import Rule
from camiohookd.config.settings import LabelerSettings
from camiohookd.errors import LabelerDown, LabelerError, LabelingError
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.open import open_chain
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler, Interrupted
from camiohookd.worker.event_labels import EventLabels
from tests.support.onnx_graphs import Array, constant_model, model_folder

PATIENCE = 20.0
SIZE = (200, 100)
DOG, CAT = Box(50, 20, 150, 80), Box(10, 10, 40, 90)
"""Where `detector` finds them in a picture of that size."""

Open = Callable[..., Chain]


def about(value: Any) -> Any:
    return pytest.approx(value)


def picture(timestamp: str = "t1", size: tuple[int, int] = SIZE) -> Picture:
    """Return a gray picture; its part with the dog is red."""
    image, file = Image.new("RGB", size, (128, 128, 128)), io.BytesIO()
    image.paste((200, 0, 0), (50, 20, 150, 80))
    image.save(file, "JPEG", quality=95)
    return Picture(timestamp, file.getvalue())


def detector(folder: Path, *, dog: float = 0.9, cat: float = 0.6, score: float = 0.4) -> LabelerSettings:
    """Return the settings of a model that finds a dog and a cat in every picture."""
    scores = np.array([[[dog, 0.0], [0.0, cat]]], np.float32)
    boxes = np.array([[[0.2, 0.25, 0.8, 0.75], [0.1, 0.05, 0.9, 0.2]]], np.float32)  # top, left, bottom, right
    model = constant_model({"scores": scores, "boxes": boxes})
    thresholds = {"score": score, "iou": 0.6}
    model_folder(folder, model, "ssd", ["dog", "cat"], thresholds=thresholds)
    return LabelerSettings(model=str(folder), device="cpu", threads=1, name="detector", detail="whole")


def classifier(
    folder: Path, labels: dict[str, float], *, on: Sequence[str] = (), score: float = 0.5
) -> LabelerSettings:
    """Return the settings of a model that gives every picture these probabilities."""
    output: Array = np.array([list(labels.values())], np.float32)
    model = constant_model({"p": output})
    thresholds = {"score": score, "iou": 0.6}
    model_folder(folder, model, "classify", list(labels), options={"activation": "none"}, thresholds=thresholds)
    return LabelerSettings(model=str(folder), device="cpu", threads=1, name="classifier", on=tuple(on), required=False)


def own(folder: Path, text: str, **more: object) -> LabelerSettings:
    """Return the settings of own code, which is not required unless `more` says it."""
    script = folder / f"{len(list(folder.glob('*.py')))}.py"
    script.write_text(dedent(text))
    given = {"name": "own", "required": False, "deadline": PATIENCE, **more}
    return LabelerSettings(kind="python", script=str(script), **given)  # type: ignore[arg-type]  # of the tests


@pytest.fixture
def chain() -> Iterator[Open]:
    """Yield a function that opens the labelers of some settings."""
    opened: list[Chain] = []

    def open_it(*labelers: LabelerSettings, metrics: Metrics | None = None) -> Chain:
        opened.append(open_chain(labelers, None, lambda _degraded: None, metrics).chain)
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


def label(
    chain: Chain, pictures: Sequence[Picture] = (), rules: Sequence[Rule] = (), camera: str | None = None
) -> EventLabels:
    event = EventLabeler(chain, PictureLimits(), rules, Metrics()).event(
        camera, lambda: pictures or [picture()], lambda: None
    )
    event.join()
    return event.done.result(PATIENCE)


def sent(labels: EventLabels, nth: int = 0) -> list[tuple[str, float, str | None]]:
    return [(each.label, round(each.probability, 2), each.labeler) for each in labels.pictures[nth].sent]


def wait_for(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.02)


def test_a_single_labeler_labels_as_it_always_did(tmp_path: Path, chain: Open) -> None:
    labels = label(chain(detector(tmp_path / "model")))
    dog, cat = labels.pictures[0].sent
    assert dog == Detection("dog", about(0.9), about(DOG))
    assert (cat.labeler, cat.threshold, labels.rule.min_probability) == (None, None, 0.4)


def test_own_code_sees_adds_changes_and_removes_what_came_before(tmp_path: Path, chain: Open) -> None:
    script = """
        def compute_labels(images):
            for image in images:
                dog, cat = image["detections"]
                assert (dog["label"], round(dog["probability"], 2)) == ("dog", 0.9), dog
                assert [round(side) for side in dog["box"]] == [50, 20, 150, 80], dog
                assert image["image"].size == (200, 100)
                dog["label"] = "hound"
                image["detections"].remove(cat)
                image["detections"].append({"label": "bone", "probability": 0.5, "box": [1, 2, 3, 4]})
            return {images[0]["timestamp"]: {"indoors": {"probability": 0.7}}}
    """
    labels = label(chain(detector(tmp_path / "model"), own(tmp_path, script)))
    assert sent(labels) == [("hound", 0.9, "own"), ("indoors", 0.7, "own"), ("bone", 0.5, "own")]
    hound, indoors, bone = labels.pictures[0].sent
    assert (hound.box, indoors.box, bone.box) == (about(DOG), None, Box(1, 2, 3, 4))
    assert labels.summary() == "hound 0.90 (own), indoors 0.70 (own), bone 0.50 (own)"


def test_what_own_code_leaves_as_it_is_keeps_its_labeler(tmp_path: Path, chain: Open) -> None:
    labels = label(chain(detector(tmp_path / "model"), own(tmp_path, "def compute_labels(images): pass")))
    assert sent(labels) == [("dog", 0.9, "detector"), ("cat", 0.6, "detector")]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("image['detections'] = 3", "detections[0] is a int, expected a list"),
        ("image['detections'] = ['dog']", "detections[0][0]: expected `object`, got `str`"),
        ("image['detections'][0]['probability'] = 2", "detections[0][0].probability: expected `float` <= 1.0"),
        ("image['detections'][0]['label'] = ''", "detections[0][0]: a label is a text of 1 to 200 letters"),
        ("image['detections'][0]['box'] = [9, 0, 1, 1]", "detections[0][0].box: expected left, top, right, bottom"),
    ],
)
def test_wrong_detections_of_own_code_are_named_with_their_place(
    tmp_path: Path, chain: Open, line: str, complaint: str
) -> None:
    script = f"def compute_labels(images):\n    for image in images: {line}\n"
    with pytest.raises(LabelingError) as caught:
        label(chain(detector(tmp_path / "model"), own(tmp_path, script, required=True)))
    assert f"{tmp_path}/0.py, line 1: {complaint}" in str(caught.value)


def test_own_code_with_on_gets_the_parts_with_those_objects(tmp_path: Path, chain: Open) -> None:
    script = """
        def compute_labels(images):
            labels = {}
            for image in images:
                red, green, blue = image["image"].resize((1, 1)).getpixel((0, 0))
                seen = [image["timestamp"], image["image"].size, image["size"], red > 190 and green < 10,
                        [(each["label"], each["box"]) for each in image["detections"]]]
                labels[image["timestamp"]] = {
                    repr(seen): {"probability": 0.8},
                    "collar": {"probability": 0.7, "polygon": [(0, 0), (0.5, 0), (0.5, 0.5)]},
                }
            return labels
    """
    labels = label(chain(detector(tmp_path / "model"), own(tmp_path, script, on=("dog",))), [picture(), picture("t2")])
    for nth, timestamp in enumerate(("t1#1", "t2#1")):
        dog, seen, collar, cat = labels.pictures[nth].sent
        assert seen.label == repr([timestamp, (100, 60), [100, 60], True, [("dog", [0.0, 0.0, 100.0, 60.0])]])
        assert (seen.box, seen.labeler) == (dog.box, "own")
        assert collar.box == about(Box(50, 50, 100, 80))
        assert collar.outline is not None
        assert [round(each, 4) for point in collar.outline for each in point] == [0.25, 0.2, 0.5, 0.2, 0.5, 0.5]
        assert (cat.label, cat.box) == ("cat", about(CAT))


def test_own_code_with_on_changes_and_removes_single_objects(tmp_path: Path, chain: Open) -> None:
    script = """
        def compute_labels(images):
            for image in images:
                [found] = image["detections"]
                if found["label"] == "cat":
                    image["detections"].clear()
                found["label"] = "small " + found["label"]
    """
    labels = label(chain(detector(tmp_path / "model"), own(tmp_path, script, on=("dog", "cat"))))
    assert sent(labels) == [("small dog", 0.9, "own")]
    assert labels.pictures[0].sent[0].box == about(DOG)


def test_own_code_with_on_is_not_asked_without_such_objects(tmp_path: Path, chain: Open) -> None:
    script = "def compute_labels(images): raise SystemExit('asked')"
    assert len(sent(label(chain(detector(tmp_path / "model"), own(tmp_path, script, on=("car",), required=True))))) == 2


def test_a_classifier_with_on_refines_an_object(tmp_path: Path, chain: Open) -> None:
    breeds = classifier(tmp_path / "breeds", {"beagle": 0.8, "poodle": 0.3}, on=["dog"])
    labels = label(chain(detector(tmp_path / "model"), breeds))
    assert sent(labels) == [("dog", 0.9, "detector"), ("beagle", 0.8, "classifier"), ("cat", 0.6, "detector")]
    assert labels.pictures[0].sent[1].box == about(DOG)
    assert labels.reply is not None
    assert isinstance(labels.reply.labels, dict)
    assert labels.reply.labels["t1"]["beagle"].polygon == labels.reply.labels["t1"]["dog"].polygon


@pytest.mark.parametrize(("second", "kept"), [(0.95, ("dog", 0.95, "other")), (0.8, ("dog", 0.9, "detector"))])
def test_of_the_same_object_the_more_probable_detection_wins(
    tmp_path: Path, chain: Open, second: float, kept: tuple[str, float, str]
) -> None:
    other = replace(detector(tmp_path / "other", dog=second, cat=0.0), name="other")
    assert sent(label(chain(detector(tmp_path / "model"), other))) == [kept, ("cat", 0.6, "detector")]


def test_each_labeler_has_its_own_threshold_unless_a_rule_sets_one(tmp_path: Path, chain: Open) -> None:
    strict = classifier(tmp_path / "strict", {"day": 0.6, "rain": 0.3}, score=0.5)
    labelers = chain(
        detector(tmp_path / "model", cat=0.3),
        strict,
        own(
            tmp_path,
            """
        def compute_labels(images):
            return {images[0]["timestamp"]: {"faint": {"probability": 0.05}}}
    """,
        ),
    )
    assert [name for name, _, _ in sent(label(labelers))] == ["dog", "day", "faint"]
    assert [name for name, _, _ in sent(label(labelers, rules=[Rule(min_probability=0.2)]))] == [
        *("dog", "day", "cat", "rain"),
    ]
    assert [name for name, _, _ in sent(label(labelers, rules=[Rule(min_probability_of={"rain": 0.3})]))] == [
        *("dog", "day", "rain", "faint"),
    ]


def test_labelers_are_asked_only_about_their_cameras(tmp_path: Path, chain: Open) -> None:
    labelers = chain(
        detector(tmp_path / "model"),
        own(tmp_path, "def compute_labels(images): return ['delivery']", cameras=("front*",)),
    )
    assert [name for name, _, _ in sent(label(labelers, camera="front door"))] == ["delivery", "dog", "cat"]
    assert [name for name, _, _ in sent(label(labelers, camera="yard"))] == ["dog", "cat"]


def test_own_code_that_comes_later_always_has_a_list_of_detections(tmp_path: Path, chain: Open) -> None:
    script = "def compute_labels(images): return [repr(images[0]['detections'])]"
    labelers = chain(replace(detector(tmp_path / "model"), cameras=("yard",)), own(tmp_path, script))
    assert label(labelers, camera="front").event == ("[]",)


def test_labels_of_the_event_alone_stay_a_list(tmp_path: Path, chain: Open) -> None:
    only = own(tmp_path, "def compute_labels(images): return ['busy']", cameras=("front",))
    labelers = chain(replace(detector(tmp_path / "model"), cameras=("yard",)), only)
    assert label(labelers, camera="front").event == ("busy",)
    assert label(labelers, camera="neither").pictures[0].sent == []


PID = """
    import os
    def compute_labels(images):
        return [str(os.getpid())]
"""


def test_the_labels_of_a_killed_labeler_are_missing_until_it_runs_again(
    tmp_path: Path, chain: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "camiohookd")
    metrics = Metrics()
    labelers = chain(detector(tmp_path / "model"), own(tmp_path, """
        import os, signal
        def compute_labels(images):
            if images[0]["timestamp"] == "deadly":
                os.kill(os.getpid(), signal.SIGKILL)
            return ["alive"]
    """), metrics=metrics)  # fmt: skip

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"camiohookd_labeler_{name}", {"labeler": "own"})

    assert (value("up"), value("failures_total")) == (1, 0)
    assert [name for name, _, _ in sent(label(labelers, [picture("deadly")]))] == ["dog", "cat"]
    assert value("failures_total") == 1
    wait_for(lambda: "labeler own works again" in caplog.messages)
    assert (value("up"), dict(labelers.troubles)) == (1, {})
    assert [name for name, _, _ in sent(label(labelers))] == ["alive", "dog", "cat"]
    assert any(message.startswith("labeler own does not work: ") for message in caplog.messages)


@pytest.mark.parametrize("required", [True, False])
def test_an_event_waits_for_a_labeler_that_is_required_and_for_no_other(
    tmp_path: Path, chain: Open, required: bool
) -> None:
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    labelers = chain(detector(tmp_path / "model"), own(tmp_path, PID, required=required, interpreter=str(interpreter)))
    pid, *others = [name for name, _, _ in sent(label(labelers))]
    interpreter.unlink()
    os.kill(int(pid), signal.SIGKILL)
    if required:
        wait_for(lambda: _fails(labelers))
        assert dict(labelers.troubles) == {}, "the readiness says it"
        interpreter.symlink_to(sys.executable)
        wait_for(lambda: not _fails(labelers))
    else:
        assert [name for name, _, _ in sent(label(labelers))] == others
        interpreter.symlink_to(sys.executable)
        wait_for(lambda: not labelers.troubles)
    assert len(sent(label(labelers))) == 3


def _fails(labelers: Chain) -> bool:
    try:
        label(labelers)
    except (LabelerDown, LabelingError):
        return True
    return False


def test_code_that_hangs_delays_one_event_by_its_deadline(tmp_path: Path, chain: Open) -> None:
    script = """
        import time
        def compute_labels(images):
            if images[0]["timestamp"] == "endless":
                time.sleep(600)
            return ["alive"]
    """
    labelers = chain(detector(tmp_path / "model"), own(tmp_path, script, deadline=0.5))
    assert [name for name, _, _ in sent(label(labelers, [picture("endless")]))] == ["dog", "cat"]
    assert "gave no answer within 0.5 s" in labelers.troubles["own"]
    wait_for(lambda: not labelers.troubles)
    assert [name for name, _, _ in sent(label(labelers))] == ["alive", "dog", "cat"]


def test_a_program_answers_with_what_it_leaves(tmp_path: Path, chain: Open) -> None:
    program = tmp_path / "program.py"
    program.write_text(dedent("""
        import json, struct, sys
        while head := sys.stdin.buffer.read(4):
            images = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))["images"]
            answer = {"detections": [image["detections"][:1] for image in images]} if images else {"labels": {}}
            data = json.dumps(answer).encode()
            sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
            sys.stdout.buffer.flush()
    """))  # fmt: skip
    command = LabelerSettings(kind="command", command=(sys.executable, str(program)), name="own", required=False)
    labels = label(chain(detector(tmp_path / "model"), command), [picture("t1"), picture("t2")])
    assert [sent(labels, nth) for nth in range(2)] == [[("dog", 0.9, "detector")]] * 2


def test_an_exception_in_code_that_is_not_required_is_logged_once_in_a_row(
    tmp_path: Path, chain: Open, caplog: pytest.LogCaptureFixture
) -> None:
    labelers = chain(detector(tmp_path / "model"), own(tmp_path, """
        def compute_labels(images):
            return ["good"] if images[0]["timestamp"] == "good" else 1 / 0
    """))  # fmt: skip
    names = [[name for name, _, _ in sent(label(labelers, [picture(t)]))] for t in ("t1", "t2", "good", "t3")]
    assert names == [["dog", "cat"], ["dog", "cat"], ["good", "dog", "cat"], ["dog", "cat"]]
    assert sum("ZeroDivisionError" in message for message in caplog.messages) == 2


def test_a_labeler_that_cannot_be_opened_is_tried_again_if_it_is_not_required(tmp_path: Path, chain: Open) -> None:
    script = own(tmp_path, "import nothing_of_that_name")
    labelers = chain(detector(tmp_path / "model"), script)
    assert "nothing_of_that_name" in labelers.troubles["own"]
    assert [name for name, _, _ in sent(label(labelers))] == ["dog", "cat"]
    Path(script.script).write_text("def compute_labels(images): return ['late']")
    wait_for(lambda: not labelers.troubles)
    assert [name for name, _, _ in sent(label(labelers))] == ["late", "dog", "cat"]
    with pytest.raises(LabelerError, match="nothing_of_that_name"):
        chain(detector(tmp_path / "model"), own(tmp_path, "import nothing_of_that_name", required=True))


def test_own_code_does_not_hold_up_the_events_that_it_is_not_asked_about(tmp_path: Path, chain: Open) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = own(tmp_path, f"def compute_labels(images): return [open({str(gate)!r}).read()]", cameras=("front",))
    events = EventLabeler(chain(detector(tmp_path / "model"), slow), PictureLimits(), [], Metrics())
    with ThreadPoolExecutor(1) as pool:  # one thread, as on the smallest box
        held = [events.event("front", lambda: [picture()], lambda: None) for _ in range(2)]
        free = events.event("yard", lambda: [picture()], lambda: None)
        for event in (*held, free):
            pool.submit(event.join)
        assert len(free.done.result(PATIENCE).pictures[0].sent) == 2
        assert not any(event.done.done() for event in held)
        for event in held:
            gate.write_text("open")
            assert [name for name, _, _ in sent(event.done.result(PATIENCE))] == ["open", "dog", "cat"]


def test_a_stop_interrupts_own_code_and_what_waits_for_it(tmp_path: Path, chain: Open) -> None:
    started = tmp_path / "started"
    slow = own(tmp_path, f"""
        import time
        def compute_labels(images):
            open({str(started)!r}, "w").close()
            time.sleep(600)
    """)  # fmt: skip
    events = EventLabeler(chain(detector(tmp_path / "model"), slow), PictureLimits(), [], Metrics())
    held = [events.event("front", lambda: [picture()], lambda: None) for _ in range(2)]
    for event in held:
        threading.Thread(target=event.join).start()
    wait_for(started.exists)
    events.interrupt()
    for event in held:
        with pytest.raises(Interrupted):
            event.done.result(PATIENCE)

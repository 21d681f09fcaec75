"""Taught labels are added to what another labeler finds."""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from camiohookd.config.rule import Rule, Zone
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.chain.link import Link, LinkSettings
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.features import FeatureModel, open_features
from camiohookd.labelers.taught import store
from camiohookd.labelers.taught.collection import Collection
from camiohookd.labelers.taught.labeler import TaughtLabeler
from camiohookd.labelers.taught.labels import taught_labels
from camiohookd.labelers.taught.open import TaughtLink
from camiohookd.labelers.taught.steadiness import Steadiness
from camiohookd.labelers.taught.store import Reports, Taught
from camiohookd.labelers.taught.teaching import Subject, teach
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from camiohookd.worker.event_labels import EventLabels
from tests.support.onnx_graphs import backbone_model, model_folder
from tests.support.taught import LIGHT, lamp, lamps

CAR = Detection("car", 0.8, Box(0, 0, 64, 64))
RED, GREEN = (220, 50), (50, 220)


@dataclass
class Inner:
    """The other labeler: finds the same in every picture, and as `event` labels if there are some."""

    found: Sequence[Detection] = ()
    event: Sequence[str] | None = None
    device: str = "cpu"
    input_size: tuple[int, int] = (64, 64)
    at_once: int | None = 1
    default_probability: float = 0.4
    closed: bool = False

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        return Findings([self.found for _ in frames], self.event)

    def close(self) -> None:
        self.closed = True


@dataclass
class Box64:
    """A box: a state folder, a small model, and a labeler with what is taught in the folder; `now` is its clock."""

    state: Path
    folder: Path
    now: float = 0.0
    events: int = 0
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        model_folder(self.folder, backbone_model(), "classify", list("abcde"), input={"width": 64, "height": 64})
        self.model: FeatureModel = open_features(self.folder)
        self.collection = Collection(self.state, self.folder, lambda: self.now)
        steadiness = Steadiness(self.state / "states.json")
        link = TaughtLink(TaughtLabeler(self.collection, steadiness))
        self.chain = Chain([Link(LinkSettings("inner"), self.inner)], link)

    def taught(
        self, name: str = "lamp", *, on: str | None = None, steady: int = 1, reports: Reports = "state"
    ) -> Taught:
        subject = Subject(name, None if on else LIGHT, on, steady=steady, reports=reports)
        examples = [each._replace(label="other") if on and each.label == "green" else each for each in lamps()]
        return teach(subject, examples, self.model, load_description(self.folder).sha256, keep_crops=True)

    def teach(self, taught: Taught) -> None:
        store.save(self.state, taught)
        self.now += 10

    def event(self, *colors: tuple[int, int], rule: Rule | None = None, camera: str = "yard") -> EventLabels:
        self.events += 1
        labeler = EventLabeler(self.chain, PictureLimits(), [rule or Rule()], Metrics())
        pictures = [Picture(f"t{nth}", jpeg(lamp(*color))) for nth, color in enumerate(colors)]
        event = labeler.event(camera, lambda: pictures, lambda: None, number=self.events)
        event.join()
        return event.done.result()

    def said(self, *colors: tuple[int, int]) -> list[list[str]]:
        """Return the labels that are sent of each picture of an event."""
        return [[each.label for each in picture.sent] for picture in self.event(*colors).pictures]


@pytest.fixture
def box(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Box64:
    caplog.set_level(logging.INFO, "camiohookd")
    return Box64(tmp_path, tmp_path / "model")


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_a_state_is_added_as_soon_as_it_is_taught_and_no_longer_when_it_is_forgotten(box: Box64) -> None:
    box.inner.found = [CAR]
    assert box.said(RED) == [["car"]]
    box.teach(box.taught())
    assert box.said(RED, GREEN) == [["red", "car"], ["green", "car"]]
    store.remove(box.state, "lamp")
    box.now += 10
    assert box.said(RED) == [["car"]]


def test_a_state_is_of_one_camera(box: Box64) -> None:
    box.teach(box.taught())
    assert box.event(RED, camera="gate").pictures[0].sent == []


def test_zones_and_areas_are_for_objects_and_leave_no_state_out(box: Box64) -> None:
    box.inner.found = [CAR]
    box.teach(box.taught())
    elsewhere = Zone("right", ((0.9, 0.9), (1.0, 0.9), (1.0, 1.0)))
    reply = box.event(RED, rule=Rule(zone=(elsewhere,), min_area=0.1)).reply
    assert reply is not None and isinstance(reply.labels, dict)
    [label] = reply.labels["t0"].items()
    assert label[0] == "red"
    assert label[1].polygon == ((0.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.0, 0.5))


def test_an_object_gets_its_kind_and_the_label_other_is_never_sent(box: Box64) -> None:
    box.inner.found = [CAR, Detection("dog", 0.9, CAR.box)]
    box.teach(box.taught("vans", on="car"))
    found = box.event(RED, GREEN).pictures
    assert [[each.label for each in picture.sent] for picture in found] == [["dog", "car", "red"], ["dog", "car"]]
    red = found[0].sent[2]
    assert red.box == CAR.box
    assert 0.4 < red.probability < CAR.probability
    assert taught_labels(box.state) == ("red",)


def test_what_is_unlike_the_examples_is_not_reported(box: Box64) -> None:
    box.teach(box.taught())
    assert box.said((128, 128), (0, 0)) == [[], []]


def test_own_code_that_takes_files_and_labels_the_event_gets_the_state_too(box: Box64) -> None:
    box.inner.input_size, box.inner.at_once, box.inner.event = (1, 1), None, ["parcel"]
    box.teach(box.taught())
    reply = box.event(RED).reply
    assert reply is not None and isinstance(reply.labels, dict)
    assert set(reply.labels["t0"]) == {"parcel", "red"}


def test_a_changed_state_is_reported_in_the_event_in_which_it_changes(box: Box64) -> None:
    box.teach(box.taught(reports="changed"))
    assert box.said(RED) == [[]]
    assert box.said(RED, GREEN) == [[], ["green", "lamp changed"]]
    assert box.said(GREEN) == [[]]
    assert taught_labels(box.state) == ("red", "green", "lamp changed")


def test_a_state_counts_when_several_events_in_a_row_show_it(box: Box64) -> None:
    box.teach(box.taught(steady=2, reports="both"))
    seen = [box.said(color)[0] for color in (RED, GREEN, RED, GREEN, GREEN, GREEN)]
    assert seen == [["red"], [], ["red"], [], ["green", "lamp changed"], ["green"]]


def test_only_the_labels_of_a_damaged_file_are_missing_and_it_is_logged_once(
    box: Box64, caplog: pytest.LogCaptureFixture
) -> None:
    box.teach(box.taught())
    (box.state / "taught" / "broken.taught").write_bytes(b"camiohookd taught 1 torn")
    box.now += 10
    for _ in range(3):
        assert box.said(RED) == [["red"]]
        box.now += 10
    [message] = [each.getMessage() for each in caplog.records if "not used" in each.getMessage()]
    assert message.endswith("broken.taught: this is not a file of taught labels, or its beginning is damaged")


def test_a_file_that_was_renamed_is_not_used(box: Box64, caplog: pytest.LogCaptureFixture) -> None:
    box.teach(box.taught())
    (box.state / "taught" / "lamp.taught").rename(box.state / "taught" / "light.taught")
    box.now += 10
    assert box.said(RED) == [[]]
    assert 'it contains "lamp", but the file has another name; import it' in caplog.text


def test_for_another_model_it_is_taught_again_from_the_kept_pictures(
    box: Box64, caplog: pytest.LogCaptureFixture
) -> None:
    box.teach(msgspec.structs.replace(box.taught(), model="0" * 64, factors=b"\x00" * 8, examples=b"\x00" * 2))
    assert box.said(RED) == [[]]
    box.collection.close()
    box.now += 10
    assert box.said(RED) == [["red"]]
    assert '"lamp" was taught again for this model from the kept pictures: accuracy 1.00' in caplog.text


def test_for_another_model_without_kept_pictures_it_has_to_be_taught_again(
    box: Box64, caplog: pytest.LogCaptureFixture
) -> None:
    box.teach(msgspec.structs.replace(box.taught(), model="0" * 64, crops=()))
    assert box.said(RED) == [[]]
    assert '"lamp" was taught with another model and is not used: teach it again' in caplog.text


def test_the_other_labeler_is_closed_and_describes_the_chain(box: Box64) -> None:
    box.teach(box.taught())
    assert (box.chain.device, box.chain.input_size, box.chain.default_probability) == ("cpu", (64, 64), 0.4)
    box.chain.close()
    assert box.inner.closed

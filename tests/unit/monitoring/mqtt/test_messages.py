"""What is published of an event and of the box, and how they are described to Home Assistant: a golden file."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest

from camiohookd.monitoring.activity import EventLabeled, LabeledPicture
from camiohookd.monitoring.mqtt import discovery, messages
from camiohookd.monitoring.mqtt.messages import Message
from camiohookd.monitoring.mqtt.outbox import Outbox
from camiohookd.monitoring.mqtt.publisher import MOST_CAMERAS, MqttOptions, Publisher
from camiohookd.monitoring.mqtt.topics import Topics, box_id, camera_id
from camiohookd.monitoring.status import QueueStatus, StatusReport
from camiohookd.rules import RuledLabels
from camiohookd.wire.reply import Label, Reply, best_labels
from tests.support.occurrences import labeled

TOPICS = Topics("camiohookd", "0123456789ab")
NOW = 1_800_000_000.0
GOLDEN = Path(__file__).with_name("discovery.json")
JPEG = b"\xff\xd8\xff\xe0 a picture"
REPORT = StatusReport(
    "degraded",
    ["the CPU labels"],
    "1.0",
    QueueStatus({"pending": 2, "labelled": 1, "done": 9}, 12.5, 0, 0),
    degraded=True,
)


def event(*labels: str, camera: str | None = "Front door", file: bytes = JPEG) -> EventLabeled:
    picture = LabeledPicture(RuledLabels("2026-01-01T00:00:00", 4, 3, (), ()), file)
    reply = Reply({"2026-01-01T00:00:00": {name: Label(0.9123, ()) for name in labels}})
    return replace(labeled(camera, at=NOW, summary=", ".join(labels), wait=2.0), reply=reply, pictures=(picture,))


def published(occurrence: EventLabeled, *, pictures: bool = False) -> dict[str, Message]:
    """Return the messages of an event by the last part of their topics."""
    found = messages.of_event(occurrence, TOPICS, 3, pictures=pictures)
    return {message.topic.rpartition("/")[2]: message for message in found}


def test_an_event_has_its_labels_camera_and_times() -> None:
    message = published(event("person", "car"))["event"]
    assert message.topic == f"camiohookd/0123456789ab/camera/{camera_id('Front door')}/event"
    assert not message.retain
    assert json.loads(message.payload) == {
        "event_type": "labelled",
        "task": "1",
        "camera": "Front door",
        "time": "2027-01-15T07:59:58Z",
        "labelled": "2027-01-15T08:00:00Z",
        "labels": {"person": 0.912, "car": 0.912},
        "summary": "person, car",
        "pictures": 1,
        "wait_seconds": 2.0,
        "label_seconds": 0.1,
    }


def test_the_state_of_a_camera_is_retained_and_short_enough_for_home_assistant() -> None:
    message = published(replace(event(), summary="x" * 1000))["state"]
    assert message.retain
    assert json.loads(message.payload) == {"labels": "x" * 255, "time": "2027-01-15T07:59:58Z", "events": 3}


@pytest.mark.parametrize(
    ("labels", "on"),
    [(("person",), {"person"}), (("Car", "dog"), {"vehicle", "animal"}), (("chair",), set()), ((), set())],
)
def test_labels_turn_their_binary_sensors_on(labels: tuple[str, ...], on: set[str]) -> None:
    found = published(event(*labels))
    assert {name for name, message in found.items() if message.payload == b"ON"} == on


def test_a_picture_is_published_only_on_request_and_only_a_small_jpeg() -> None:
    assert "picture" not in published(event("person"))
    picture = published(event("person"), pictures=True)["picture"]
    assert (picture.payload, picture.retain) == (JPEG, True)
    assert "picture" not in published(event(file=JPEG + b"x" * messages.MAX_PICTURE_BYTES), pictures=True)
    assert "picture" not in published(event(file=b"GIF89a"), pictures=True)
    assert "picture" not in published(replace(event(), pictures=()), pictures=True)


def test_labels_of_the_event_as_a_whole_have_no_probability() -> None:
    assert best_labels(Reply(["person", "dog"])) == {"person": None, "dog": None}


def test_the_state_of_the_box() -> None:
    message = messages.of_box(REPORT, TOPICS)
    assert (message.topic, message.retain) == ("camiohookd/0123456789ab/state", True)
    assert json.loads(message.payload) == {
        "verdict": "degraded",
        "reasons": ["the CPU labels"],
        "problem": "ON",
        "degraded": "ON",
        "waiting": 3,
        "oldest_seconds": 12.5,
        "events_last_hour": 0,
    }


def descriptions() -> dict[str, Any]:
    found = [
        discovery.of_box("homeassistant", TOPICS, "box"),
        discovery.of_camera("homeassistant", TOPICS, "Front door", 120.0, pictures=True),
    ]
    assert all(message.retain for message in found)
    return {
        message.topic: json.loads(message.payload.replace(version("camiohookd").encode(), b"VERSION"))
        for message in found
    }


def test_the_descriptions_for_home_assistant_are_the_golden_ones() -> None:
    assert descriptions() == json.loads(GOLDEN.read_text())


def test_ids_are_plain_and_tell_cameras_apart(tmp_path: Path) -> None:
    assert camera_id("Küche/#+") != camera_id("Küche/+#")
    assert camera_id("Küche/#+").replace("_", "").isalnum()
    assert camera_id("")
    (tmp_path / "machine-id").write_text("0123456789abcdef\n")
    assert "0123456789" not in box_id(tmp_path / "machine-id")
    assert box_id(tmp_path / "none") == box_id(tmp_path / "none")


def drained(outbox: Outbox) -> list[Message]:
    outbox.put([Message("end", b"")])
    found = list(iter(outbox.next, Message("end", b"")))
    return [message for message in found if message is not None]


def test_a_camera_is_described_with_its_first_event_and_counted() -> None:
    outbox = Outbox()
    publisher = Publisher(TOPICS, MqttOptions("homeassistant", 120, pictures=False), outbox, lambda: REPORT, "box")
    publisher.hear(event("person"))
    first = drained(outbox)
    assert sum(message.topic.endswith("/config") for message in first) == 1
    of_person = [(message.payload, message.retain) for message in first if message.topic.endswith("/person")]
    assert of_person == [(b"OFF", True), (b"ON", False)], "who subscribes later learns that it is off"
    publisher.hear(event("person"))
    again = drained(outbox)
    assert sum(message.topic.endswith("/config") for message in again) == 0
    (state,) = (message for message in again if message.topic.endswith("/state"))
    assert msgspec.json.decode(state.payload)["events"] == 2


def test_without_a_prefix_nothing_is_described_and_many_cameras_are_bounded() -> None:
    outbox = Outbox(most=10_000)
    publisher = Publisher(TOPICS, MqttOptions("", 120, pictures=False), outbox, lambda: REPORT, "box")
    for number in range(MOST_CAMERAS + 5):
        publisher.hear(event(camera=f"camera {number}"))
    assert not [message for message in drained(outbox) if message.topic.endswith("/config")]

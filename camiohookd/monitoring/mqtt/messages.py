"""Make the messages about an event and about the box. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from camiohookd.monitoring.activity import EventLabeled
from camiohookd.monitoring.mqtt.topics import Topics
from camiohookd.monitoring.status import StatusReport
from camiohookd.pictures.file_kind import format_of
from camiohookd.system.clock import iso
from camiohookd.wire.reply import best_labels

LONGEST_STATE = 255
"""Home Assistant's limit for the state of a sensor."""

MAX_LABELS = 100
MAX_PICTURE_BYTES = 512 * 1024

GROUPS = {
    "person": frozenset({"person"}),
    "vehicle": frozenset({"bicycle", "boat", "bus", "car", "motorcycle", "train", "truck", "vehicle"}),
    "animal": frozenset(
        {"animal", "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"}
    ),
}
"""The binary sensors of a camera, and the labels that turn them on."""


@dataclass(frozen=True, slots=True)
class Message:
    """A retained message replaces the earlier one of its topic, and a broker gives it to later subscribers."""

    topic: str
    payload: bytes
    retain: bool = False


class EventMessage(msgspec.Struct, frozen=True):
    """An event. `event_type` is a field of Home Assistant's event entity; `time` is when the event was received.

    `labels` are those that are sent to Camio, with the best probability (null if it is not known).
    """

    event_type: str
    task: str
    camera: str
    time: str
    labelled: str
    labels: dict[str, float | None]
    summary: str
    pictures: int
    wait_seconds: float
    label_seconds: float


class CameraState(msgspec.Struct, frozen=True):
    """The last event of a camera, and how many there were since the start of the service."""

    labels: str
    time: str
    events: int


class BoxState(msgspec.Struct, frozen=True):
    """The state of the box; ``ON`` and ``OFF`` as Home Assistant's binary sensors expect them."""

    verdict: str
    reasons: list[str]
    problem: str
    degraded: str
    waiting: int
    oldest_seconds: float
    events_last_hour: int


def of_event(event: EventLabeled, topics: Topics, events: int, *, pictures: bool) -> Iterator[Message]:
    """Yield the messages about a labeled event; `events` counts the camera's events, including this one."""
    name = event.camera or ""
    best = list(best_labels(event.reply).items())[:MAX_LABELS]
    labels = {name: value if value is None else round(value, 3) for name, value in best}
    message = EventMessage(
        event_type="labelled",
        task=event.task_id,
        camera=name,
        time=iso(event.received),
        labelled=iso(event.at),
        labels=labels,
        summary=event.summary,
        pictures=len(event.pictures),
        wait_seconds=round(event.wait_seconds, 3),
        label_seconds=round(event.label_seconds, 3),
    )
    yield Message(topics.camera(name, "event"), msgspec.json.encode(message))
    state = CameraState(event.summary[:LONGEST_STATE], iso(event.received), events)
    yield Message(topics.camera(name, "state"), msgspec.json.encode(state), retain=True)
    for group, members in GROUPS.items():
        if any(label.lower() in members for label in labels):
            yield Message(topics.camera(name, group), b"ON")
    if pictures and (file := _best_picture(event)) is not None:
        yield Message(topics.camera(name, "picture"), file, retain=True)


def at_first(camera: str, topics: Topics) -> Iterator[Message]:
    """Yield the states of a camera's binary sensors for those who subscribe between two events."""
    for group in GROUPS:
        yield Message(topics.camera(camera, group), b"OFF", retain=True)


def of_box(report: StatusReport, topics: Topics) -> Message:
    """Return the message about the box."""
    queue = report.queue
    state = BoxState(
        verdict=report.verdict,
        reasons=report.reasons,
        problem="OFF" if report.verdict == "works" else "ON",
        degraded="ON" if report.degraded else "OFF",
        waiting=sum(queue.tasks.get(state, 0) for state in ("pending", "labelled")) if queue else 0,
        oldest_seconds=queue.oldest_seconds if queue else 0.0,
        events_last_hour=report.events_last_hour,
    )
    return Message(topics.state, msgspec.json.encode(state), retain=True)


def _best_picture(event: EventLabeled) -> bytes | None:
    """Return the JPEG file, as Camio sent it, of the picture with the most objects; None if it is too large."""
    best = max(event.pictures, key=lambda picture: len(picture.labels.sent), default=None)
    if best is None or len(best.file) > MAX_PICTURE_BYTES or format_of(best.file) != "jpeg":
        return None
    return best.file

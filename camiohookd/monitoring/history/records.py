"""Encode and decode the records of events.

A record has the head of `storage.record`, a meta in JSON that says its kind, and data: MessagePack
(https://github.com/msgpack/msgpack/blob/master/spec.md), or a thumbnail's JPEG. A field that a later version adds has a
default, so that the version can read older records.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.monitoring.activity import (
    DeliveryTried,
    EventDone,
    EventDropped,
    EventFailed,
    EventLabeled,
    EventRetried,
    Occurrence,
)
from camiohookd.pictures.detections import Detection
from camiohookd.rules import RuledLabels
from camiohookd.storage import record
from camiohookd.storage.record import HEAD_BYTES, DamagedRecordError, Head
from camiohookd.wire.reply import Reply

MAGIC = b"CHH1"

LEAST_PROBABILITY = 0.1
"""Less probable detections are not kept unless a rule asks for them, because a model has many of them."""

MAX_PICTURES = 32
MAX_DETECTIONS = 40
MAX_SENTENCES = 20
MAX_TEXT = 500

Kind = Literal["event", "step", "thumbnail"]


class StoredPicture(msgspec.Struct, frozen=True, omit_defaults=True):
    """The detections of a picture; sizes and boxes are in pixels. `more` counts detections that were not kept."""

    timestamp: str
    width: int
    height: int
    found: tuple[Detection, ...] = ()
    more: int = 0


class StoredEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A labeled event without its files; `activity.EventLabeled` explains the fields."""

    camera: str | None = None
    received: float
    labelled: float
    rule: Rule
    pictures: tuple[StoredPicture, ...] = ()
    more_pictures: int = 0
    event_labels: tuple[str, ...] | None = None
    reply: Reply | None = None
    labels: tuple[tuple[str, float], ...] = ()
    rejected: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    wait_seconds: float = 0.0
    label_seconds: float = 0.0
    decode_seconds: float = 0.0
    model_seconds: float = 0.0
    device: str = ""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something that happened to an event after it was labeled, or its failure before.

    ``tried`` has `attempt`, `seconds`, `outcome`, `status` and `next_seconds`, see `activity.DeliveryTried`; ``failed``
    has `cause`; ``done`` has `seconds`.
    """

    what: Literal["tried", "done", "failed", "retried", "dropped"]
    at: float
    camera: str | None = None
    attempt: int = 0
    seconds: float = 0.0
    outcome: str = ""
    status: int | None = None
    reason: str = ""
    next_seconds: float | None = None
    cause: str = ""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a record is. A thumbnail has the number of its `picture`.

    `old` marks an event that is kept only for its camera's last picture. `begins` marks a step that is the first record
    of its event, because the event failed before it was labeled.
    """

    kind: Kind
    picture: int = 0
    old: bool = False
    begins: bool = False


_event = msgspec.msgpack.Decoder(StoredEvent)
_step = msgspec.msgpack.Decoder(Step)


def step_of(occurrence: Occurrence) -> Step | None:
    """Return the step to keep for an occurrence; None if no step is kept for it."""
    camera, at = occurrence.camera, occurrence.at
    match occurrence:
        case DeliveryTried():
            return Step(
                what="tried",
                at=at,
                camera=camera,
                attempt=occurrence.attempt,
                seconds=occurrence.seconds,
                outcome=occurrence.outcome,
                status=occurrence.status,
                reason=occurrence.reason[:MAX_TEXT],
                next_seconds=occurrence.next_seconds,
            )
        case EventDone():
            return Step(what="done", at=at, camera=camera, seconds=occurrence.seconds)
        case EventFailed():
            return Step(
                what="failed", at=at, camera=camera, cause=occurrence.cause, reason=occurrence.reason[:MAX_TEXT]
            )
        case EventRetried():
            return Step(what="retried", at=at, camera=camera)
        case EventDropped():
            return Step(what="dropped", at=at, camera=camera)
    return None


def stored(event: EventLabeled) -> StoredEvent:
    """Return what is kept of an event, cut to the bounds above."""
    pictures = tuple(_stored_picture(event.rule, each.labels) for each in event.pictures[:MAX_PICTURES])
    more = len(event.pictures) - len(pictures)
    return StoredEvent(
        camera=event.camera,
        received=event.received,
        labelled=event.at,
        rule=event.rule,
        pictures=pictures,
        more_pictures=more,
        event_labels=event.event_labels,
        reply=event.reply if not more else None,
        labels=sent_labels(event),
        rejected=_cut(event.rejected),
        incomplete=_cut(event.incomplete),
        wait_seconds=event.wait_seconds,
        label_seconds=event.label_seconds,
        decode_seconds=event.decode_seconds,
        model_seconds=event.model_seconds,
        device=event.device,
    )


def sent_labels(event: EventLabeled) -> tuple[tuple[str, float], ...]:
    """Return the sent labels, most probable first, with their best probability (1.0 if the labeler gives none)."""
    best: dict[str, float] = {}
    for picture in event.pictures:
        for found in picture.labels.sent:
            best[found.label] = max(best.get(found.label, 0.0), found.probability)
    labels = event.reply.labels
    names = labels if isinstance(labels, list) else dict.fromkeys(name for each in labels.values() for name in each)
    sent = [(name, round(best.get(name, 1.0), 4)) for name in names]
    return tuple(sorted(sent, key=lambda item: -item[1])[:MAX_DETECTIONS])


def _stored_picture(rule: Rule, labels: RuledLabels) -> StoredPicture:
    found = tuple(labels.found)
    if len(found) > MAX_DETECTIONS:  # keep those that are sent, then the most probable ones
        sent = [rules.objection(rule, each, labels.width, labels.height) is None for each in found]
        chosen = sorted(range(len(found)), key=lambda nth: (not sent[nth], -found[nth].probability))[:MAX_DETECTIONS]
        found = tuple(found[nth] for nth in sorted(chosen))
    return StoredPicture(labels.timestamp, labels.width, labels.height, found, len(labels.found) - len(found))


def _cut(sentences: Sequence[str]) -> tuple[str, ...]:
    return tuple(each[:MAX_TEXT] for each in sentences[:MAX_SENTENCES])


def encode_event(task_id: int, event: StoredEvent, *, old: bool = False) -> bytes:
    return _encode(task_id, Meta("event", old=old), msgspec.msgpack.encode(event))


def encode_step(task_id: int, step: Step, *, begins: bool = False) -> bytes:
    return _encode(task_id, Meta("step", begins=begins), msgspec.msgpack.encode(step))


def encode_thumbnail(task_id: int, picture: int, jpeg: bytes) -> bytes:
    return _encode(task_id, Meta("thumbnail", picture), jpeg)


def decode(data: bytes) -> tuple[int, Meta, bytes]:
    """Return the record's task id, meta and data. Raises DamagedRecordError."""
    head, meta, rest = record.decode(data, MAGIC)
    try:
        return head.task_id, msgspec.convert(meta, Meta), bytes(rest)
    except msgspec.ValidationError as error:
        raise DamagedRecordError(f"its kind is unknown: {error}", data) from error


def decode_event(data: bytes) -> StoredEvent:
    """Return the event in the data of a record. Raises DamagedRecordError."""
    event: StoredEvent = _decoded(_event, data)
    return event


def decode_step(data: bytes) -> Step:
    """Return the step in the data of a record. Raises DamagedRecordError."""
    step: Step = _decoded(_step, data)
    return step


def _decoded(decoder: "msgspec.msgpack.Decoder[Any]", data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedRecordError(f"its data cannot be decoded: {error}", data) from error


def _encode(task_id: int, meta: Meta, data: bytes) -> bytes:
    head = msgspec.json.encode(meta)
    encoded = bytearray().join([bytes(HEAD_BYTES), head, data])
    record.write_head(encoded, MAGIC, Head(task_id, len(head), len(encoded) - HEAD_BYTES, record.checksum(encoded)))
    return bytes(encoded)

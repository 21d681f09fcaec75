"""The answers of `History`. All times are seconds since 1970 by this machine's clock."""

from typing import Literal

import msgspec

from camiohookd.config.rule import Rule
from camiohookd.monitoring.history.records import Step
from camiohookd.rules import Explained
from camiohookd.wire.reply import Reply

State = Literal["labelled", "delivered", "failed", "dropped", "unknown"]
"""labelled: the labels wait for their delivery, or for another try. unknown: after a crash, the queue no longer had the
event."""

Span = Literal["hour", "day", "week"]


class EventSummary(msgspec.Struct, frozen=True):
    """One event in a list.

    `labels` are the sent ones, most probable first, with their best probability. `failure` says why the event failed
    ("": it did not). `thumbnails` are the numbers of the pictures with a thumbnail, best one first.
    """

    id: str
    camera: str | None
    received: float
    state: State
    labels: tuple[tuple[str, float], ...]
    pictures: int
    thumbnails: tuple[int, ...]
    attempts: int
    cause: str
    failure: str


class EventList(msgspec.Struct, frozen=True):
    """Some events, newest first; `next` is the `before` of the next page, None on the last one."""

    events: tuple[EventSummary, ...]
    next: str | None


class PictureDetails(msgspec.Struct, frozen=True):
    """One picture of an event; `number` counts from 0, and identifies its thumbnail.

    `width`, `height` and the boxes are in pixels of the picture as Camio sent it. `detections` says what the rule did
    to each one; `more` counts those that were not kept.
    """

    number: int
    timestamp: str
    width: int
    height: int
    detections: tuple[Explained, ...]
    more: int
    has_thumbnail: bool


class EventDetails(msgspec.Struct, frozen=True):
    """One event in full.

    `rule` was applied, and `reply` is what was sent. `event_labels` are the labels of the whole event, None if the
    labeler labels each picture. `rejected` says which pictures were left out and why, `incomplete` which ones arrived
    only in part. `more_pictures` counts those that were not kept. `steps` are the last `MAX_STEPS` things that happened
    after labeling, oldest first. For an event that failed before it was labeled, `labelled` is 0 and there are only
    `steps`.
    """

    summary: EventSummary
    labelled: float
    rule: Rule
    pictures: tuple[PictureDetails, ...]
    more_pictures: int
    event_labels: tuple[str, ...] | None
    rejected: tuple[str, ...]
    incomplete: tuple[str, ...]
    reply: Reply | None
    wait_seconds: float
    label_seconds: float
    decode_seconds: float
    model_seconds: float
    device: str
    steps: tuple[Step, ...]


class CameraView(msgspec.Struct, frozen=True):
    """One camera.

    `first` and `last` are the times of its first and last event; `today` counts events since midnight, local time.
    `usual` are its frequent labels, with the share of events that have them (0 to 1). `usual_pause` is in seconds, None
    while too little is known. `silent_since` is set after a pause of more than twice that. `picture` is the last event
    with a thumbnail, and the number of the picture.
    """

    name: str
    first: float
    last: float
    events: int
    today: int
    usual: tuple[tuple[str, float], ...]
    usual_pause: float | None
    silent_since: float | None
    picture: tuple[str, int] | None


class RecentDetection(msgspec.Struct, frozen=True):
    """A detection in one of a camera's last events, for the zone editor.

    `box` is left, top, right, bottom. `foot` is the point that decides whether the object is in a zone. Both are
    fractions of the picture with y down, as in a rule's zones. `threshold` is that of its labeler, if there are
    several.
    """

    event: str
    picture: int
    label: str
    probability: float
    box: tuple[float, float, float, float]
    foot: tuple[float, float]
    sent: bool
    threshold: float | None = None


class Trends(msgspec.Struct, frozen=True):
    """Numbers over time: each list has one value for each of `times`, the start of an interval of `step` seconds.

    A value is None if the service did not run, or the clock was wrong. `accepted`, `labelled`, `delivered`, `failed`
    and `pictures` are counts of the interval; so is each of `labels` (events with that label; "" is the sum of the
    rest). `depth` is the most events that waited. The others are quantiles in seconds, at most 12 % off: the wait,
    labeling, one try to deliver, and acceptance to delivery (`total`). `device` is the labeler's, and `degraded` says
    whether it was a fallback.
    """

    step: int
    times: tuple[int, ...]
    accepted: tuple[int | None, ...]
    labelled: tuple[int | None, ...]
    delivered: tuple[int | None, ...]
    failed: tuple[int | None, ...]
    pictures: tuple[int | None, ...]
    depth: tuple[int | None, ...]
    wait_p50: tuple[float | None, ...]
    wait_p95: tuple[float | None, ...]
    label_p50: tuple[float | None, ...]
    label_p95: tuple[float | None, ...]
    delivery_p50: tuple[float | None, ...]
    delivery_p95: tuple[float | None, ...]
    total_p50: tuple[float | None, ...]
    total_p95: tuple[float | None, ...]
    labels: dict[str, tuple[int | None, ...]]
    device: tuple[str | None, ...]
    degraded: tuple[bool | None, ...]


class ReplayedPicture(msgspec.Struct, frozen=True):
    """What each of two rules does to the detections of a picture; both lists have the same order."""

    number: int
    timestamp: str
    before: tuple[Explained, ...]
    after: tuple[Explained, ...]


class Replay(msgspec.Struct, frozen=True):
    """What another rule would have sent for an event. Nothing was sent.

    `added` and `removed` are the labels that only one of the replies has. `notes` are sentences on what is not known,
    such as detections that were not kept because of their probability.
    """

    event: str
    rule: Rule
    pictures: tuple[ReplayedPicture, ...]
    before: Reply
    after: Reply
    added: tuple[str, ...]
    removed: tuple[str, ...]
    notes: tuple[str, ...]

"""The views of the past that `History` gives. All times are seconds since 1970 by this machine's clock."""

from typing import Literal

import msgspec

from camiohookd.config.rule import Rule
from camiohookd.history.records import Step
from camiohookd.rules import Explained
from camiohookd.wire.reply import Reply

State = Literal["labelled", "delivered", "failed", "dropped", "unknown"]
"""labelled: its labels wait to be delivered, or are tried again. unknown: the service was cut off, and the queue has
forgotten the event since."""

Span = Literal["hour", "day", "week"]


class EventSummary(msgspec.Struct, frozen=True):
    """One event in a list.

    `labels` are those that were sent, most probable first, with their best probability; `failure` is why it failed, in
    words, "" if it did not. `thumbnails` are the numbers of the pictures that have one, the most telling one first.
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
    """One picture of an event; `number` counts from 0, and asks for its thumbnail.

    `width` and `height` are in pixels of the picture as Camio sent it, and so are the boxes. `detections` says of each
    what the rule did to it; `more` counts others that were not kept.
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

    `rule` was applied to it; `reply` is what was sent. `event_labels` are the labels of the event as a whole, None if
    the labeler tells what is in each picture. `rejected` says which pictures were left out and why, `incomplete` of
    which only a part was there; `more_pictures` counts those that were not kept. `steps` is what happened after it was
    labeled, oldest first; of very many, the last ones. For an event that failed before it was labeled, `labelled` is
    0 and there are only `steps`.
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

    `last` is when its last event came, `today` how many came since midnight, local time. `usual` are the labels that
    are in many of its events, with the share of events (0 to 1). `silent_since` is set when it has sent nothing for
    much longer than it usually pauses (`usual_pause`, in seconds; None while too little is known of it). `picture` is
    the last event with a thumbnail, and the number of the picture.
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

    `box` is left, top, right, bottom and `foot` the point that decides whether it is in a zone, both in fractions of
    the picture, y down, as a rule's zones are.
    """

    event: str
    picture: int
    label: str
    probability: float
    box: tuple[float, float, float, float]
    foot: tuple[float, float]
    sent: bool


class Trends(msgspec.Struct, frozen=True):
    """Numbers over time: each list has one value for each of `times`, the start of an interval of `step` seconds.

    None: there are no numbers, because the service did not run or the clock was wrong. `accepted`, `labelled`,
    `delivered`, `failed`, `pictures` and each of `labels` (events with that label; "" sums up the rest) count in the
    interval. `depth` is the most events that waited. The seconds are quantiles, exact to an eighth: how long events
    waited to be labeled, were labeled, one try to deliver took, and from acceptance to delivery in total. `device` is
    what the labeler ran on, `degraded` whether that was not the chosen one.
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
    """What two rules do to the detections of a picture; the lists are in the same order."""

    number: int
    timestamp: str
    before: tuple[Explained, ...]
    after: tuple[Explained, ...]


class Replay(msgspec.Struct, frozen=True):
    """What would have been sent for an event under another rule. Nothing was sent.

    `added` and `removed` are the labels that only one of the replies has. `notes` says in sentences what cannot be
    known, such as detections that were too improbable to be kept.
    """

    event: str
    rule: Rule
    pictures: tuple[ReplayedPicture, ...]
    before: Reply
    after: Reply
    added: tuple[str, ...]
    removed: tuple[str, ...]
    notes: tuple[str, ...]

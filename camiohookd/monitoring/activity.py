"""Publish what happens to events to subscribers at once, such as the history and MQTT.

    web, worker, queue ─▶ `Activity.publish` ─▶ each subscriber, on the event loop

The occurrences of a task come in this order, some of them several times: `EventAccepted`, `EventLabeled`,
`DeliveryTried`, and `EventDone` or `EventFailed`. Each has a `task_id`, the event's `camera`, and `at`, seconds since
1970 by this machine's clock.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from camiohookd.config.rule import Rule
from camiohookd.rules import RuledLabels
from camiohookd.system.log_fields import about
from camiohookd.wire.reply import Reply

log = logging.getLogger("camiohookd.activity")


@dataclass(frozen=True, slots=True)
class EventAccepted:
    """An event is on stable storage and was answered with 200; `at` is when it was received.

    `pictures` are the usable ones, `rejected` counts the others. Duplicates are not published.
    """

    task_id: str
    camera: str | None
    at: float
    pictures: int
    rejected: int


@dataclass(frozen=True, slots=True)
class LabeledPicture:
    """A picture of an event, and what was found in it.

    `file` has the bytes that Camio sent; b"" if the event's pictures are very large. They stay in memory only as long
    as a subscriber keeps them.
    """

    labels: RuledLabels
    file: bytes


@dataclass(frozen=True, slots=True)
class EventLabeled:
    """An event's reply is stored, and its delivery is next.

    `rule` is the one that was applied: `rules.explain` says with it why a detection was left out. `pictures` are those
    that could be used; `rejected` and `incomplete` say of others (timestamp: reason) why they were left out, and how
    much of them was there. `event_labels` are the labels of the event as a whole, None if the labeler tells what is in
    each picture. `summary` names the labels that are sent.

    `received` is the time at which the event was accepted. `wait_seconds` is how long the event was in the queue,
    `label_seconds` how long it took to label it. `decode_seconds` and `model_seconds` are sums over all pictures, which
    several threads may have shared.
    """

    task_id: str
    camera: str | None
    at: float
    received: float
    rule: Rule
    pictures: tuple[LabeledPicture, ...]
    event_labels: tuple[str, ...] | None
    reply: Reply
    summary: str
    rejected: tuple[str, ...]
    incomplete: tuple[str, ...]
    wait_seconds: float
    label_seconds: float
    decode_seconds: float
    model_seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class DeliveryTried:
    """A try to deliver an event's labels ended at `at`.

    `outcome` is ``delivered``, ``transient`` (the next try is in `next_seconds`) or ``final`` (there is no next try).
    `status` is the HTTP status of the answer, None without an answer. `reason` says what happened. `attempt` is 1 for
    the first try.
    """

    task_id: str
    camera: str | None
    at: float
    attempt: int
    seconds: float
    outcome: str
    status: int | None
    reason: str
    next_seconds: float | None


@dataclass(frozen=True, slots=True)
class EventDone:
    """An event's labels were delivered, `seconds` after the event was accepted."""

    task_id: str
    camera: str | None
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class EventFailed:
    """An event failed; the owner can retry it. `cause` is one of `queue.task.Cause`."""

    task_id: str
    camera: str | None
    at: float
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class EventRetried:
    """A failed event is tried again, because the owner asked for it or Camio sent it again."""

    task_id: str
    camera: str | None
    at: float


@dataclass(frozen=True, slots=True)
class EventDropped:
    """The owner deleted an event from the queue."""

    task_id: str
    camera: str | None
    at: float


Occurrence = (
    EventAccepted | EventLabeled | DeliveryTried | EventDone | EventFailed | EventRetried | EventDropped
)  # fmt: skip

Subscriber = Callable[[Occurrence], None]


class Activity:
    """Tells subscribers what happens. Belongs to the event loop, except `publish_soon`.

    `least_probability` is the lowest probability of detections that a subscriber needs; 1 if it needs only those that a
    rule may send.
    """

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber, bool] = {}  # the value says whether it has failed
        self._loop: asyncio.AbstractEventLoop | None = None
        self.least_probability = 1.0

    def attach(self) -> None:
        """Bind to the running event loop. Anything that `publish_soon` gets before this call is dropped."""
        self._loop = asyncio.get_running_loop()

    def subscribe(self, subscriber: Subscriber, least_probability: float = 1.0) -> Callable[[], None]:
        """Call `subscriber` with every occurrence from now on; return a function that ends this.

        `subscriber` is called on the event loop, so it must return at once. Slow work belongs on a thread or in a task.
        """
        self._subscribers[subscriber] = False
        self.least_probability = min(self.least_probability, least_probability)

        def end() -> None:
            self._subscribers.pop(subscriber, None)

        return end

    def publish(self, occurrence: Occurrence) -> None:
        """Notify all subscribers. If one fails, log that once, and notify the others."""
        for subscriber, failed in list(self._subscribers.items()):
            try:
                subscriber(occurrence)
            except Exception:
                if not failed:
                    self._subscribers[subscriber] = True
                    log.exception(
                        "unexpected error in a subscriber of events; later ones are not logged",
                        extra=about("subscriber_failed"),
                    )

    def publish_soon(self, occurrence: Occurrence) -> None:
        """Publish on the event loop; any thread may call this."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nobody listens
                self._loop.call_soon_threadsafe(self.publish, occurrence)

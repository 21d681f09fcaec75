"""Describe the status of the service in one object, for `camiohookd status` and the status page.

The daemon makes it (`daemon.status_report`). If the daemon is stopped, the command makes it from the state folder.
Times are ISO 8601 in UTC by this machine's clock.
"""

from typing import Literal

import msgspec

ServiceVerdict = Literal["works", "degraded", "does not work", "draining", "not running"]


class Spread(msgspec.Struct, frozen=True):
    """Seconds within which half (`p50`) and 95 % (`p95`) of the last `count` samples lie."""

    count: int
    p50: float
    p95: float


class RecentError(msgspec.Struct, frozen=True):
    """A warning or an error of the log, without secrets.

    There were `count` in a row that differ only in their numbers; this is the last one, at `time`.
    """

    time: str
    level: str
    text: str
    count: int


class CameraEvent(msgspec.Struct, frozen=True):
    """The last labeled event of a camera; `labels` is a summary of what was sent."""

    camera: str
    time: str
    labels: str


class QueueStatus(msgspec.Struct, frozen=True):
    """The queue: `tasks` by state, the age of the oldest task that waits, and the disk.

    `written_bytes_per_event` is what the queue and the history have written since the start (events, labels,
    thumbnails, trends), divided by the events accepted since then; None before the first one.
    """

    tasks: dict[str, int]
    oldest_seconds: float
    stored_bytes: int
    free_bytes: int
    written_bytes_per_event: float | None = None


class StatusReport(msgspec.Struct, frozen=True):
    """The status at one moment.

    `reasons` say why the verdict is not "works", and what to do. The spreads cover the last 500 events since the start;
    None before the first one. `events_last_hour` counts the events accepted in the last hour, or since a later start.
    `errors` and `cameras` are bounded, newest first.
    """

    verdict: ServiceVerdict
    reasons: list[str]
    version: str
    queue: QueueStatus | None
    up_since: str | None = None
    up_seconds: float = 0.0
    model: str | None = None
    device: str | None = None
    degraded: bool = False
    events_last_hour: int = 0
    wait: Spread | None = None
    label: Spread | None = None
    delivery: Spread | None = None
    errors: list[RecentError] = []
    cameras: list[CameraEvent] = []

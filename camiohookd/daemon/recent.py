"""Remember the last events in memory for the status: times of each step, events an hour, the last event per camera.

Belongs to the event loop. Everything is bounded, and lost at the end of the process.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from camiohookd.monitoring.activity import DeliveryTried, EventAccepted, EventLabeled, Occurrence
from camiohookd.monitoring.status import Spread

SAMPLES = 500
"""Samples of each duration that are kept."""

CAMERAS = 50
"""Cameras whose last event is kept: those that sent events most recently."""

_MINUTES = 60
_MINUTE = 60.0


class Samples:
    """The last `SAMPLES` durations in seconds."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=SAMPLES)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def spread(self) -> Spread | None:
        """Return the median and the 95th percentile (nearest rank); None without a sample."""
        ordered = sorted(self._seconds)
        return Spread(len(ordered), _rank(ordered, 50), _rank(ordered, 95)) if ordered else None


def _rank(ordered: Sequence[float], percent: int) -> float:
    return round(ordered[(len(ordered) * percent + 99) // 100 - 1], 4)


class LastHour:
    """Counts what happened in the last 60 minutes, to the minute."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._minutes: deque[tuple[int, int]] = deque()  # minute, count; in order, without gaps being filled

    def add(self) -> None:
        minute = self._minute()
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1] = (minute, self._minutes[-1][1] + 1)
        else:
            self._minutes.append((minute, 1))
        self._forget(minute)

    def count(self) -> int:
        self._forget(self._minute())
        return sum(count for _, count in self._minutes)

    def _minute(self) -> int:
        return int(self._clock() // _MINUTE)

    def _forget(self, now: int) -> None:
        while self._minutes and self._minutes[0][0] <= now - _MINUTES:
            self._minutes.popleft()


@dataclass(frozen=True, slots=True)
class LastEvent:
    """When (Unix time) a camera's last event was labeled, and a summary of the labels that are sent."""

    at: float
    labels: str


class Recent:
    """What the status shows of the last events; `notice` is a subscriber of `activity.Activity`."""

    def __init__(self) -> None:
        self.accepted = LastHour()
        self.wait, self.label, self.delivery = Samples(), Samples(), Samples()
        self._cameras: OrderedDict[str, LastEvent] = OrderedDict()

    def notice(self, occurrence: Occurrence) -> None:
        """Remember what the status shows of it."""
        match occurrence:
            case EventAccepted():
                self.accepted.add()
            case EventLabeled():
                self.wait.add(occurrence.wait_seconds)
                self.label.add(occurrence.label_seconds)
                self._remember(occurrence.camera or "", LastEvent(occurrence.at, occurrence.summary))
            case DeliveryTried():
                self.delivery.add(occurrence.seconds)

    def cameras(self) -> list[tuple[str, LastEvent]]:
        """Return the last event of each camera ("" if the event names none), the newest first."""
        return list(reversed(self._cameras.items()))

    def _remember(self, camera: str, event: LastEvent) -> None:
        self._cameras[camera] = event
        self._cameras.move_to_end(camera)
        if len(self._cameras) > CAMERAS:
            self._cameras.popitem(last=False)

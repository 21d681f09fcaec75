"""Keep statistics of each camera in one small file: when it sends, and which labels are usual."""

import logging
import time
import zlib
from pathlib import Path

import msgspec

from camiohookd.monitoring.history.views import CameraView
from camiohookd.system.disk import Disk, replace_file
from camiohookd.system.log_fields import about

MAX_CAMERAS = 200
MAX_LABELS = 24
USUAL_SHARE = 0.1
MOST_USUAL = 5
FADING = 0.99
"""The factor by which a label's weight shrinks with each later event: about the last hundred events count."""

DAYS = 14
"""Days whose longest pause is kept."""

LEAST_EVENTS = 10
LEAST_DAYS = 3
"""Events and days that must be known before a camera can be reported as silent."""

LEAST_SILENCE = 3600.0
_DAY = 86400.0
_LONGEST_GAP = 365 * _DAY  # a longer one means that the clock was wrong

log = logging.getLogger("camiohookd.history")


class Camera(msgspec.Struct, omit_defaults=True):
    """One camera.

    `pauses` maps a day (days since 1970) to the longest pause that ended on it, in seconds. `today` counts the events
    of the local date `date`. `labels` counts events with each label and `weight` all events; both fade.
    """

    name: str
    first: float
    last: float
    events: int = 0
    date: str = ""
    today: int = 0
    pauses: dict[int, float] = {}
    labels: dict[str, float] = {}
    weight: float = 0.0

    def seen(self, at: float) -> None:
        """Count an event that was received at `at`."""
        gap = at - self.last
        if self.events and 0 < gap < _LONGEST_GAP:
            day = int(at // _DAY)
            self.pauses[day] = max(self.pauses.get(day, 0.0), round(gap, 1))
            for old in sorted(self.pauses)[:-DAYS]:
                del self.pauses[old]
        self.events += 1
        self.last = at
        date = _local_date(at)
        self.today = self.today + 1 if date == self.date else 1
        self.date = date

    def labelled(self, names: list[str]) -> None:
        """Count the labels of an event."""
        self.weight = self.weight * FADING + 1
        self.labels = {name: round(count * FADING, 4) for name, count in self.labels.items()}
        for name in names:
            self.labels[name] = self.labels.get(name, 0.0) + 1
        if len(self.labels) > MAX_LABELS:
            self.labels = dict(sorted(self.labels.items(), key=lambda item: -item[1])[:MAX_LABELS])

    def usual_pause(self) -> float | None:
        """Return the usual longest pause in seconds; None while too little is known.

        This is the second longest of the daily longest pauses, so that a single outage does not count.
        """
        if self.events < LEAST_EVENTS or len(self.pauses) < LEAST_DAYS:
            return None
        return sorted(self.pauses.values())[-2]

    def silent_since(self, now: float) -> float | None:
        """Return the time of the last event, if twice the usual pause has passed since; otherwise None."""
        pause = self.usual_pause()
        if pause is None or not max(2 * pause, LEAST_SILENCE) < now - self.last < _LONGEST_GAP:
            return None
        return self.last

    def view(self, now: float, picture: tuple[str, int] | None) -> CameraView:
        usual = sorted(self.labels.items(), key=lambda item: -item[1])[:MOST_USUAL]
        shares = [(name, min(count / self.weight, 1.0)) for name, count in usual if self.weight]
        return CameraView(
            name=self.name,
            first=self.first,
            last=self.last,
            events=self.events,
            today=self.today if self.date == _local_date(now) else 0,
            usual=tuple((name, share) for name, share in shares if share >= USUAL_SHARE),
            usual_pause=self.usual_pause(),
            silent_since=self.silent_since(now),
            picture=picture,
        )


_decoder = msgspec.json.Decoder(list[Camera])


class CameraBook:
    """The cameras, read from `path`. Above `MAX_CAMERAS`, the one that has been silent longest is removed.

    Belongs to one thread. A damaged file counts as missing.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._cameras: dict[str, Camera] = {camera.name: camera for camera in _read(path)}
        self._changed = False

    def seen(self, name: str | None, at: float) -> None:
        """Count an event of a camera that was received at `at`."""
        self._get(name, at).seen(at)
        self._changed = True

    def labelled(self, name: str | None, at: float, labels: list[str]) -> None:
        """Count the labels of an event that was received at `at`."""
        camera = self._get(name, at)
        if not camera.events:
            camera.seen(at)
        camera.labelled(labels)
        self._changed = True

    def all(self) -> list[Camera]:
        """Return the cameras by name."""
        return sorted(self._cameras.values(), key=lambda camera: camera.name)

    def save(self) -> None:
        """Write the file if anything has changed since the last time. Raises OSError."""
        if not self._changed:
            return
        text = msgspec.json.encode(self.all())
        replace_file(self._disk, self._path, b"%08x %s\n" % (zlib.crc32(text), text))
        self._changed = False

    def _get(self, name: str | None, at: float) -> Camera:
        camera = self._cameras.get(name or "")
        if camera is None:
            camera = self._cameras[name or ""] = Camera(name or "", first=at, last=at)
            if len(self._cameras) > MAX_CAMERAS:
                others = (each for each in self._cameras.values() if each is not camera)
                del self._cameras[min(others, key=lambda each: each.last).name]
        return camera


def _read(path: Path) -> list[Camera]:
    try:
        check, _, text = path.read_bytes().partition(b" ")
        text = text.removesuffix(b"\n")
        if int(check, 16) != zlib.crc32(text):
            raise ValueError("its checksum does not match")
        return _decoder.decode(text)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning(
            "cannot read the statistics of the cameras, starting without them: %s: %s",
            path,
            error,
            extra=about("history_damaged"),
        )
        return []


def _local_date(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.localtime(at))
    except (OverflowError, OSError, ValueError):  # the clock is outside what the C library can show
        return ""

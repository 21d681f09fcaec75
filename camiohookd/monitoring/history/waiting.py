"""Queue the pictures for thumbnails: cameras take turns, and each camera's newest event comes first.

The files wait in memory, within two bounds. Above `max_bytes`, the camera with the most bytes loses its oldest event,
which is shown without thumbnails. An event that the history has forgotten, because `keep` others came later, is
removed.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from camiohookd.monitoring.activity import EventLabeled

MAX_BYTES = 8_000_000
MOST_OF_EVENT = 6
"""Thumbnails of an event, for the pictures with the most probable labels."""

LONGEST_SIDE = 640
_SIDES = {1: LONGEST_SIDE, 2: LONGEST_SIDE, 3: 512, 4: 448}
_SMALLEST_SIDE = 400


class Job(NamedTuple):
    """A thumbnail to make. `picture` is the number of the picture, `width` and `height` are its size in pixels, and
    `side` is the length of the thumbnail's longer side in pixels."""

    task_id: int
    camera: str
    picture: int
    file: bytes
    width: int
    height: int
    side: int

    @property
    def usual_bytes(self) -> int:
        """Return about how many bytes such a thumbnail takes; measured with photographs."""
        return self.side**2 // 14


class _Event(NamedTuple):
    """The waiting pictures of an event, best first; `nth` counts the events in the order in which they were added."""

    nth: int
    jobs: deque[Job]


class WaitingPictures:
    """The waiting pictures of the last `keep` events, with at most `max_bytes` of files. Belongs to the event loop."""

    def __init__(self, keep: int, max_bytes: int = MAX_BYTES) -> None:
        self._keep = keep
        self._max_bytes = max_bytes
        self._cameras: dict[str, deque[_Event]] = {}  # next camera first; of each, oldest event first
        self._held: dict[str, int] = {}  # bytes by camera
        self._added = 0

    def __len__(self) -> int:
        return sum(len(event.jobs) for events in self._cameras.values() for event in events)

    @property
    def bytes_held(self) -> int:
        return sum(self._held.values())

    def add(self, jobs: Sequence[Job]) -> None:
        """Add the pictures of the event that was labeled last, best first."""
        self._added += 1
        self._forget()
        if not jobs:
            return
        camera = jobs[0].camera
        self._cameras.setdefault(camera, deque()).append(_Event(self._added, deque(jobs)))
        self._held[camera] = self._held.get(camera, 0) + sum(len(job.file) for job in jobs)
        while self.bytes_held > self._max_bytes:
            self._give_up(max(self._held, key=lambda each: self._held[each]))

    def take(self) -> Job:
        """Return the next picture: the best one of the newest event of the camera whose turn it is.

        Raises StopIteration if none waits.
        """
        camera = next(iter(self._cameras))
        events = self._cameras.pop(camera)
        job = events[-1].jobs.popleft()
        self._held[camera] -= len(job.file)
        if not events[-1].jobs:
            events.pop()
        if events:
            self._cameras[camera] = events  # behind all others
        else:
            del self._held[camera]
        return job

    def _forget(self) -> None:
        """Remove the event that is not among the last `keep` any more: one more was labeled."""
        for camera, events in self._cameras.items():
            if events[0].nth <= self._added - self._keep:
                self._remove(camera, events.popleft().jobs)
                return

    def _give_up(self, camera: str) -> None:
        """Remove the oldest event of a camera; if it is the only one, only its last picture."""
        events = self._cameras[camera]
        gone = [events[0].jobs.pop()] if len(events) == 1 else events.popleft().jobs
        if not events[0].jobs:
            events.popleft()
        self._remove(camera, gone)

    def _remove(self, camera: str, gone: Iterable[Job]) -> None:
        """Count pictures of a camera as removed, and forget the camera if it has no others."""
        self._held[camera] -= sum(len(job.file) for job in gone)
        if not self._cameras[camera]:
            del self._cameras[camera], self._held[camera]


def jobs(event: EventLabeled, most_pictures: int, *, all_of_them: bool) -> list[Job]:
    """Return the thumbnails to make of an event's first `most_pictures` pictures, most probable label first.

    With `all_of_them` at most `MOST_OF_EVENT`; otherwise a small one of the first picture only.
    """
    pictures = [(number, each) for number, each in enumerate(event.pictures[:most_pictures]) if each.file]
    ranked = sorted(pictures, key=lambda item: -max((found.probability for found in item[1].labels.sent), default=0.0))
    chosen = ranked[: MOST_OF_EVENT if all_of_them else 1]
    side = _SIDES.get(len(chosen), _SMALLEST_SIDE) if all_of_them else _SMALLEST_SIDE
    return [
        Job(int(event.task_id), event.camera or "", number, each.file, each.labels.width, each.labels.height, side)
        for number, each in chosen
    ]

"""Index the kept events and the places of their records in memory; rebuilt from the records at each start."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from camiohookd.monitoring.history.records import MAX_TEXT, Step, StoredEvent
from camiohookd.monitoring.history.views import State
from camiohookd.storage.segments import Place

MAX_STEPS = 40


@dataclass(slots=True)
class IndexedEvent:
    """One event. `event` is the place of its record, None if it failed before it was labeled.

    `old` marks an event beyond the number to keep: it stays only because it has its camera's last picture.
    """

    id: int
    camera: str | None
    received: float
    labels: tuple[tuple[str, float], ...] = ()
    pictures: int = 0
    event: Place | None = None
    thumbnails: dict[int, Place] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    attempts: int = 0
    state: State = "labelled"
    cause: str = ""
    failure: str = ""
    old: bool = False

    def add(self, step: Step) -> None:
        """Add a step, and change the state that follows from it."""
        self.steps.append(step)
        del self.steps[:-MAX_STEPS]
        match step.what:
            case "tried":
                self.attempts = step.attempt
            case "done":
                self.state = "delivered"
            case "failed":
                self.state, self.cause, self.failure = "failed", step.cause, step.reason[:MAX_TEXT]
            case "retried":
                self.state, self.cause, self.failure = "labelled", "", ""
            case "dropped":
                self.state = "dropped"

    def segments(self) -> set[int]:
        """Return the numbers of the segments that have its records."""
        places = [*self.thumbnails.values(), *([self.event] if self.event else ())]
        return {place.segment for place in places}


class EventIndex:
    """The last `keep` events, in the order in which they were labeled, and each camera's last one with a thumbnail.

    Belongs to one thread.
    """

    def __init__(self, keep: int, most_cameras: int) -> None:
        self._keep = keep
        self._most_cameras = most_cameras
        self._entries: dict[int, IndexedEvent] = {}  # oldest first
        self._pictured: dict[str, int] = {}  # by camera, longest ago first: its last event with a thumbnail
        self._recent = 0  # the count of entries that are not old

    def __len__(self) -> int:
        return self._recent

    def get(self, task_id: int) -> IndexedEvent | None:
        return self._entries.get(task_id)

    def newest_first(self) -> Iterator[IndexedEvent]:
        """Yield the events that are not old."""
        return (entry for entry in reversed(self._entries.values()) if not entry.old)

    def pictured(self) -> Iterator[IndexedEvent]:
        """Yield each camera's last event with a thumbnail, newest first."""
        return (self._entries[task_id] for task_id in reversed(self._pictured.values()))

    def picture_of(self, camera: str) -> IndexedEvent | None:
        """Return the camera's last event with a thumbnail."""
        task_id = self._pictured.get(camera)
        return None if task_id is None else self._entries[task_id]

    def put(self, task_id: int, event: StoredEvent, place: Place, *, old: bool = False) -> None:
        """Add a labeled event, in place of an earlier one with this id.

        An `old` one is kept only for its camera's last picture; `tidy` removes it if it gets no thumbnail.
        """
        before = self._take_out(task_id)
        if before is not None:
            self._unpicture(before)
        entry = IndexedEvent(task_id, event.camera, event.received, event.labels, _count(event), place)
        if old:
            entry.old = True
            self._entries[task_id] = entry
        else:
            self._insert(entry)

    def add_step(self, task_id: int, step: Step) -> bool:
        """Add a step to an event; return False if the event is not kept."""
        entry = self._entries.get(task_id)
        if entry is None:
            if step.what != "failed":
                return False
            entry = IndexedEvent(task_id, step.camera, step.at)
            self._insert(entry)
        entry.add(step)
        return True

    def add_thumbnail(self, task_id: int, picture: int, place: Place) -> None:
        """Add a thumbnail, best one first; do nothing if the event is not kept."""
        entry = self._entries.get(task_id)
        if entry is None:
            return
        entry.thumbnails[picture] = place
        camera = entry.camera or ""
        known = self._pictured.get(camera)
        if known is not None and known != task_id and not self._is_newer(entry, self._entries[known]):
            return
        self._pictured.pop(camera, None)
        self._pictured[camera] = task_id
        if known is not None:
            self._forget_if_old(known)
        if len(self._pictured) > self._most_cameras:
            self._forget_if_old(self._pictured.pop(next(iter(self._pictured))))

    def lose(self, segment: int) -> None:
        """Remove everything whose record is in a segment that is deleted."""
        for entry in list(self._entries.values()):
            lost = [picture for picture, place in entry.thumbnails.items() if place.segment == segment]
            for picture in lost:
                del entry.thumbnails[picture]
            if entry.event is not None and entry.event.segment == segment:
                self._take_out(entry.id)
                self._unpicture(entry)
            elif lost and not entry.thumbnails:
                self._unpicture(entry)

    def tidy(self) -> None:
        """Remove old events whose thumbnail is missing."""
        for entry in list(self._entries.values()):
            self._forget_if_old(entry.id)

    def needed(self) -> int | None:
        """Return the number of the oldest segment that has a record of an event."""
        return min((min(found) for entry in self._entries.values() if (found := entry.segments())), default=None)

    def _insert(self, entry: IndexedEvent) -> None:
        self._entries[entry.id] = entry
        self._recent += 1
        while self._recent > self._keep:
            oldest = next(each for each in self._entries.values() if not each.old)
            oldest.old = True
            self._recent -= 1
            self._forget_if_old(oldest.id)

    def _forget_if_old(self, task_id: int) -> None:
        entry = self._entries.get(task_id)
        if entry is not None and entry.old and self._pictured.get(entry.camera or "") != task_id:
            del self._entries[task_id]

    def _take_out(self, task_id: int) -> IndexedEvent | None:
        entry = self._entries.pop(task_id, None)
        if entry is not None and not entry.old:
            self._recent -= 1
        return entry

    def _unpicture(self, entry: IndexedEvent) -> None:
        camera = entry.camera or ""
        if self._pictured.get(camera) == entry.id:
            del self._pictured[camera]
            self._forget_if_old(entry.id)

    def _is_newer(self, one: IndexedEvent, other: IndexedEvent) -> bool:
        return (one.received, one.id) > (other.received, other.id)


def _count(event: StoredEvent) -> int:
    return len(event.pictures) + event.more_pictures

"""Add records of events within the bounds on bytes, and delete the oldest to make room.

When a segment is deleted, the last pictures of cameras are copied to the newest one. Belongs to the archive's thread.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from camiohookd.monitoring.history import records
from camiohookd.monitoring.history.files import EventFiles
from camiohookd.monitoring.history.index import EventIndex, IndexedEvent
from camiohookd.monitoring.history.reader import Reader
from camiohookd.monitoring.history.records import StoredEvent
from camiohookd.storage.segments import Place
from camiohookd.system.log_fields import about

_STEPS_CARRIED = 5

log = logging.getLogger("camiohookd.history")


class EventBounds(NamedTuple):
    """The most bytes that the records may take, and the bytes to leave free; `free_bytes` may raise OSError."""

    max_bytes: int
    min_free_bytes: int
    free_bytes: Callable[[], int]


class _Carried(NamedTuple):
    """A camera's last event with a thumbnail, copied from a segment that is deleted."""

    entry: IndexedEvent
    event: StoredEvent
    picture: int
    jpeg: bytes


class BoundedEvents:
    """Adds records to `files`, and removes from `index` what it deletes."""

    def __init__(self, files: EventFiles, index: EventIndex, reader: Reader, bounds: EventBounds) -> None:
        self._files = files
        self._index = index
        self._reader = reader
        self._bounds = bounds
        self._refused = False

    def append(self, record: bytes) -> Place | None:
        """Add a record, and delete older ones if needed; return None if the disk refuses or is full."""
        try:
            if not self._has_room(len(record)):
                self.complain("the disk has less free space than queue.min_free_bytes")
                return None
            place = self._files.append(record)
        except OSError as error:
            self.complain(error)
            return None
        self._refused = False
        if place.offset == 0:
            self.drop_unneeded()
        return place

    def make_room(self) -> None:
        """Delete events if the disk has become short, because the queue needs the room."""
        try:
            self._has_room(0)
        except OSError as error:
            self.complain(error)

    def _has_room(self, need: int) -> bool:
        """Delete the oldest events until `need` bytes fit; return whether they do."""
        while self._files.bytes_used + need > self._bounds.max_bytes or self._is_disk_short(need):
            number, carry = self._files.oldest(), not self._is_disk_short(need)
            if number is None:
                number, carry = self._files.retire(), False
            if number is None:
                return False
            self._drop(number, carry=carry)
        return True

    def _is_disk_short(self, need: int) -> bool:
        return self._bounds.free_bytes() < self._bounds.min_free_bytes + need

    def drop_unneeded(self) -> None:
        """Delete the segments that have no record of a remembered event."""
        while (number := self._files.oldest()) is not None:
            needed = self._index.needed()
            if needed is not None and needed <= number:
                return
            self._drop(number, carry=False)

    def _drop(self, number: int, *, carry: bool) -> None:
        """Delete a segment; with `carry`, copy the last pictures of cameras out of it first."""
        carried = [each for entry in self._index.pictured() if (each := self._carried(entry, number))] if carry else []
        self._index.lose(number)
        self._files.drop(number)
        for entry, event, picture, jpeg in carried:
            place = self._files.append(records.encode_event(entry.id, event, old=True))
            self._index.put(entry.id, event, place, old=True)
            for step in entry.steps[-_STEPS_CARRIED:]:
                self._files.append(records.encode_step(entry.id, step))
                self._index.add_step(entry.id, step)
            place = self._files.append(records.encode_thumbnail(entry.id, picture, jpeg))
            self._index.add_thumbnail(entry.id, picture, place)

    def _carried(self, entry: IndexedEvent, number: int) -> _Carried | None:
        """Return what to keep of a camera's last event; None if it is not in that segment, or cannot be read."""
        if number not in entry.segments():
            return None
        picture = next(iter(entry.thumbnails))
        event, jpeg = self._reader.stored(entry), self._reader.thumbnail(entry.id, picture)
        return _Carried(entry, event, picture, jpeg) if event and jpeg else None

    def complain(self, error: OSError | str) -> None:
        """Log why events are not kept; once, until a record is written again."""
        if not self._refused:
            log.warning(
                "cannot keep events for the status page: %s; events are still labeled and delivered",
                error,
                extra=about("history_not_kept"),
            )
        self._refused = True

"""Write records of events to a folder of append-only segments, and delete the oldest segments whole.

Files are synced only at the end of a run: a power cut may lose the last seconds. A torn record does not affect others.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from camiohookd.monitoring.history import records
from camiohookd.monitoring.history.records import Meta
from camiohookd.storage.record import HEAD_BYTES, DamagedRecordError
from camiohookd.storage.segments import Place, SegmentFolder
from camiohookd.system.disk import Disk
from camiohookd.system.log_fields import about

SEGMENT_BYTES = 1024 * 1024
"""A segment of this size takes no more records. Deleting old events frees about this much at a time."""

log = logging.getLogger("camiohookd.history")


class EventFiles:
    """The segments in `folder`. Belongs to one thread.

    `segment_bytes` is the length from which on a segment takes no more records.
    """

    def __init__(self, folder: Path, disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._files = SegmentFolder(folder, "events", records.MAGIC)
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._lengths = self._files.lengths()
        self._last = max(self._lengths, default=0)
        self._active: int | None = None  # the file's descriptor

    @property
    def bytes_used(self) -> int:
        return sum(self._lengths.values())

    def oldest(self) -> int | None:
        """Return the number of the oldest segment that is not being written to; None if there is none."""
        return min((number for number in self._lengths if not self._is_active(number)), default=None)

    def append(self, record: bytes) -> Place:
        """Add a record. Raises OSError; readers skip a record that was written in part."""
        if self._active is None or self._lengths[self._last] >= self._segment_bytes:
            self._begin()
        assert self._active is not None
        place = Place(self._last, self._lengths[self._last], len(record))
        try:
            self._disk.write(self._active, record)
        except OSError:
            self._end()
            self._lengths[self._last] = self._files.path(self._last).stat().st_size
            raise
        self._lengths[self._last] += len(record)
        return place

    def read(self, place: Place) -> tuple[int, Meta, bytes]:
        """Return the record's task id, meta and data. Raises DamagedRecordError, OSError."""
        return records.decode(self._files.read(place))

    def drop(self, number: int) -> None:
        """Delete a segment. Raises OSError."""
        self._disk.unlink(self._files.path(number))
        del self._lengths[number]

    def scan(self) -> Iterator[tuple[Place, int, Meta, bytes]]:
        """Yield the place, task id, meta and data of every whole record, oldest first; thumbnails without their data.

        Skip records that are damaged or cannot be read.
        """
        for number in list(self._lengths):
            with suppress(FileNotFoundError), self._files.path(number).open("rb") as file:
                for place, head in self._files.heads(number):
                    file.seek(place.offset + HEAD_BYTES)
                    try:
                        meta = msgspec.json.decode(file.read(head.meta_length), type=Meta)
                        data = b"" if meta.kind == "thumbnail" else self.read(place)[2]
                    except (msgspec.MsgspecError, UnicodeDecodeError, DamagedRecordError, OSError) as error:
                        log.debug(
                            "skipped a damaged record in %s: %s", file.name, error, extra=about("history_damaged")
                        )
                    else:
                        yield place, head.task_id, meta, data

    def retire(self) -> int | None:
        """Close the segment that is being written to, and return its number; None if there is none."""
        if self._active is None:
            return None
        self._end()
        return self._last

    def close(self) -> None:
        """Sync the segment that is being written to, and close it."""
        if self._active is not None:
            with suppress(OSError):
                self._disk.sync(self._active)
            self._end()

    def _begin(self) -> None:
        self._end()
        number = self._last + 1
        self._active = self._disk.open_append(self._files.path(number))
        self._last, self._lengths[number] = number, 0

    def _end(self) -> None:
        if self._active is not None:
            fd, self._active = self._active, None
            self._disk.close(fd)

    def _is_active(self, number: int) -> bool:
        return self._active is not None and number == self._last

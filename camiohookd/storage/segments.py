"""Segments: append-only files of records, numbered in the order of their creation.

    append ─▶ sync ─▶ settle, or undo          need, let_go ─▶ drop_unneeded

A task names its record by (segment, offset, length), so damage to one record does not affect others. A segment is
deleted when no task needs any record in it.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from camiohookd.storage import record
from camiohookd.storage.record import DamagedRecordError, Head
from camiohookd.system.disk import AppendFile, Disk, make_durable
from camiohookd.system.log_fields import about

SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment that is longer takes no more records.

One record that is needed keeps the whole segment on the disk, so that small segments waste less; each new segment costs
a sync of the folder.
"""

log = logging.getLogger("camiohookd.queue")


class Place(NamedTuple):
    """Where a record is: the number of its segment, and its offset and length in bytes."""

    segment: int
    offset: int
    length: int


class SegmentFolder:
    """The files of one kind of records, ``NUMBER.SUFFIX``; any thread may read them. `magic` begins each record."""

    def __init__(self, folder: Path, suffix: str, magic: bytes) -> None:
        self.folder = folder
        self._suffix = suffix
        self._name = re.compile(rf"(\d{{8}})\.{suffix}")
        self._magic = magic
        folder.mkdir(mode=0o700, exist_ok=True)

    def path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.{self._suffix}"

    def lengths(self) -> dict[int, int]:
        """Return the length in bytes of each segment, by number, in ascending order."""
        matches = [(match, path) for path in self.folder.iterdir() if (match := self._name.fullmatch(path.name))]
        return dict(sorted((int(match[1]), path.stat().st_size) for match, path in matches))

    def read(self, place: Place) -> bytes:
        """Return a record, unchecked. Raises DamagedRecordError if its file is gone; OSError: try again later."""
        try:
            with self.path(place.segment).open("rb") as file:
                file.seek(place.offset)
                return file.read(place.length)
        except FileNotFoundError as error:
            raise DamagedRecordError("its file is gone", b"") from error

    def heads(self, number: int) -> Iterator[tuple[Place, Head]]:
        """Yield the place and the head of every record of a segment; skip damaged and unreadable parts."""
        try:
            with self.path(number).open("rb") as file:
                for offset, head in record.heads(file, self._magic):
                    yield Place(number, offset, head.record_length), head
        except OSError as error:
            log.error(
                "cannot search the rest of %s for events: %s", self.path(number), error, extra=about("unreadable_bytes")
            )


class Segments:
    """Adds records to a folder of segments and deletes the segments that no task needs. Belongs to the store thread.

    `rolled` is whether a segment was started since the last `settle`.
    """

    def __init__(self, files: SegmentFolder, disk: Disk) -> None:
        self.files = files
        self._disk = disk
        # The number of tasks that need a record, by segment. Two tasks may name one place: damage to the journal brings
        # back a task whose segment was deleted, and a later run has used that number again.
        self._needed: Counter[int] = Counter()
        self._active: AppendFile | None = None
        self._settled = 0  # the length of the active segment that `undo` keeps
        self._lengths = files.lengths()
        self._unneeded = set(self._lengths)
        self._last_number = max(self._lengths, default=0)
        self.rolled = False
        self.bytes_used = sum(self._lengths.values())

    def newest_first(self) -> list[int]:
        """Return the numbers of the segments."""
        return sorted(self._lengths, reverse=True)

    def need(self, place: Place) -> None:
        """Keep the record at `place`, until as many calls of `let_go`: one for each task that names it."""
        self._needed[place.segment] += 1
        self._unneeded.discard(place.segment)

    def let_go(self, place: Place) -> None:
        """Take back one `need`."""
        self._needed[place.segment] -= 1
        if self._needed[place.segment] <= 0:
            del self._needed[place.segment]
            self._unneeded.add(place.segment)

    # Adding

    def append(self, data: bytes | bytearray) -> Place:
        """Add a record; it is not durable before `sync`. Raises OSError."""
        if self._active is None or self._active.length >= SEGMENT_BYTES:
            self._roll()
        assert self._active is not None
        offset = self._active.length
        self._active.append(data)
        self._set_length(self._last_number, self._active.length)
        return Place(self._last_number, offset, len(data))

    def _roll(self) -> None:
        if self._active is not None:
            self._active.sync()
            self._close_active()
        # Tasks may still name a lost file: they must not find another task's record in its place.
        number = max(self._last_number, *self._needed, 0) + 1
        file = AppendFile(self._disk, self.files.path(number))
        try:
            self._disk.sync_folder(self.files.folder)
        except OSError:
            file.close()
            self._disk.unlink(self.files.path(number))
            raise
        self._active, self._last_number, self._settled, self.rolled = file, number, 0, True
        self._unneeded.add(number)
        self._set_length(number, file.length)

    def _set_length(self, number: int, length: int) -> None:
        self.bytes_used += length - self._lengths.get(number, 0)
        self._lengths[number] = length

    def sync(self) -> None:
        """Make the appended records durable; `settle` or `undo` follows. Raises OSError."""
        if self._active is not None:
            self._active.sync()

    def settle(self) -> None:
        """Keep the appended records."""
        self.rolled = False
        if self._active is not None:
            self._settled = self._active.length

    def undo(self) -> None:
        """Cut off the records appended since the last `settle`. If the disk fails, write no more to that segment."""
        if self._active is None:
            return
        try:
            if self._active.length != self._settled:
                self._active.cut(self._settled)
            else:
                self._active.repair()
        except OSError:
            self._close_active()
        else:
            self._set_length(self._last_number, self._active.length)

    def abandon(self) -> None:
        """Keep the records appended since the last `settle` in the file, because a journal may still refer to them."""
        if self._active is not None and (self._active.length != self._settled or self._active.is_broken):
            self._close_active()

    def make_durable(self, number: int) -> None:
        """Sync a segment that a killed process may have left unsynced. Raises OSError."""
        make_durable(self._disk, self.files.path(number))

    def _close_active(self) -> None:
        if self._active is not None:
            self._set_length(self._last_number, self._active.size())
            self._active.close()
            self._active = None

    # Deleting: only after it is durable that no task needs the records

    def drop_unneeded(self) -> None:
        """Delete the segments that no task needs; the active one only if it is long. Raises OSError."""
        for number in sorted(filter(self._is_deletable, self._unneeded)):
            if number == self._last_number:
                self._close_active()
            self._disk.unlink(self.files.path(number))
            self._unneeded.discard(number)
            self.bytes_used -= self._lengths.pop(number, 0)

    def _is_deletable(self, number: int) -> bool:
        in_use = number == self._last_number and self._active is not None
        return not in_use or self._lengths[number] >= SEGMENT_BYTES // 4

    def freeable(self, kept: Mapping[int, int]) -> dict[int, int]:
        """Return the bytes of each segment whose records no task needs except for those in `kept`.

        `kept` is the number of tasks that may give up their record, by segment.
        """
        return {number: self._lengths[number] for number, count in kept.items() if self._needed[number] == count}

    def retire(self) -> bool:
        """Close the active segment and delete the unneeded ones; return whether that made room."""
        before = self.bytes_used
        self._close_active()
        self.drop_unneeded()
        return self.bytes_used < before

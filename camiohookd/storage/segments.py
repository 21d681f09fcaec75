"""Payload segments: append-only files of payload records.

A task names its record by (segment, offset, length), so damage to one record costs no other. A segment is deleted when
no task needs any record in it.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from camiohookd.storage.payload_record import DamagedPayloadError, StoredPayload, decode, scan
from camiohookd.system.disk import AppendFile, Disk, make_durable

SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment that is longer takes no more records.

One record that is needed keeps the whole segment on the disk, so that small segments waste less; each new segment costs
a sync of the folder.
"""

_NAME = re.compile(r"(\d{8})\.payloads")

log = logging.getLogger("camiohookd.queue")


class Place(NamedTuple):
    """Where a record stands: the segment's number, and bytes."""

    segment: int
    offset: int
    length: int


class Segments:
    """The folder of segments. All of it belongs to the store thread but `read`, which any thread may call."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._needed: defaultdict[int, set[int]] = defaultdict(set)  # the offsets of the needed records, by segment
        self._active: AppendFile | None = None
        self._settled = 0  # how much of the active segment is referred to by a durable journal
        folder.mkdir(mode=0o700, exist_ok=True)
        self._lengths = {number: self._path(number).stat().st_size for number in self._numbers()}
        self._unneeded = set(self._lengths)
        self._last_number = max(self._lengths, default=0)
        self.bytes_used = sum(self._lengths.values())

    def _numbers(self) -> list[int]:
        return sorted(int(match[1]) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.payloads"

    def need(self, place: Place) -> None:
        self._needed[place.segment].add(place.offset)
        self._unneeded.discard(place.segment)

    def let_go(self, place: Place) -> None:
        needed = self._needed[place.segment]
        needed.discard(place.offset)
        if not needed:
            del self._needed[place.segment]
            self._unneeded.add(place.segment)

    def _set_length(self, number: int, length: int) -> None:
        self.bytes_used += length - self._lengths.get(number, 0)
        self._lengths[number] = length

    # Adding

    def append(self, record: bytes | bytearray) -> Place:
        """Add a record, not yet durable: `sync` makes it so. Raises OSError."""
        if self._active is None or self._active.length >= SEGMENT_BYTES:
            self._roll()
        assert self._active is not None
        offset = self._active.length
        self._active.append(record)
        self._set_length(self._last_number, self._active.length)
        return Place(self._last_number, offset, len(record))

    def _roll(self) -> None:
        if self._active is not None:
            self._active.sync()
            self._close_active()
        number = self._last_number + 1
        file = AppendFile(self._disk, self._path(number))
        try:
            self._disk.sync_folder(self._folder)
        except OSError:
            file.close()
            self._disk.unlink(self._path(number))
            raise
        self._active, self._last_number, self._settled = file, number, 0
        self._unneeded.add(number)
        self._set_length(number, file.length)

    def sync(self) -> None:
        """Make what was appended durable; `settle` or `undo` follows. Raises OSError."""
        if self._active is not None:
            self._active.sync()

    def settle(self) -> None:
        """What was appended is to stay."""
        if self._active is not None:
            self._settled = self._active.length

    def undo(self) -> None:
        """Forget what was appended since it was last settled; what cannot be cut off is left alone for good."""
        if self._active is None or self._active.length == self._settled:
            return
        try:
            self._active.cut(self._settled)
        except OSError:
            self._close_active()
        else:
            self._set_length(self._last_number, self._active.length)

    def abandon(self) -> None:
        """Leave what was appended since it was last settled where it is: a journal may still refer to it."""
        if self._active is not None and self._active.length != self._settled:
            self._close_active()

    def _close_active(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    # Making room; that nothing is needed has to be durable

    def drop_unneeded(self) -> None:
        """Delete the segments that no task needs; the active one only once it is long."""
        for number in sorted(filter(self._is_deletable, self._unneeded)):
            if number == self._last_number:
                self._close_active()
            self._disk.unlink(self._path(number))
            self._unneeded.discard(number)
            self.bytes_used -= self._lengths.pop(number, 0)

    def _is_deletable(self, number: int) -> bool:
        in_use = number == self._last_number and self._active is not None
        return not in_use or self._lengths[number] >= SEGMENT_BYTES // 4

    def can_shrink(self) -> bool:
        """Whether `drop_unneeded` would delete something."""
        return any(map(self._is_deletable, self._unneeded))

    def retire(self) -> bool:
        """Close the active segment for good and delete what is not needed; True if that made room."""
        before = self.bytes_used
        self._close_active()
        self.drop_unneeded()
        return self.bytes_used < before

    def close(self) -> None:
        self.retire()

    # Reading

    def read(self, place: Place) -> StoredPayload:
        """A record, checked; any thread may call this. Raises DamagedPayloadError, or OSError: then try again."""
        try:
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                data = file.read(place.length)
        except FileNotFoundError as error:
            raise DamagedPayloadError("its file is gone", b"") from error
        return decode(data)

    def newest_first(self) -> Iterator[int]:
        return iter(sorted(self._lengths, reverse=True))

    def make_durable(self, number: int) -> None:
        """See that what `scan` found is on stable storage, should it have been left unsynced. Raises OSError."""
        make_durable(self._disk, self._path(number))

    def scan(self, number: int) -> Iterator[tuple[Place, StoredPayload]]:
        """Every whole record of a segment; damaged stretches are passed over."""
        try:
            data = self._path(number).read_bytes()
        except OSError as error:
            log.error("%s cannot be searched for events: %s", self._path(number), error)
            return
        for offset, length, payload in scan(data):
            yield Place(number, offset, length), payload

"""Payload segments: append-only files that hold what an event brought, its decoded pictures above all.

A record is a 32-byte head and a body, little-endian: ``magic "CHP1", task id u64, meta length u32, body length u32,
CRC-32 of the body u32, zero u32, CRC-32 of the head so far u32``; the body is the meta (JSON) and then the pictures,
end to end. A task names its record by (segment, offset, length), so damage to one record costs no other. A segment is
deleted when no task needs anything in it.
"""

import logging
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from camiohookd.disk import AppendFile, Disk, make_durable
from camiohookd.payload import Event, Picture

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment that is longer takes no more records."""

_MAGIC = b"CHP1"
_HEAD = struct.Struct("<4sQIIII")
_HEAD_BYTES = _HEAD.size + 4
_NAME = re.compile(r"(\d{8})\.payloads")

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a record stands: the segment's number, and bytes."""

    segment: int
    offset: int
    length: int


class DamagedPayloadError(Exception):
    """The record is not what was written; `data` are the bytes that stand in its place."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """An event as it was stored: `meta` has ``digest``, ``received`` and ``rest`` (the payload without its images)."""

    task_id: int
    meta: dict[str, Any]
    pictures: tuple[Picture, ...]


class Body(NamedTuple):
    """A record but for its task's id: all that takes long to make. `checksum` is that of `data`."""

    meta_length: int
    data: bytes
    checksum: int


def encode_body(event: Event, received: float) -> Body:
    pictures = [[picture.timestamp, len(picture.data)] for picture in event.pictures]
    meta = msgspec.json.encode({"digest": event.digest, "received": received, "pictures": pictures, "rest": event.rest})
    data = b"".join([meta, *(picture.data for picture in event.pictures)])
    return Body(len(meta), data, zlib.crc32(data))


def encode(task_id: int, body: Body) -> bytes:
    head = _HEAD.pack(_MAGIC, task_id, body.meta_length, len(body.data), body.checksum, 0)
    return b"".join([head, struct.pack("<I", zlib.crc32(head)), body.data])


def decode(record: bytes) -> StoredPayload:
    """Raises DamagedPayloadError."""
    head = _decode_head(record)
    if head is None:
        raise DamagedPayloadError("its head is damaged", record)
    task_id, meta_length, body_length, checksum = head
    body = memoryview(record)[_HEAD_BYTES:]
    if len(body) != body_length or zlib.crc32(body) != checksum:
        raise DamagedPayloadError("its checksum does not fit", record)
    meta = msgspec.json.decode(body[:meta_length])
    pictures, offset = [], meta_length
    for timestamp, length in meta.pop("pictures"):
        pictures.append(Picture(timestamp, bytes(body[offset : offset + length])))
        offset += length
    return StoredPayload(task_id, meta, tuple(pictures))


def _decode_head(data: bytes) -> tuple[int, int, int, int] | None:
    """(task id, meta length, body length, CRC-32 of the body), or None where no whole head stands."""
    if len(data) < _HEAD_BYTES or data[:4] != _MAGIC:
        return None
    if zlib.crc32(data[: _HEAD.size]) != struct.unpack_from("<I", data, _HEAD.size)[0]:
        return None
    _, task_id, meta_length, body_length, checksum, _ = _HEAD.unpack_from(data)
    return task_id, meta_length, body_length, checksum


class Segments:
    """The folder of segments. All of it belongs to the store thread but `read`, which any thread may call."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._needed: Counter[int] = Counter()
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
        self._needed[place.segment] += 1
        self._unneeded.discard(place.segment)

    def let_go(self, place: Place) -> None:
        self._needed[place.segment] -= 1
        if not self._needed[place.segment]:
            del self._needed[place.segment]
            self._unneeded.add(place.segment)

    def _set_length(self, number: int, length: int) -> None:
        self.bytes_used += length - self._lengths.get(number, 0)
        self._lengths[number] = length

    def append(self, record: bytes) -> Place:
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

    def drop_unneeded(self) -> None:
        """Delete the segments that no task needs; the active one only once it is long."""
        for number in sorted(filter(self._is_deletable, self._unneeded)):
            if number == self._last_number:
                self._close_active()
            self._disk.unlink(self._path(number))
            self._unneeded.discard(number)
            self._set_length(number, 0)
            del self._lengths[number]

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
        data = self._read_all(number)
        offset = data.find(_MAGIC)
        while offset >= 0:
            head = _decode_head(data[offset : offset + _HEAD_BYTES])
            length = _HEAD_BYTES + head[2] if head else 1
            with suppress(DamagedPayloadError):
                yield Place(number, offset, length), decode(data[offset : offset + length])
            offset = data.find(_MAGIC, offset + length)

    def _read_all(self, number: int) -> bytes:
        try:
            return self._path(number).read_bytes()
        except OSError as error:
            log.error("%s cannot be searched for events: %s", self._path(number), error)
            return b""

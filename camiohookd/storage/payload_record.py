"""A payload record: what an event brought, its decoded pictures above all, as it stands in a segment.

A record is a 32-byte head and a body, little-endian: ``magic "CHP1", task id u64, meta length u32, body length u32,
CRC-32 of the body u32, zero u32, CRC-32 of the head so far u32``; the body is the meta (JSON) and then the pictures,
end to end.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from camiohookd.wire.event import Event
from camiohookd.wire.images import Picture

_MAGIC = b"CHP1"
_HEAD = struct.Struct("<4sQIIII")
_HEAD_BYTES = _HEAD.size + 4


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


class Draft(NamedTuple):
    """A record without its head, for which there is room in `record`: all that takes long to make."""

    meta_length: int
    record: bytearray
    checksum: int


def draft(event: Event, received: float) -> Draft:
    pictures = [[picture.timestamp, len(picture.data)] for picture in event.pictures]
    meta = msgspec.json.encode({"digest": event.digest, "received": received, "pictures": pictures, "rest": event.rest})
    record = bytearray().join([bytes(_HEAD_BYTES), meta, *(picture.data for picture in event.pictures)])
    return Draft(len(meta), record, zlib.crc32(memoryview(record)[_HEAD_BYTES:]))


def finish(draft: Draft, task_id: int) -> bytearray:
    """The record, in place."""
    meta_length, record, checksum = draft
    _HEAD.pack_into(record, 0, _MAGIC, task_id, meta_length, len(record) - _HEAD_BYTES, checksum, 0)
    struct.pack_into("<I", record, _HEAD.size, zlib.crc32(memoryview(record)[: _HEAD.size]))
    return record


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


def scan(data: bytes) -> Iterator[tuple[int, int, StoredPayload]]:
    """Every whole record among `data`, as (offset, length, payload); damaged stretches are passed over."""
    offset = data.find(_MAGIC)
    while offset >= 0:
        head = _decode_head(data[offset : offset + _HEAD_BYTES])
        length = _HEAD_BYTES + head[2] if head else 1
        with suppress(DamagedPayloadError):
            yield offset, length, decode(data[offset : offset + length])
        offset = data.find(_MAGIC, offset + length)

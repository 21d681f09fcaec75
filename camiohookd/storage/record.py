"""The records of a segment: a head with the task's id and the lengths, and a body; both have a checksum.

The head takes 32 bytes, little-endian: ``magic (4 bytes), task id u64, meta length u32, body length u32, checksum of
the body u32, kind of that checksum u32, CRC-32 of the head so far u32``. The body is the meta, which is JSON, followed
by data.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec
import xxhash

_HEAD = struct.Struct("<4sQIIII")
HEAD_BYTES = _HEAD.size + 4
_CRC32, _XXH3 = 0, 1  # kinds of a body's checksum: version 0.1.0 wrote zlib's CRC-32

PIECE_BYTES = 1024 * 1024
"""How much is read at a time where no head is found."""


class DamagedRecordError(Exception):
    """A record differs from what was written; `data` are the bytes found in its place."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class Head(NamedTuple):
    """The head of a record. Lengths are in bytes; `checksum` is the body's, of the kind `checksum_kind`."""

    task_id: int
    meta_length: int
    body_length: int
    checksum: int
    checksum_kind: int = _XXH3

    @property
    def record_length(self) -> int:
        return HEAD_BYTES + self.body_length


def write_head(record: bytearray, magic: bytes, head: Head) -> None:
    """Write the head of `record`, whose first `HEAD_BYTES` are kept free for it."""
    _HEAD.pack_into(record, 0, magic, *head)
    struct.pack_into("<I", record, _HEAD.size, zlib.crc32(memoryview(record)[: _HEAD.size]))


def checksum(record: bytearray) -> int:
    """Return the checksum of the body of a record whose head is not written yet."""
    return _xxh3(memoryview(record)[HEAD_BYTES:])


def _xxh3(body: memoryview) -> int:
    """Return the lower half of XXH3 with 64 bits (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    return xxhash.xxh3_64_intdigest(body) & 0xFFFF_FFFF


_CHECKSUMS: dict[int, Callable[[memoryview], int]] = {_CRC32: zlib.crc32, _XXH3: _xxh3}

CHECKSUM_KINDS = tuple(_CHECKSUMS)
"""The kinds of a body's checksum that this version can read; it writes the last one."""


def decode(record: bytes, magic: bytes) -> tuple[Head, dict[str, Any], memoryview]:
    """Check a record; return its head, its meta and its data. Raises DamagedRecordError."""
    head = _read_head(record, magic)
    if head is None:
        raise DamagedRecordError("its head is damaged", record)
    body = memoryview(record)[HEAD_BYTES:]
    if len(body) != head.body_length or _CHECKSUMS[head.checksum_kind](body) != head.checksum:
        raise DamagedRecordError("its checksum does not match", record)
    return head, msgspec.json.decode(body[: head.meta_length]), body[head.meta_length :]


def _read_head(data: bytes, magic: bytes) -> Head | None:
    """Return the head at the start of `data`; None if there is no whole one that this version can check."""
    if len(data) < HEAD_BYTES or data[:4] != magic:
        return None
    if zlib.crc32(data[: _HEAD.size]) != struct.unpack_from("<I", data, _HEAD.size)[0]:
        return None
    head = Head(*_HEAD.unpack_from(data)[1:])
    return head if head.checksum_kind in _CHECKSUMS else None


def heads(file: BinaryIO, magic: bytes) -> Iterator[tuple[int, Head]]:
    """Yield every whole head of a segment with its offset; pass over damaged stretches. Raises OSError.

    It reads and checks only heads, so that a long segment takes little time. `decode` checks the bodies.
    """
    offset = 0
    while True:
        file.seek(offset)
        start = file.read(HEAD_BYTES)
        head = _read_head(start, magic)
        if head is not None:
            yield offset, head
            offset += head.record_length
        elif not start or (offset := _find(file, magic, offset + 1)) < 0:
            return


def _find(file: BinaryIO, magic: bytes, offset: int) -> int:
    """Return the offset of the next `magic` at `offset` or later, -1 if there is none."""
    file.seek(offset)
    rest = b""
    while piece := file.read(PIECE_BYTES):
        data = rest + piece
        if (found := data.find(magic)) >= 0:
            return offset - len(rest) + found
        offset += len(piece)
        rest = data[1 - len(magic) :]
    return -1

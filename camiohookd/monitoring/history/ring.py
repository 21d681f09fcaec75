"""A ring buffer in a file of fixed size: interval number N has slot N modulo the number of slots.

A slot is written in place, at most once an interval. Its checksum shows whether it is torn or damaged. Its number shows
whether it is from an earlier round, or from a time at which the clock was wrong.

A slot takes 1024 bytes: ``magic (4 bytes), length u32, CRC-32 of the content u32`` (little-endian), the content, zeros.
"""

import logging
import os
import struct
import zlib
from pathlib import Path

from camiohookd.monitoring.history import buckets
from camiohookd.monitoring.history.buckets import CONTENT_BYTES, Bucket
from camiohookd.system.log_fields import about

_HEAD = struct.Struct("<4sII")
_MAGIC = b"CHT1"
SLOT_BYTES = _HEAD.size + CONTENT_BYTES

log = logging.getLogger("camiohookd.history")


class Ring:
    """The file at `path` with `slots` slots, each for a bucket. Belongs to one thread."""

    def __init__(self, path: Path, slots: int) -> None:
        self._path = path
        self._slots = slots
        self.written = 0

    def write(self, bucket: Bucket) -> None:
        """Put a bucket in its slot. Raises OSError."""
        content = buckets.encode(bucket)
        assert len(content) <= CONTENT_BYTES, "encode must keep the bound"
        slot = (_HEAD.pack(_MAGIC, len(content), zlib.crc32(content)) + content).ljust(SLOT_BYTES, b"\0")
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, slot, self._offset(bucket.number))
        finally:
            os.close(fd)
        self.written += SLOT_BYTES

    def read(self, number: int) -> Bucket | None:
        """Return the bucket with that number, or None if it is missing or damaged."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset(number))
                return self._bucket(file.read(SLOT_BYTES), number)
        except OSError:
            return None

    def last(self, until: int, count: int) -> dict[int, Bucket]:
        """Return the buckets with the last `count` numbers up to `until`, by number; leave out missing ones."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        found: dict[int, Bucket] = {}
        for number in range(max(until - min(count, self._slots) + 1, 0), until + 1):
            offset = self._offset(number)
            bucket = self._bucket(data[offset : offset + SLOT_BYTES], number)
            if bucket is not None:
                found[number] = bucket
        return found

    def _offset(self, number: int) -> int:
        return number % self._slots * SLOT_BYTES

    def _bucket(self, slot: bytes, number: int) -> Bucket | None:
        if len(slot) < _HEAD.size:
            return None
        magic, length, check = _HEAD.unpack_from(slot)
        content = slot[_HEAD.size : _HEAD.size + length]
        if magic != _MAGIC or len(content) != length or zlib.crc32(content) != check:
            return None
        try:
            bucket = buckets.decode(content)
        except ValueError as error:
            log.debug("skipped a damaged slot in %s: %s", self._path, error, extra=about("history_damaged"))
            return None
        return bucket if bucket.number == number else None

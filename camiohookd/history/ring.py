"""A ring buffer in a file of fixed size: interval number N has slot N modulo the number of slots.

A slot is written in place, at most once an interval. Its checksum shows whether it is torn or damaged. Its number shows
whether it is from an earlier round, or from a time at which the clock was wrong.

A slot takes 1024 bytes: ``magic (4 bytes), length u32, CRC-32 of the content u32`` (little-endian), the content, zeros.
"""

import logging
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from camiohookd.system.log_fields import about

SLOT_BYTES = 1024
_HEAD = struct.Struct("<4sII")
_MAGIC = b"CHT1"
CONTENT_BYTES = SLOT_BYTES - _HEAD.size

log = logging.getLogger("camiohookd.history")


class Numbered(Protocol):
    """The content of a slot."""

    @property
    def number(self) -> int: ...


Item = TypeVar("Item", bound=Numbered)


class Ring(Generic[Item]):
    """The file at `path` with `slots` slots.

    `encode` must return at most `CONTENT_BYTES`; `decode` may raise ValueError.

    Belongs to one thread.
    """

    def __init__(
        self, path: Path, slots: int, encode: Callable[[Item], bytes], decode: Callable[[bytes], Item]
    ) -> None:
        self._path = path
        self._slots = slots
        self._encode = encode
        self._decode = decode
        self.written = 0

    def write(self, item: Item) -> None:
        """Put an item in its slot. Raises OSError."""
        content = self._encode(item)
        assert len(content) <= CONTENT_BYTES, "encode must keep the bound"
        slot = (_HEAD.pack(_MAGIC, len(content), zlib.crc32(content)) + content).ljust(SLOT_BYTES, b"\0")
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, slot, self._offset(item.number))
        finally:
            os.close(fd)
        self.written += SLOT_BYTES

    def read(self, number: int) -> Item | None:
        """Return the item with that number; None if there is none, or it is damaged."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset(number))
                return self._item(file.read(SLOT_BYTES), number)
        except OSError:
            return None

    def last(self, until: int, count: int) -> dict[int, Item]:
        """Return the items with the last `count` numbers up to `until`, by number; leave out missing ones."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        found: dict[int, Item] = {}
        for number in range(max(until - min(count, self._slots) + 1, 0), until + 1):
            offset = self._offset(number)
            item = self._item(data[offset : offset + SLOT_BYTES], number)
            if item is not None:
                found[number] = item
        return found

    def _offset(self, number: int) -> int:
        return number % self._slots * SLOT_BYTES

    def _item(self, slot: bytes, number: int) -> Item | None:
        if len(slot) < _HEAD.size:
            return None
        magic, length, check = _HEAD.unpack_from(slot)
        content = slot[_HEAD.size : _HEAD.size + length]
        if magic != _MAGIC or len(content) != length or zlib.crc32(content) != check:
            return None
        try:
            item = self._decode(content)
        except ValueError as error:
            log.debug("skipped a damaged slot in %s: %s", self._path, error, extra=about("history_damaged"))
            return None
        return item if item.number == number else None

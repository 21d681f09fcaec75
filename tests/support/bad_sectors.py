"""A disk that cannot read some bytes of its files, as one that wears out: the kernel says EIO."""

import errno
import io
import os
from pathlib import Path
from typing import BinaryIO, cast

from tests.support.fault_disk import CountingDisk


class UnreadableDisk(CountingDisk):
    """`bad` are the offsets of the bytes that cannot be read, by the file's name."""

    def __init__(self, bad: dict[str, range]) -> None:
        super().__init__()
        self._bad = bad

    def open_read(self, path: Path, buffer_bytes: int) -> BinaryIO:
        raw = _RawFile(path, self._bad.get(path.name, range(0)))
        return cast("BinaryIO", io.BufferedReader(raw, buffer_bytes))


class _RawFile(io.FileIO):
    """Reads up to the first bad byte, and fails there, as read(2) does."""

    def __init__(self, path: Path, bad: range) -> None:
        super().__init__(path)
        self._bad = bad

    def readinto(self, buffer: "io.Buffer") -> int | None:  # type: ignore[name-defined]  # typeshed's own name
        view = memoryview(buffer).cast("B")
        position = self.tell()
        if position in self._bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        before_bad = self._bad.start - position if self._bad and position < self._bad.start else len(view)
        return super().readinto(view[:before_bad])

"""The file calls of the queue's storage, in one place, so that a test can record them or make them fail.

The storage writes only through a `Disk`, and uses it to read when it is opened. Durability depends on the order of
these calls.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO


class Disk:
    """The operating system's calls; `written` counts the bytes handed to it since the start."""

    def __init__(self) -> None:
        self.written = 0

    def open_read(self, path: Path, buffer_bytes: int) -> BinaryIO:
        """Open a file that is read from its start to its end, about `buffer_bytes` at a time."""
        return path.open("rb", buffering=buffer_bytes)

    def open_append(self, path: Path) -> int:
        """Return a descriptor that can only add to `path`; create the file if it is missing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: bytes | bytearray) -> None:
        """Write all of `data`. Raises OSError, and then any part of it may be written."""
        rest = memoryview(data)
        while rest:
            count = os.write(fd, rest)
            self.written += count
            rest = rest[count:]

    def sync(self, fd: int) -> None:
        """Put what was written, and the length of the file, on stable storage."""
        os.fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Put the names in the folder (created, renamed, removed) on stable storage."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """Return how many bytes an ordinary user may still write on the file system of `path`."""
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize


class AppendFile:
    """A file that only grows, or is cut back to its last known good length.

    `length` is the file's length; `synced` is how much of it is on stable storage. After a failed write or sync nothing
    beyond `synced` can be trusted: `repair` cuts it off, and must succeed before the next append.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._disk = disk
        self._fd = disk.open_append(path)
        self.length = self.synced = self.size()
        self._broken = False

    @property
    def is_broken(self) -> bool:
        """Whether the file may hold what a failed write or sync left behind."""
        return self._broken

    def size(self) -> int:
        """Return what the file takes on the disk, with what a failed write left behind."""
        return os.fstat(self._fd).st_size

    def append(self, data: bytes | bytearray) -> None:
        """Add `data` at the end. Raises OSError; the next call then repairs the file first."""
        self.repair()
        self._broken = True
        self._disk.write(self._fd, data)
        self._broken = False
        self.length += len(data)

    def sync(self) -> None:
        """Put the added bytes on stable storage. Raises OSError; then the bytes since the last sync are lost."""
        self.repair()
        if self.synced == self.length:
            return
        self._broken = True
        self._disk.sync(self._fd)
        self._broken = False
        self.synced = self.length

    def repair(self) -> bool:
        """Cut off what a failed write or sync left behind. Return whether there was such a failure.

        Raises OSError while the disk still fails.
        """
        if not self._broken:
            return False
        self.cut(self.synced)
        return True

    def cut(self, length: int) -> None:
        """Shorten the file to its first `length` bytes, durably."""
        self._broken = True
        self._disk.truncate(self._fd, length)
        self._disk.sync(self._fd)
        self.length = self.synced = length
        self._broken = False

    def close(self) -> None:
        self._disk.close(self._fd)


def make_durable(disk: Disk, path: Path) -> None:
    """Sync a file, and its name, that a killed process may have left unsynced. Raises OSError."""
    fd = disk.open_append(path)
    try:
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.sync_folder(path.parent)


class Replacement:
    """A file that is written beside `path` and renamed to it when complete, so that `path` is never incomplete."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._temporary = path.with_name(path.name + ".new")
        disk.unlink(self._temporary)
        self._file = AppendFile(disk, self._temporary)

    @property
    def length(self) -> int:
        return self._file.length

    def append(self, data: bytes) -> None:
        """Raises OSError."""
        self._file.append(data)

    def sync(self) -> None:
        """Raises OSError."""
        self._file.sync()

    def finish(self) -> None:
        """Replace the file, durably. Raises OSError; the caller then calls `abort`."""
        self._file.sync()
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_folder(self._path.parent)
        self._file.close()

    def abort(self) -> None:
        """Delete the new file and keep the old one. Raises OSError."""
        self._file.close()
        self._disk.unlink(self._temporary)


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Replace `path` by a small file, completely or not at all. Raises OSError."""
    replacement = Replacement(disk, path)
    try:
        replacement.append(data)
        replacement.finish()
    except OSError:
        replacement.abort()
        raise


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file of mode 0600 that replaces `target`, durably, at the end of the block; not after an error.

    For files of the owner's, outside of the queue's storage. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    Disk().sync_folder(target.parent)

"""A `Disk` that logs its calls, so that a test can build the state after every possible crash.

Files are identified by number, because a renamed or unlinked file is still the same file.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from camiohookd.system.disk import Disk


@dataclass(frozen=True, slots=True)
class Create:
    file: int
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    file: int
    length: int


@dataclass(frozen=True, slots=True)
class Sync:
    file: int


@dataclass(frozen=True, slots=True)
class FailedSync:
    """A sync that failed. Linux drops the data that it could not write, so the next sync succeeds without it."""

    file: int


@dataclass(frozen=True, slots=True)
class Rename:
    file: int
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Unlink:
    name: str


@dataclass(frozen=True, slots=True)
class SyncFolder:
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A note of the scenario in the log: a request or an acknowledgement."""

    fact: object


Entry = Create | Write | Truncate | Sync | FailedSync | Rename | Unlink | SyncFolder | Mark


class MortalDisk(Disk):
    """A disk that can `die` like its process."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()

    def open_append(self, path: Path) -> int:
        fd = super().open_append(path)
        self._open.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self._open.remove(fd)
        super().close(fd)

    def die(self) -> None:
        """Close all files, as the kernel does when a process is killed. Written data stays in the cache."""
        for fd in list(self._open):
            self.close(fd)


class MemoryDisk(MortalDisk):
    """A disk that syncs nothing, for folders that need not outlive the test."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


class RecordingDisk(MemoryDisk):
    """Work as a `Disk` in the folder `root`, and log every call; names in the log are relative to `root`."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.log: list[Entry] = []
        self.start = {name: (root / name).read_bytes() for name in _files(root)}
        self.files = {name: number for number, name in enumerate(self.start)}
        self._next = len(self.files)
        self._file_of: dict[int, int] = {}

    def begin_anew(self) -> None:
        """Begin a new log, as if all that was written so far were durable."""
        names = {number: name for name, number in self.files.items()}
        self.start = {name: (self.root / name).read_bytes() for name in _files(self.root)}
        self.files = {name: number for number, name in enumerate(self.start)}
        self._file_of = {fd: self.files[names[number]] for fd, number in self._file_of.items() if fd in self._open}
        self._next = len(self.files)
        self.log.clear()

    def mark(self, fact: object) -> None:
        self.log.append(Mark(fact))

    def open_append(self, path: Path) -> int:
        name = self._name(path)
        fd = super().open_append(path)
        if name not in self.files:
            self.files[name] = self._next
            self._next += 1
            self.log.append(Create(self.files[name], name))
        self._file_of[fd] = self.files[name]
        return fd

    def write(self, fd: int, data: bytes | bytearray) -> None:
        self.log.append(Write(self._file_of[fd], bytes(data)))
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self.log.append(Sync(self._file_of[fd]))

    def truncate(self, fd: int, length: int) -> None:
        self.log.append(Truncate(self._file_of[fd], length))
        super().truncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        file = self.files.pop(self._name(source))
        self.files[self._name(target)] = file
        self.log.append(Rename(file, self._name(source), self._name(target)))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        if self.files.pop(self._name(path), None) is not None:
            self.log.append(Unlink(self._name(path)))

    def sync_folder(self, path: Path) -> None:
        self.log.append(SyncFolder(self._name(path)))

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.root)


class Killed(BaseException):
    """The process was killed at this call."""


class FailingDisk(RecordingDisk):
    """A recording disk whose calls `first` to `last`, counted from `arm`, fail with `error`.

    A failed write has written half of its bytes.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.hits = 0
        self.heal()

    def arm(self, first: int, last: int, error: BaseException, part: float = 0.5) -> None:
        """Have calls fail from now on; a write that fails has written `part` of its bytes."""
        self.calls = 0
        self._first, self._last, self._error, self._part = first, last, error, part

    def heal(self) -> None:
        self.arm(1, 0, Killed())

    def _fails(self) -> bool:
        self.calls += 1
        failing = self._first <= self.calls <= self._last
        self.hits += failing
        return failing

    def open_append(self, path: Path) -> int:
        if self._fails():
            raise self._error
        return super().open_append(path)

    def write(self, fd: int, data: bytes | bytearray) -> None:
        if self._fails():
            super().write(fd, data[: round(len(data) * self._part)])
            raise self._error
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        if self._fails():
            if isinstance(self._error, OSError):
                self.log.append(FailedSync(self._file_of[fd]))
            raise self._error
        super().sync(fd)

    def truncate(self, fd: int, length: int) -> None:
        if self._fails():
            raise self._error
        super().truncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        if self._fails():
            raise self._error
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        if self._fails():
            raise self._error
        super().unlink(path)

    def sync_folder(self, path: Path) -> None:
        if self._fails():
            raise self._error
        super().sync_folder(path)


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != "lock")

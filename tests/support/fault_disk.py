"""A disk for tests of the queue: it counts calls, fails when the test says so, and can close as in a crash."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from camiohookd.system.disk import Disk


class CountingDisk(Disk):
    """A disk that counts its calls by name, and the syncs by the kind of file; `fails` decides which calls fail.

    `fails(call, path)` returns the error to raise instead of the call, or None. A write that fails has written half of
    its bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()
        self.fails: Callable[[str, Path], OSError | None] = lambda _call, _path: None
        self.free: int | None = None
        self._open: dict[int, Path] = {}

    def _count(self, call: str, path: Path) -> None:
        self.calls[call] += 1
        if error := self.fails(call, path):
            raise error

    def open_append(self, path: Path) -> int:
        self._count("open", path)
        fd = super().open_append(path)
        self._open[fd] = path
        return fd

    def write(self, fd: int, data: bytes | bytearray) -> None:
        try:
            self._count("write", self._open[fd])
        except OSError:
            super().write(fd, data[: len(data) // 2])
            raise
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._count("sync", self._open[fd])
        self.syncs[kind_of(self._open[fd])] += 1

    def truncate(self, fd: int, length: int) -> None:
        self._count("truncate", self._open[fd])
        super().truncate(fd, length)

    def close(self, fd: int) -> None:
        del self._open[fd]
        super().close(fd)

    def rename(self, source: Path, target: Path) -> None:
        self._count("rename", target)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._count("unlink", path)
        super().unlink(path)

    def sync_folder(self, path: Path) -> None:
        self._count("sync_folder", path)

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.free is None else self.free

    def die(self) -> None:
        """Close the files as the kernel does when it kills a process: what was written stays."""
        for fd in list(self._open):
            self.close(fd)


def kind_of(path: Path) -> str:
    """Return ``journal``, ``segment`` or ``snapshot``."""
    if ".journal-" in path.name:
        return "journal"
    return "segment" if path.suffix == ".payloads" else "snapshot"

"""Compute every state in which a crash may leave the folder, from the log of a `RecordingDisk`.

At every entry of the log, synced data is certain. Data that was written to a file (or cut off) since its last sync may
be lost, kept, kept up to any byte, or replaced by zeros of the same length. Each name that was made, moved or removed
in a folder since its last sync may be so or not, independently of the others. Files and folders are independent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import PurePosixPath

from tests.faults.recording import Create, Entry, FailedSync, Rename, Sync, SyncFolder, Truncate, Unlink, Write

Folder = dict[str, bytes]
"""The bytes of every file by its name, relative to the state folder."""

Cuts = Callable[[int], list[int]]
"""The offsets at which a write of the given length is torn."""

SMALL = 512
MAX_NAME_CHANGES = 6


@dataclass(frozen=True, slots=True)
class Crash:
    """A possible state of the disk after `entry` entries of the log; `how` describes it."""

    entry: int
    how: str
    folder: Folder


def every_byte(length: int) -> list[int]:
    """Return every offset of a small write, and some offsets of a large one."""
    return list(range(1, length)) if length <= SMALL else sorted({*range(1, 65), *range(65, length, length // 100)})


def some_bytes(length: int) -> list[int]:
    """Return few offsets, for a short run: near both ends, and some between."""
    return sorted({cut for cut in (1, 9, 31, 36, *range(24, length, 101), length - 1) if 0 < cut < length})


@dataclass(slots=True)
class _File:
    synced: bytes
    changes: list[Write | Truncate] = field(default_factory=list)
    forgotten_from: int | None = None  # a sync has failed: data from here on will not be written

    def after(self, count: int) -> bytes:
        data = self.synced
        for change in self.changes[:count]:
            data = _changed(data, change)
        return data

    def sync(self) -> None:
        data = self.after(len(self.changes))
        if self.forgotten_from is not None:
            data = data[: self.forgotten_from] + bytes(len(data) - self.forgotten_from)
        self.synced, self.forgotten_from = data, None
        self.changes.clear()

    def truncate(self, change: Truncate) -> None:
        self.changes.append(change)
        if self.forgotten_from is not None and change.length <= self.forgotten_from:
            self.forgotten_from = None

    def coarse(self) -> dict[str, bytes]:
        """Return the coarse states: changes lost, kept, or kept up to one of them."""
        return {f"{count} of {len(self.changes)} changes": self.after(count) for count in range(len(self.changes) + 1)}

    def fine(self, cuts: Cuts) -> dict[str, bytes]:
        """Return every way in which the last write can be torn, or in which the first bytes of all are missing."""
        if not self.changes or not isinstance(self.changes[-1], Write):
            return {}
        before, data = self.after(len(self.changes) - 1), self.changes[-1].data
        states = {"last write zeros": before + bytes(len(data))}
        for cut in cuts(len(data)):
            states[f"last write torn at {cut}"] = before + data[:cut]
        for cut in {1, 9, 32, len(data) // 3, len(data) * 2 // 3, len(data) - 1} & set(range(1, len(data))):
            states[f"last write zeros from {cut}"] = before + data[:cut] + bytes(len(data) - cut)
            states[f"last write zeros up to {cut}"] = before + bytes(cut) + data[cut:]
        if len(before) > len(self.synced):
            states["all zeros but the last write"] = self.synced + bytes(len(before) - len(self.synced)) + data
        return states


def _changed(data: bytes, change: Write | Truncate) -> bytes:
    match change:
        case Write():
            return data + change.data
        case Truncate():
            return data[: change.length]


_NameChange = Create | Rename | Unlink


class _Volume:
    """The certain and the uncertain parts of the disk at one entry of the log."""

    def __init__(self, start: Folder) -> None:
        self._files = {number: _File(data) for number, data in enumerate(start.values())}
        self._names = {name: number for number, name in enumerate(start)}
        self._name_changes: dict[str, list[_NameChange]] = {}

    def apply(self, entry: Entry) -> None:
        match entry:
            case Create(file, name):
                self._files[file] = _File(b"")
                self._changes_in(name).append(entry)
            case Rename(_, _, name) | Unlink(name):
                self._changes_in(name).append(entry)
            case Write(file):
                self._files[file].changes.append(entry)
            case Truncate(file):
                self._files[file].truncate(entry)
            case FailedSync(file):
                self._files[file].forgotten_from = len(self._files[file].synced)
            case Sync(file):
                self._files[file].sync()
            case SyncFolder(folder):
                for change in self._name_changes.pop(folder, []):
                    _rename(self._names, change)

    def _changes_in(self, name: str) -> list[_NameChange]:
        return self._name_changes.setdefault(str(PurePosixPath(name).parent), [])

    def states(self, entry: Entry, cuts: Cuts) -> Iterator[tuple[str, Folder]]:
        contents: list[tuple[str, dict[int, bytes]]] = list(self._coarse_contents())
        for names in self._all_names():
            for how, content in contents:
                yield f"names {sorted(names)}, {how}", {name: content[file] for name, file in names.items()}
        if isinstance(entry, Write):
            yield from self._fine_states(entry.file, contents, cuts)

    def _coarse_contents(self) -> Iterator[tuple[str, dict[int, bytes]]]:
        uncertain = [number for number, file in self._files.items() if file.changes]
        certain = {number: file.synced for number, file in self._files.items() if not file.changes}
        for choice in product(*(self._files[number].coarse().items() for number in uncertain)):
            how = ", ".join(f"file {number}: {how}" for number, (how, _) in zip(uncertain, choice, strict=True))
            yield how, certain | {number: data for number, (_, data) in zip(uncertain, choice, strict=True)}

    def _fine_states(
        self, file: int, contents: list[tuple[str, dict[int, bytes]]], cuts: Cuts
    ) -> Iterator[tuple[str, Folder]]:
        others = [contents[0], contents[-1]]
        all_names = list(self._all_names())
        for names in (all_names[0], all_names[-1]):
            for how, data in self._files[file].fine(cuts).items():
                for other, content in others:
                    folder = {name: content[number] for name, number in names.items()}
                    folder |= {name: data for name, number in names.items() if number == file}
                    yield f"names {sorted(names)}, {other}, but file {file}: {how}", folder

    def _all_names(self) -> Iterator[dict[str, int]]:
        """Return all combinations of uncertain name changes, first none of them, last all."""
        changes = [change for folder in self._name_changes.values() for change in folder]
        free = changes[-MAX_NAME_CHANGES:]
        for kept in product((False, True), repeat=len(free)):
            names = dict(self._names)
            for change in changes[: len(changes) - len(free)]:
                _rename(names, change)
            for change, keep in zip(free, kept, strict=True):
                if keep:
                    _rename(names, change)
            yield names


def _rename(names: dict[str, int], change: _NameChange) -> None:
    match change:
        case Create(file, name):
            names[name] = file
        case Unlink(name):
            names.pop(name, None)
        case Rename(file, source, target):
            if names.get(source) == file:
                del names[source]
            names[target] = file


def crashes(start: Folder, log: list[Entry], cuts: Cuts) -> Iterator[Crash]:
    """Yield every state after every entry; many appear more than once."""
    volume = _Volume(start)
    for count, entry in enumerate(log, 1):
        volume.apply(entry)
        for how, folder in volume.states(entry, cuts):
            yield Crash(count, how, folder)

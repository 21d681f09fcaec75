"""Set damaged bytes aside, so that a person can look at them and later starts do not meet them again.

A file in the quarantine holds all damage found in one file at one start: each damaged line or stretch after a line
``@OFFSET LENGTH``, its place in that file in bytes. Or it holds one damaged record of a segment, unchanged.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from camiohookd.system.disk import AppendFile, Disk
from camiohookd.system.log_fields import about
from camiohookd.units import plural

Kind = Literal["journal", "snapshot", "payload", "reply"]

MAX_FILES = 100
MAX_BYTES = 64 * 1024 * 1024
"""Of all files together; the oldest are deleted first."""

MAX_FILE_BYTES = 16 * 1024 * 1024
"""What is kept of the damage in one file."""

_BUFFER_BYTES = 256 * 1024
_NAME = re.compile(r"(\d{6,})-.+")

log = logging.getLogger("camiohookd.queue")


class Quarantine:
    """The folder `quarantine/` of a state folder; `counts` counts the damage set aside since the start, by kind."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self.counts: Counter[Kind] = Counter()
        self.bytes_used = sum(path.stat().st_size for path in self.files())

    def files(self) -> list[Path]:
        """Return the files of the quarantine, oldest first."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted((path for path in found if _NAME.fullmatch(path.name) and path.is_file()), key=_number)

    def set_aside(self, kind: Kind, origin: str, data: bytes) -> None:
        """Keep the damaged bytes of one record, which `origin` names. A disk error loses only the copy."""
        with self.collecting(kind, origin) as damage:
            damage.add(0, data, framed=False)

    @contextmanager
    def collecting(self, kind: Kind, origin: str) -> Iterator["Damage"]:
        """Collect damage in the block into one file, which is synced once. Without damage, write nothing."""
        damage = Damage(self._disk, lambda: self._new_path(kind, origin))
        try:
            yield damage
        finally:
            damage.close()
            if damage.stretches:
                self.counts[kind] += 1
                _report(kind, origin, damage)
            self.bytes_used += damage.kept
            self._limit()

    def _new_path(self, kind: Kind, origin: str) -> Path:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        files = self.files()
        return self._folder / f"{_number(files[-1]) + 1 if files else 1:06d}-{kind}-{origin}"

    def _limit(self) -> None:
        """Delete the oldest files over `MAX_FILES` and `MAX_BYTES`."""
        try:
            files = self.files()
            while len(files) > MAX_FILES or (self.bytes_used > MAX_BYTES and len(files) > 1):
                oldest = files.pop(0)
                self._delete(oldest)
                log.warning("deleted %s: the quarantine keeps the newest %d files, %d MiB together",
                            oldest, MAX_FILES, MAX_BYTES >> 20, extra=about("quarantine_shortened"))  # fmt: skip
        except OSError as error:
            log.warning(
                "cannot delete the oldest file of the quarantine in %s: %s",
                self._folder,
                error,
                extra=about("quarantine_not_shortened"),
            )

    def evict(self, missing: int) -> int:
        """Delete the oldest files until `missing` bytes are free or none is left; return the bytes freed.

        Raises OSError.
        """
        before = self.bytes_used
        for path in self.files():
            if before - self.bytes_used >= missing:
                break
            self._delete(path)
            log.warning("deleted %s to make room for new events", path, extra=about("quarantine_shortened"))
        return before - self.bytes_used

    def _delete(self, path: Path) -> None:
        size = path.stat().st_size
        self._disk.unlink(path)
        self.bytes_used -= size


class Damage:
    """The damaged stretches of one file. `kept` is the size of the copy on the disk, `size` that of the damaged bytes.

    `refusal` is the error if the disk could not keep them; `unreadable` counts the bytes that could not be read.
    """

    def __init__(self, disk: Disk, new_path: Callable[[], Path]) -> None:
        self._disk = disk
        self._new_path = new_path
        self._file: AppendFile | None = None
        self._buffer = bytearray()
        self.path: Path | None = None
        self.stretches = self.size = self.kept = self.unreadable = self._end = 0
        self.first = 0
        self.refusal: OSError | None = None

    def add(self, offset: int, data: bytes, *, framed: bool = True) -> None:
        """Set `data` aside, which is at `offset` of the file. If `framed`, write its place before it."""
        if not self.stretches:
            self.first = offset
        if offset != self._end or not self.stretches:
            self.stretches += 1
        self._end = offset + len(data)
        self.size += len(data)
        if self.kept + len(self._buffer) + len(data) <= MAX_FILE_BYTES:
            self._buffer += b"@%d %d\n%b\n" % (offset, len(data), data) if framed else data
            if len(self._buffer) >= _BUFFER_BYTES:
                self._write()

    def miss(self, offset: int, length: int) -> None:
        """Count bytes that could not be read."""
        self.add(offset, b"")
        self.unreadable += length
        self._end = offset + length

    def close(self) -> None:
        """Make the copy durable."""
        if self._buffer:
            self._write()
        if self._file is None:
            return
        try:
            self._file.sync()
            self._disk.sync_folder(self._file.path.parent)
        except OSError as error:
            self._refuse(error)
        self.kept = self._file.size()  # an incomplete copy takes room, too
        self._file.close()

    def _write(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        if self.refusal is not None:
            return
        try:
            if self._file is None:
                self.path = self._new_path()
                self._file = AppendFile(self._disk, self.path)
            self._file.append(data)
            self.kept += len(data)
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError) -> None:
        self.refusal = self.refusal or error


def _report(kind: Kind, origin: str, damage: Damage) -> None:
    where = (
        f"in {damage.stretches} places, the first at byte {damage.first}"
        if damage.stretches > 1
        else (f"at byte {damage.first}")
    )
    what = f"damaged {kind}: {plural(damage.size, 'byte')} of {origin} {where}"
    if damage.unreadable:
        what += f", and {plural(damage.unreadable, 'byte')} that the disk could not read"
    if damage.refusal is not None:
        log.error("%s could not be kept: %s", what, damage.refusal, extra=about("damaged_record"))
    elif damage.path is not None:
        whole = "" if damage.size <= MAX_FILE_BYTES else f" (the first {MAX_FILE_BYTES >> 20} MiB)"
        log.error("%s; set aside in %s%s", what, damage.path, whole, extra=about("damaged_record"))
    else:
        log.error("%s", what, extra=about("damaged_record"))


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])

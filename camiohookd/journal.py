"""The journal: an append-only file of checksummed lines, one a change.

A line is ``CRC32 (8 hex digits) SPACE JSON NEWLINE``; the checksum is zlib's, over the JSON. JSON holds no raw newline,
so after damage the next line is found again. The JSON is one of

- ``["put", ID, DOCUMENT]``, ``["set", ID, FIELDS]``, ``["set", ID, FIELDS, [REMOVED, ...]]``, ``["del", ID]``
- ``["note", FIELDS]``: facts about the whole queue, e.g. its clock; the first line of every journal is one

All of them say what is, not what is added: replaying a line twice, or over a state that already holds it, changes
nothing.
"""

import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from camiohookd.disk import AppendFile, Disk

Document = dict[str, Any]
Record = list[Any]

_LONGEST_ID = 19  # digits of what a 64-bit number holds at least
_NAME = re.compile(r"queue\.journal-(\d{8})")


class LostIds:
    """Whose documents damage may have taken, told from the ids around it, since ids grow from line to line.

    Told of every file of a state in turn, the snapshot first. Without this a damaged line would bring back whatever was
    forgotten on purpose.
    """

    def __init__(self) -> None:
        self._last = 0
        self._damaged = False
        self._between: list[range] = []

    def damage(self) -> None:
        self._damaged = True

    def seen(self, number: int) -> None:
        """The id of a document that is whole; what is older than one already seen tells nothing."""
        if number <= self._last:
            return
        if self._damaged:
            self._between.append(range(self._last + 1, number))
        self._last, self._damaged = number, False

    def ranges(self) -> list[range]:
        return [*self._between, range(self._last + 1, sys.maxsize)] if self._damaged else self._between


@dataclass(slots=True)
class Scan:
    """What a journal's bytes hold: `damaged` are (offset, bytes) of bad lines that good ones follow,
    `good_length` ends behind the last good line, so that the rest is a torn tail."""

    records: list[Record] = field(default_factory=list)
    damaged: list[tuple[int, bytes]] = field(default_factory=list)
    good_length: int = 0


def encode(record: Record) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def scan(data: bytes, lost: LostIds | None = None) -> Scan:
    """Every record that is whole, in order, and `lost` is told of them; never raises."""
    result, lost = Scan(), lost or LostIds()
    bad: list[tuple[int, bytes]] = []
    for offset, line in _lines(data):
        record = _decode(line)
        if record is None:
            bad.append((offset, line))
            continue
        if bad:
            lost.damage()
            result.damaged += bad
            bad.clear()
        lost.seen(_newest_id(record))
        result.records.append(record)
        result.good_length = offset + len(line)
    return result


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset) + 1 or len(data)
        yield offset, data[offset:end]
        offset = end


def _decode(line: bytes) -> Record | None:
    body = line[9:-1]
    if line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % zlib.crc32(body):
        return None
    try:
        record = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if _is_record(record) else None


def _is_record(value: Any) -> bool:
    """Whether it is one of those that this version writes; a checksum alone does not say so."""
    match value:
        case ["put", str(key), dict()] | ["set", str(key), dict()] | ["del", str(key)]:
            return _is_id(key)
        case ["set", str(key), dict(), [*removed]]:
            return _is_id(key) and all(isinstance(name, str) for name in removed)
        case ["note", dict(facts)]:
            return isinstance(facts.get("next_id", 1), int)
    return False


def _is_id(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < _LONGEST_ID


def _newest_id(record: Record) -> int:
    """The newest id that a record knows of, 0 if of none."""
    match record:
        case ["put", str(key), _]:
            return int(key)
        case ["note", {"next_id": int(next_id)}]:
            return next_id - 1
    return 0


def replay(records: list[Record], documents: dict[str, Document], notes: Document) -> None:
    """Apply records to `documents` (by id) and `notes`, in place; ``next_id`` is beyond every id that they name."""
    for record in records:
        if isinstance(record[1], str):
            notes["next_id"] = max(notes.get("next_id", 1), int(record[1]) + 1)
        match record:
            case ["put", str(key), dict(document)]:
                documents[key] = document
            case ["set", str(key), dict(fields), *removed]:
                # A document that is not there was deleted later: its own "del" follows.
                if key in documents:
                    change_fields(documents[key], fields, removed[0] if removed else ())
            case ["del", str(key)]:
                documents.pop(key, None)
            case ["note", dict(fields)]:
                # A journal whose making failed half-way may lie behind one that went on: its note is the older one.
                next_id = max(notes.get("next_id", 1), fields.get("next_id", 1))
                notes.update(fields | ({"next_id": next_id} if next_id > 1 else {}))


def change_fields(document: Document, fields: Document, removed: list[str] | tuple[str, ...]) -> None:
    document.update(fields)
    for name in removed:
        document.pop(name, None)


def difference(key: str, before: Document | None, after: Document | None) -> Record:
    """The shortest record that turns one document into the other."""
    if after is None:
        return ["del", key]
    if before is None:
        return ["put", key, after]
    fields = {name: value for name, value in after.items() if name not in before or before[name] != value}
    removed = [name for name in before if name not in after]
    return ["set", key, fields, removed] if removed else ["set", key, fields]


def numbers(folder: Path) -> list[int]:
    """The journals in a folder, oldest first."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def path_of(folder: Path, number: int) -> Path:
    return folder / f"queue.journal-{number:08d}"


def create(disk: Disk, folder: Path, number: int, notes: Document) -> AppendFile:
    """A new journal, durable with its first line. Raises OSError, and then leaves no half of one behind if it can."""
    path = path_of(folder, number)
    file = AppendFile(disk, path)
    try:
        if file.length:  # of an attempt whose clearing up failed too: nobody knows what of it is on the disk
            file.cut(0)
        file.append(encode(["note", notes]))
        file.sync()
        disk.sync_folder(folder)
    except OSError:
        file.close()
        disk.unlink(path)
        raise
    return file

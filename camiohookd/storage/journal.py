"""The journal: an append-only file of checksummed lines, one for each change.

A line is ``CRC32 (8 hex digits) SPACE JSON NEWLINE``; the checksum is zlib's, over the JSON. JSON holds no raw newline,
so the reader finds the next line after damage. The JSON is one of

- ``["put", ID, DOCUMENT]``, ``["set", ID, FIELDS, [REMOVED, ...]]``, ``["del", ID]``
- ``["note", FIELDS]``: facts about the whole queue, e.g. its clock; the first line of every journal is one
- ``["live", [[FIRST, LAST], ...]]``: the ids that had documents when this journal was started; its second line

Each line gives the new state, not a difference: replaying a line twice, or over a state that already contains it,
changes nothing.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from camiohookd.storage.documents import Document, Documents, encode_document
from camiohookd.storage.lost_ids import LostIds, Span
from camiohookd.storage.old_documents import BringUp
from camiohookd.system.disk import AppendFile, Disk

_LONGEST_ID = 19  # the digits that always fit a 64-bit number
_NAME = re.compile(r"queue\.journal-(\d{8})")


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """A new document; `document` is its JSON, not decoded."""

    id: str
    document: msgspec.Raw


class Set(msgspec.Struct, frozen=True, array_like=True, tag="set"):
    """Changed fields of a document, and the names of removed ones."""

    id: str
    fields: Document
    removed: list[str] = []


class Del(msgspec.Struct, frozen=True, array_like=True, tag="del"):
    """A removed document."""

    id: str


class Note(msgspec.Struct, frozen=True, array_like=True, tag="note"):
    """Changed facts about the whole queue."""

    facts: Document


class LiveIds(msgspec.Struct, frozen=True, array_like=True, tag="live"):
    """The ids that had documents when this journal was started."""

    ids: list[Span]


Record = Put | Set | Del | Note | LiveIds

_decoder = msgspec.json.Decoder(Record)


class Scan:
    """Iterates over the whole records in a journal's lines (offset, line), in order. Never raises.

    It calls `damaged` for each bad line that has an end, and notes in `lost` which documents may be lost. After the
    iteration, `good_length` is the end of the last good line. `tail` is the last line if it is bad and has no end,
    because it was torn off while it was written.
    """

    def __init__(
        self, lines: Iterable[tuple[int, bytes]], lost: LostIds, damaged: Callable[[int, bytes], None]
    ) -> None:
        self.good_length = 0
        self.tail = b""
        self._tail_at = 0
        self._lines = lines
        self._lost = lost
        self._damaged = damaged

    def __iter__(self) -> Iterator[Record]:
        for offset, line in self._lines:
            if self.tail:
                self._tail_is_damaged()
            record = _decode(line)
            if record is not None:
                self._tell(record)
                self.good_length = offset + len(line)
                yield record
                continue
            self.tail, self._tail_at = line, offset
            if line.endswith(b"\n"):
                self._tail_is_damaged()

    def _tail_is_damaged(self) -> None:
        self._lost.damage()
        self._damaged(self._tail_at, self.tail)
        self.tail = b""

    def _tell(self, record: Record) -> None:
        """Note in `lost` the ids that a record names."""
        match record:
            case Put():
                self._lost.seen(int(record.id))
            case Set():
                self._lost.changed(int(record.id))
            case Del():
                self._lost.gone(int(record.id))
            case Note(facts={"next_id": int(next_id)}):
                self._lost.given_out(next_id - 1)
            case LiveIds():
                self._lost.only(record.ids)


def encode(record: Record) -> bytes:
    """Return the line of a record. A removal is written twice, because nothing else records it: a single damaged line
    would restore the document."""
    body = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(body), body) * (2 if isinstance(record, Del) else 1)


def _decode(line: bytes) -> Record | None:
    body = line[9:-1]
    if line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % zlib.crc32(body):
        return None
    try:
        record = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record if _is_sound(record) else None


def _is_sound(record: Record) -> bool:
    """Return whether this version could have written the record. A right checksum and form do not suffice."""
    match record:
        case Put():
            return _is_id(record.id) and _is_document(bytes(record.document))
        case Set() | Del():
            return _is_id(record.id)
        case Note(facts):
            return isinstance(facts.get("next_id", 1), int)
        case LiveIds():
            return True


def _is_document(text: bytes) -> bool:
    """Return whether the document can be decoded later. msgspec checks only at decoding that its texts are UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return text.startswith(b"{")


def _is_id(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < _LONGEST_ID


def replay(records: Iterable[Record], documents: Documents, notes: Document, bring_up: BringUp) -> None:
    """Apply records to `documents` and `notes`, in place; `bring_up` converts older documents.

    ``next_id`` is then greater than every id that the records name.
    """
    greatest = notes.get("next_id", 1) - 1
    for record in records:
        match record:
            case Put():
                documents.set_encoded(record.id, bring_up.encoded(record.id, bytes(record.document)))
                greatest = max(greatest, int(record.id))
            case Set():
                # If the document is missing, it was deleted later: its own "del" follows.
                if (document := documents.get(record.id)) is not None:
                    changed = change_fields(document, record.fields, record.removed)
                    documents[record.id] = bring_up.document(record.id, changed)
                greatest = max(greatest, int(record.id))
            case Del():
                documents.pop(record.id, None)
                greatest = max(greatest, int(record.id))
            case Note():
                # A journal whose creation failed may follow one that stayed in use: its note is the older one.
                greatest = max(greatest, record.facts.get("next_id", 1) - 1)
                notes.update(record.facts)
    if greatest:
        notes["next_id"] = greatest + 1


def change_fields(document: Document, fields: Document, removed: list[str]) -> Document:
    document.update(fields)
    for name in removed:
        document.pop(name, None)
    return document


def difference(key: str, before: Document | None, after: Document | None) -> Record:
    """Return the shortest record that turns one document into the other."""
    if after is None:
        return Del(key)
    if before is None:
        return Put(key, msgspec.Raw(encode_document(after)))
    fields = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return Set(key, fields, [name for name in before if name not in after])


def numbers(folder: Path) -> list[int]:
    """Return the journals in a folder, oldest first."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def path_of(folder: Path, number: int) -> Path:
    return folder / f"queue.journal-{number:08d}"


def create(disk: Disk, folder: Path, number: int, first: Iterable[Record]) -> AppendFile:
    """Create a journal, durable with its `first` lines. On an error, delete it if possible and raise OSError."""
    path = path_of(folder, number)
    file = AppendFile(disk, path)
    try:
        if file.length:  # left by an attempt whose clean-up failed, too: its contents on the disk are unknown
            file.cut(0)
        file.append(b"".join(map(encode, first)))
        file.sync()
        disk.sync_folder(folder)
    except OSError:
        file.close()
        disk.unlink(path)
        raise
    return file

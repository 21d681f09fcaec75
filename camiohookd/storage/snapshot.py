"""The snapshot: all documents in one file of plain TinyDB JSON, one document a line.

::

    {"_default": {
    "1": {"state":"pending", ... ,"crc32":"9ae0daaf"},
    "2": {"state":"done", ... ,"crc32":"00c0ffee"}
    }}

`TinyDB("queue.json")` reads it. Each line has the CRC-32 (zlib's) of everything before its ``,"crc32"``, so that damage
loses only the damaged line. A new snapshot is written beside the old one, in steps, and renamed over it.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from camiohookd.storage.documents import Documents
from camiohookd.storage.line_reader import read_lines
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.progress import Progress
from camiohookd.system.disk import Disk, Replacement

_HEAD = b'{"_default": {\n'
_TAIL = b"\n}}\n"
_LAST_LINE = b"}}\n"
_MARK = b',"crc32":"'
_FRAME = (b'{"_default": {', b"}}", b"")


def encode_line(key: str, document: bytes) -> bytes:
    """Return the line of a document, which is JSON, without its end."""
    body = b'"%b": %b' % (key.encode(), document[:-1])
    return b'%b%b%08x"}' % (body, _MARK, zlib.crc32(body))


def parse(
    lines: Iterable[tuple[int, bytes]], lost: LostIds, damaged: Callable[[int, bytes], None]
) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the JSON of every document whose line is whole.

    `lines` are (offset, line). It calls `damaged` for each line that is not whole, and notes possible losses in `lost`.
    """
    started = ended = harmed = False
    end = 0
    for offset, line in lines:
        if offset == 0:
            started = line == _HEAD
            if len(line) > len(_HEAD) or not line.endswith(b"\n"):
                lost.damage()  # a document may have been in the first line
        text = line.rstrip(b",\n")
        if (decoded := _decode_line(text)) is not None:
            lost.seen(int(decoded[0]))
            yield decoded
        elif text not in _FRAME:
            harmed = True
            damaged(offset, line)
            if offset:
                lost.damage()
        end, ended = offset + len(line), line == _LAST_LINE
    if not ended:
        lost.damage()
    if not (started and ended) and not harmed:
        damaged(end, b"")
        lost.damage()


def is_whole(disk: Disk, path: Path) -> bool:
    """Return whether a file is a snapshot without any damage. Raises OSError."""
    harm: list[int] = []

    def damaged(offset: int, _: object) -> None:
        harm.append(offset)

    for _ in parse(read_lines(disk, path, Progress(), damaged), LostIds(), damaged):
        pass
    return not harm


def _decode_line(text: bytes) -> tuple[str, bytes] | None:
    """Return the id, and the document's JSON."""
    body, mark, check = text.rpartition(_MARK)
    if not mark or check != b'%08x"}' % zlib.crc32(body):
        return None
    key, _, document = body.partition(b": ")
    return key.strip(b'"').decode(), document + b"}"


class SnapshotWriter:
    """Writes `documents` as a new snapshot, some bytes a step, while they keep changing.

    A document that changes meanwhile may be in it in its old or new form: the journal that was started before the
    first step has the change, and is replayed over the snapshot.
    """

    def __init__(self, disk: Disk, path: Path, documents: Documents) -> None:
        self._documents = documents
        self._ids = iter(documents.ascending_ids())  # its neighbors show which ones are damaged
        self._file = Replacement(disk, path)
        self._separator = _HEAD

    def step(self, limit: int) -> bool:
        """Write and sync about `limit` bytes; return True once it has replaced the old one. Raises OSError."""
        chunk = bytearray()
        while len(chunk) < limit:
            number = next(self._ids, None)
            if number is None:
                self._finish(bytes(chunk))
                return True
            key = str(number)
            if (document := self._documents.encoded(key)) is not None:
                chunk += self._separator + encode_line(key, document)
                self._separator = b",\n"
        self._file.append(bytes(chunk))
        self._file.sync()
        return False

    def _finish(self, chunk: bytes) -> None:
        opening = _HEAD.rstrip() if self._separator == _HEAD else b""
        self._file.append(chunk + opening + _TAIL)
        self._file.finish()

    def abort(self) -> None:
        """Delete the new file and keep the old snapshot. Raises OSError."""
        self._file.abort()


def write_all(disk: Disk, path: Path, documents: Documents) -> None:
    """Write a snapshot in one step. Raises OSError."""
    writer = SnapshotWriter(disk, path, documents)
    while not writer.step(1 << 20):
        pass

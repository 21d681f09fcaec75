"""The snapshot: every document in one file of plain TinyDB JSON, a document a line.

::

    {"_default": {
    "1": {"state":"pending", ... ,"crc32":"9ae0daaf"},
    "2": {"state":"done", ... ,"crc32":"00c0ffee"}
    }}

`TinyDB("queue.json")` reads it. Each line carries the CRC-32 (zlib's) of all that stands before its ``,"crc32"``, so
that a damaged line costs only itself. A new snapshot is written beside the old one, in steps, and renamed over it.
"""

import zlib
from pathlib import Path

from camiohookd.storage.documents import Documents, lines
from camiohookd.storage.lost_ids import LostIds
from camiohookd.system.disk import AppendFile, Disk

_HEAD = b'{"_default": {\n'
_TAIL = b"\n}}\n"
_MARK = b',"crc32":"'


def encode_line(key: str, document: bytes) -> bytes:
    """`document` is JSON."""
    body = b'"%b": %b' % (key.encode(), document[:-1])
    return b'%b%b%08x"}' % (body, _MARK, zlib.crc32(body))


def parse(data: bytes, lost: LostIds | None = None) -> tuple[Documents, list[tuple[int, bytes]]]:
    """Every document whose line is whole, by id, and the damaged lines as (offset, bytes); never raises.

    `lost` is told of them.
    """
    lost = LostIds() if lost is None else lost
    documents = Documents()
    damaged: list[tuple[int, bytes]] = []
    if not 0 < data.find(b"\n") + 1 <= len(_HEAD):
        lost.damage()  # a document may have stood in the first line
    for offset, line in lines(data):
        text = line.rstrip(b",\n")
        if (decoded := _decode_line(text)) is not None:
            documents.set_encoded(*decoded)
            lost.seen(int(decoded[0]))
        elif text not in (b'{"_default": {', b"}}", b""):
            damaged.append((offset, line))
            if offset:
                lost.damage()
    if not (data.startswith(_HEAD) and data.endswith(_TAIL.lstrip())) and not damaged:
        damaged.append((len(data), b""))
        lost.damage()
    return documents, damaged


def _decode_line(text: bytes) -> tuple[str, bytes] | None:
    """The id, and the document's JSON."""
    body, mark, check = text.rpartition(_MARK)
    if not mark or check != b'%08x"}' % zlib.crc32(body):
        return None
    key, _, document = body.partition(b": ")
    return key.strip(b'"').decode(), document + b"}"


class SnapshotWriter:
    """Writes `documents` as a new snapshot, some bytes a step, while they go on changing.

    Documents that are changed or added meanwhile may stand in it in either form: the journal that was begun before the
    first step holds those changes and is replayed over it.
    """

    def __init__(self, disk: Disk, path: Path, documents: Documents) -> None:
        self._disk = disk
        self._path = path
        self._temporary = path.with_suffix(".json.new")
        self._documents = documents
        self._ids = iter(documents.ascending_ids())  # what is damaged is told by its neighbours
        disk.unlink(self._temporary)
        self._file = AppendFile(disk, self._temporary)
        self._separator = _HEAD

    def step(self, limit: int) -> bool:
        """Write and sync about `limit` bytes; True when the snapshot has taken its place. Raises OSError."""
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
        self._file.sync()
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_folder(self._path.parent)
        self._file.close()

    def abort(self) -> None:
        self._file.close()
        self._disk.unlink(self._temporary)


def write_all(disk: Disk, path: Path, documents: Documents) -> None:
    """A snapshot in one go. Raises OSError."""
    writer = SnapshotWriter(disk, path, documents)
    while not writer.step(1 << 20):
        pass

"""``/events/ID/export.zip``: an event's pictures, payload and labels, as far as they are still there.

The archive is written picture by picture: it never is in memory as a whole.
"""

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from io import RawIOBase
from typing import IO, TYPE_CHECKING, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import msgspec

from camiohookd.queue import commands
from camiohookd.queue.commands import Export
from camiohookd.web.page.event import EventEndpoint

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SUFFIXES = {b"\x89PNG": "png", b"RIFF": "webp"}

_one_at_a_time = asyncio.Lock()


class ExportFile(EventEndpoint):
    """A download."""

    async def show(self) -> None:
        async with _one_at_a_time:
            exported = await self.page.sources.perform(commands.ExportTask(self.task_id))
            assert isinstance(exported, Export)
            self.set_header("Content-Type", "application/zip")
            self.set_header("Content-Disposition", f'attachment; filename="event-{self.task_id}.zip"')
            for piece in zipped(exported):
                self.write(piece)
                await self.flush()


def zipped(exported: Export) -> Iterator[bytes]:
    """Yield the archive in pieces, one for each file and one for the directory."""
    sink = _Sink()
    with ZipFile(cast("IO[bytes]", sink), "w", ZIP_STORED) as archive:
        for name, data in _files(exported):
            archive.writestr(ZipInfo(name), data)
            yield sink.take()
    yield sink.take()


def _files(exported: Export) -> Iterator[tuple[str, bytes]]:
    documents = {"task.json": exported.task, "payload.json": exported.payload, "reply.json": exported.reply}
    for name, document in documents.items():
        if document is not None:
            yield name, msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    if exported.note:
        yield "note.txt", f"{exported.note}\n".encode()
    for number, picture in enumerate(exported.pictures, 1):
        data = b64decode(picture.data_b64)
        yield f"picture-{number:03d}.{_SUFFIXES.get(data[:4], 'jpg')}", data


class _Sink(RawIOBase):
    """A file that cannot seek, whose bytes are taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        self._written += memoryview(data)
        return memoryview(data).nbytes

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data, self._written = bytes(self._written), bytearray()
        return data

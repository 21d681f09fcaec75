"""``/events/ID/export.zip``: an event's pictures, payload and labels, as far as they are still kept.

The archive is written file by file, so that it is never in memory as a whole.
"""

import asyncio
from collections.abc import Iterator
from io import RawIOBase
from typing import IO, TYPE_CHECKING, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from camiohookd.queue import commands
from camiohookd.queue.commands import Export, exported_files
from camiohookd.web.page.event import EventEndpoint

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

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
        for name, data in exported_files(exported):
            archive.writestr(ZipInfo(name), data)
            yield sink.take()
        if exported.note:
            archive.writestr(ZipInfo("note.txt"), f"{exported.note}\n")
    yield sink.take()


class _Sink(RawIOBase):
    """A file that cannot seek; `take` removes the bytes that were written."""

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

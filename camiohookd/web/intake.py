"""The way in: the body of an event ─▶ `Intake.take` ─▶ read, checked, on stable storage ─▶ a receipt.

chunks ─▶ unpacked ─▶ `parse_event` ─▶ callback checked ─▶ `StoreThread`: `TaskQueue.put`, committed ─▶ `IntakeReceipt`

`take` and `page` belong to the event loop. A large body is read on a thread of its own, one at a time, so that the loop
goes on answering meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from camiohookd.queue import views
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task_queue import Prepared
from camiohookd.web.server import answers, gzip_body
from camiohookd.web.server.answers import Refused
from camiohookd.wire.event import Event
from camiohookd.wire.images import Rejected

# Handing half a millisecond's work to another thread, and taking it back, costs as much again.
_SMALL_BYTES = 1024 * 1024


class IntakeReceipt(NamedTuple):
    """What became of an event: the task's id, whether the event was known already, and what was found in it."""

    id: str
    duplicate: bool
    camera: str | None
    pictures: int
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]


class Intake:
    """Takes events into the queue of `store`.

    `parse` reads a body and raises `PayloadError`; `check_callback` raises `PrivateCallback` for a callback URL that
    must not be called; an unpacked body has at most `max_bytes`.
    """

    def __init__(
        self,
        store: StoreThread,
        parse: Callable[[bytes | bytearray], Event],
        check_callback: Callable[[str], None],
        max_bytes: int,
    ) -> None:
        self._store = store
        self._parse = parse
        self._check_callback = check_callback
        self._max_bytes = max_bytes
        self._reader = ThreadPoolExecutor(1, "large-event")

    async def take(self, chunks: list[bytearray], *, is_gzip: bool) -> IntakeReceipt:
        """Return once the event in `chunks`, which are used up, is on stable storage.

        Raises `PayloadError`, `PrivateCallback` or `Refused` if the body cannot be used, `QueueFull` or
        `StoreUnavailable` if it could not be stored.
        """
        if is_gzip or sum(map(len, chunks)) > _SMALL_BYTES:
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._reader, self._read, chunks, is_gzip)
        else:
            prepared = self._read(chunks, is_gzip)
        return await self.keep(prepared)

    async def page(self, limit: int, after: str | None) -> views.Page:
        """Return at most `limit` pending tasks behind `after`; raise `NoSuchTask` if there is none of that name."""
        return await self._store.call(lambda queue: views.page(queue, limit, after))

    async def keep(self, prepared: Prepared) -> IntakeReceipt:
        """Put the event into the queue; return once it is on stable storage. Raises as `take`."""
        task_id, duplicate = await self._store.call(lambda queue: queue.put(prepared))
        event = prepared.event
        return IntakeReceipt(task_id, duplicate, event.camera, len(event.pictures), event.rejected, event.warnings)

    def _read(self, chunks: list[bytearray], is_gzip: bool) -> Prepared:
        body: bytes | bytearray = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if is_gzip:
            body = gzip_body.unpack(body, self._max_bytes)
        event = self._parse(body)
        self._check_callback(event.callback_url)
        return self._store.prepare(event)


class BodyMemory:
    """How many bytes of bodies may be in memory at once."""

    def __init__(self, size: int) -> None:
        self._free = size

    def take(self, size: int) -> None:
        """Raise `Refused` if fewer than `size` bytes are free."""
        if size > self._free:
            raise Refused(answers.BODIES_IN_FLIGHT)
        self._free -= size

    def give_back(self, size: int) -> None:
        """Free `size` bytes that were taken."""
        self._free += size

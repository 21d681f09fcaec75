"""The way in: the body of an event ─▶ `Intake.take` ─▶ read, checked, on stable storage ─▶ a receipt.

chunks ─▶ unpacked ─▶ pictures cut out ─▶ `read_event` ─▶ callback checked ─▶ `StoreThread`: `TaskQueue.put`, committed

`take` and `page` belong to the event loop. Large bodies are read on one thread, one at a time, so that the loop keeps
responding and the memory for reading is needed only once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from camiohookd.queue import views
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task_queue import Prepared
from camiohookd.system.process import give_freed_memory_back
from camiohookd.web.body_memory import BodyShare
from camiohookd.web.server import gzip_body
from camiohookd.wire.cut_body import CutBody, cut_pictures
from camiohookd.wire.event import Event, EventLimits, read_event
from camiohookd.wire.images import Picture, Rejected

# Moving half a millisecond of work to another thread costs as much again.
_SMALL_BYTES = 1024 * 1024
_SMALL_JSON_BYTES = 32 * 1024
_TRIM_SECONDS = 1.0


class IntakeReceipt(NamedTuple):
    """The result of taking an event: its task's id, whether it was known already, and what was found in it.

    `retried`: it was known and had failed, and is tried again. `received` is the time in seconds since 1970.
    """

    id: str
    duplicate: bool
    retried: bool
    received: float
    camera: str | None
    pictures: int
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]


class Intake:
    """Takes events into the queue of `store`.

    `check_callback` raises `PrivateCallback` for a callback URL that must not be called; an unpacked body has at most
    `max_bytes`. `check_open` raises `Refused` while no new events are taken.
    """

    def __init__(
        self,
        store: StoreThread,
        limits: EventLimits,
        check_callback: Callable[[str], None],
        max_bytes: int,
        check_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._check_callback = check_callback
        self._max_bytes = max_bytes
        self._check_open = check_open
        self._reader = ThreadPoolExecutor(1, "large-event")
        self._trims_soon = False

    async def take(self, chunks: list[bytearray], memory: BodyShare, *, is_gzip: bool) -> IntakeReceipt | None:
        """Store the event in `chunks`, which are used up. Returns once it is on stable storage; None for a blank body.

        Settles `memory` at what the event takes. Raises `PayloadError`, `PrivateCallback` or `Refused` if the body
        cannot be used, `QueueFull` or `StoreUnavailable` if it could not be stored.
        """
        memory.settle(sum(map(len, chunks)))
        if not chunks:
            return None
        prepared = await self._prepare(chunks, is_gzip)
        if prepared is None:
            return None
        memory.settle(len(prepared.draft.record))
        return await self.keep(prepared)

    async def keep(self, prepared: Prepared) -> IntakeReceipt:
        """Put the event into the queue. Returns once it is on stable storage; raises as `take`."""
        self._check_open()  # again, because reading the body took time
        receipt = await self._store.call(lambda queue: queue.put(prepared))
        event = prepared.event
        return IntakeReceipt(
            receipt.id,
            receipt.duplicate,
            receipt.retried,
            prepared.received,
            event.camera,
            len(event.pictures),
            event.rejected,
            event.warnings,
        )

    async def page(self, limit: int, after: str | None) -> views.Page:
        """Return at most `limit` pending tasks behind the task `after`. Raises `NoSuchTask` if that does not exist."""
        return await self._store.call(lambda queue: views.page(queue, limit, after))

    async def _prepare(self, chunks: list[bytearray], is_gzip: bool) -> Prepared | None:
        if is_gzip or sum(map(len, chunks)) > _SMALL_BYTES:
            return await self._aside(lambda: self._read(self._cut(chunks, is_gzip)))
        body = self._cut(chunks, is_gzip)
        if len(body.json) > _SMALL_JSON_BYTES:
            return await self._aside(lambda: self._read(body))
        return self._read(body)

    async def _aside(self, read: Callable[[], Prepared | None]) -> Prepared | None:
        """Run `read` on the thread for large bodies."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reader, read)
        finally:
            if not self._trims_soon:
                self._trims_soon = True
                loop.call_later(_TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        self._trims_soon = False
        self._reader.submit(give_freed_memory_back)

    def _cut(self, chunks: list[bytearray], is_gzip: bool) -> CutBody:
        body = _joined(chunks)
        return cut_pictures(gzip_body.unpack(body, self._max_bytes) if is_gzip else body, self._limits.max_json_bytes)

    def _read(self, body: CutBody) -> Prepared | None:
        if body.is_blank():
            return None
        event = read_event(body, self._limits)
        self._check_callback(event.callback_url)
        del body
        prepared = self._store.prepare(event)
        return prepared._replace(event=_without_contents(event))


def _joined(chunks: list[bytearray]) -> bytearray:
    """Return all `chunks` as one, and free each as soon as it is copied; the event loop gets its turn in between."""
    chunks.reverse()
    body = chunks.pop()
    while chunks:
        body += chunks.pop()
    return body


def _without_contents(event: Event) -> Event:
    """Return `event` without its pictures and other JSON, which its record contains, to save memory."""
    return replace(event, pictures=tuple(Picture(each.timestamp, b"") for each in event.pictures), rest={})

"""Loops that look for something to do and do it; while there is nothing to do, they sleep until they are woken.

They belong to the event loop.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from camiohookd.errors import CamiohookdError
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, Task
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape

IDLE_SECONDS = 5.0

Found = TypeVar("Found")

log = logging.getLogger("camiohookd.worker")


class Loops(Generic[Found]):
    """Run `count` equal loops until `stopping` is set.

    `find` returns an item for `do`, or None, and the seconds until there may be another item: 0 means now, infinity
    that only `look_again` can tell. `do` may return the next item that it has already found, in the same form; it
    returns none once `stopping` is set.
    """

    def __init__(
        self,
        count: int,
        find: Callable[[], Awaitable[tuple[Found | None, float]]],
        do: Callable[[Found], Awaitable[tuple[Found | None, float]]],
        stopping: asyncio.Event,
    ) -> None:
        self._count = count
        self._find = find
        self._do = do
        self._stopping = stopping
        # A token means "look again". It wakes one waiting loop; if none waits, the next loop does not begin to.
        self._token = asyncio.Queue[None](1)
        self._timer: asyncio.TimerHandle | None = None
        self._held: dict[int, Found] = {}  # by loop

    def held(self) -> list[Found]:
        """Return the items that the loops work on now."""
        return list(self._held.values())

    def start(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._run(number)) for number in range(self._count)]

    def look_again(self, seconds: float = 0.0) -> None:
        """Let one of the loops look in `seconds` seconds; at infinity none looks."""
        if self.will_look(seconds):
            return
        if seconds <= 0:
            self._token.put_nowait(None)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look_now)

    def will_look(self, seconds: float) -> bool:
        """Return whether a loop will look within `seconds` seconds anyway; any thread may ask."""
        timer = self._timer  # read once: the event loop may change it meanwhile
        is_timed = timer is not None and timer.when() <= time.monotonic() + seconds
        return seconds == math.inf or is_timed or not self._token.empty()

    def _look_now(self) -> None:
        self._timer = None
        self.look_again()

    async def _run(self, number: int) -> None:
        while not self._stopping.is_set():
            try:
                await self._work(number)
            except CamiohookdError as error:
                log.warning("%s; continuing in %g s", error, IDLE_SECONDS, extra=about("loop_failed"))
                await within(IDLE_SECONDS, self._stopping.wait())
            except Exception:
                log.exception(
                    "unexpected error in a working loop; it continues in %g s", IDLE_SECONDS, extra=about("loop_failed")
                )
                await within(IDLE_SECONDS, self._stopping.wait())
            else:
                if not self._stopping.is_set():
                    await within(IDLE_SECONDS, self._token.get())
        self.look_again()  # wake the next loop, which has to end as well

    async def _work(self, number: int) -> None:
        """Find and do items until there is none."""
        try:
            found, pause = await self._find()
            self.look_again(pause)
            while found is not None:
                self._held[number] = found
                found, pause = await self._do(found)
                self.look_again(pause)
        finally:
            self._held.pop(number, None)


async def within(seconds: float, happening: Coroutine[Any, Any, object]) -> None:
    """Wait for `happening`, at most `seconds` seconds."""
    try:
        async with asyncio.timeout(seconds):
            await happening
    except TimeoutError:
        return


async def give_up(store: StoreThread, task: Task, cause: Cause, reason: str) -> None:
    """Log that a task has failed for good, and record it."""
    log.error(
        "failed task=%s camera=%s: %s",
        task.id,
        escape(task.camera or "-"),
        escape(reason),
        extra=about("failed", task=task.id, camera=task.camera),
    )
    await store.persist(lambda queue: queue.fail(int(task.id), cause, reason))

"""Loops that find something to do and do it, again and again; while there is nothing they sleep until they are woken.

They belong to the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from camiohookd.errors import CamiohookdError

IDLE_SECONDS = 5.0

Found = TypeVar("Found")

log = logging.getLogger(__name__)


class Loops(Generic[Found]):
    """`count` loops that are all alike; they end once `stopping` is set.

    `find` returns something for `do`, or None and the seconds after which to look again; at most `IDLE_SECONDS` pass.
    """

    def __init__(
        self,
        count: int,
        find: Callable[[], Awaitable[tuple[Found | None, float]]],
        do: Callable[[Found], Awaitable[None]],
        stopping: asyncio.Event,
    ) -> None:
        self._count = count
        self._find = find
        self._do = do
        self._stopping = stopping
        # It stands for "look again", and wakes one of those that wait for it.
        self._token = asyncio.Queue[None](1)

    def start(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._run()) for _ in range(self._count)]

    def wake_one(self) -> None:
        """One that waits, or else the next that would begin to."""
        if self._token.empty():
            self._token.put_nowait(None)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = await self._step()
            except CamiohookdError as error:
                log.warning("%s; going on in %g s", error, IDLE_SECONDS)
                await within(IDLE_SECONDS, self._stopping.wait())
            except Exception:
                log.exception("a task could not be worked on; going on in %g s", IDLE_SECONDS)
                await within(IDLE_SECONDS, self._stopping.wait())
            else:
                if pause and not self._stopping.is_set():
                    await within(min(pause, IDLE_SECONDS), self._token.get())
        self.wake_one()  # the others have to end as well

    async def _step(self) -> float:
        """Returns the seconds to wait."""
        found, pause = await self._find()
        if found is None:
            return pause
        self.wake_one()  # where one was there may be more
        await self._do(found)
        return 0.0


async def within(seconds: float, happening: Coroutine[Any, Any, object]) -> None:
    """Wait for `happening`, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await happening
    except TimeoutError:
        return

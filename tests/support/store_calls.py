"""Have several operations wait for the store thread at once, so that they share a batch."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task_queue import TaskQueue


@asynccontextmanager
async def while_held(store: StoreThread) -> AsyncIterator[None]:
    """Keep the store thread busy in the block, so that all calls made meanwhile share one commit."""
    release, busy = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: TaskQueue) -> None:
        loop.call_soon_threadsafe(busy.set)
        release.wait()

    holding = asyncio.ensure_future(store.call(hold))
    await busy.wait()
    yield
    await asyncio.sleep(0)
    release.set()
    await holding


async def together(store: StoreThread, *operations: Callable[[TaskQueue], object]) -> list[object]:
    """Return the outcomes of operations that all wait when the store thread wakes."""
    async with while_held(store):
        calls: list[Awaitable[object]] = [asyncio.ensure_future(store.call(each)) for each in operations]
        await asyncio.sleep(0)
    return await asyncio.gather(*calls, return_exceptions=True)

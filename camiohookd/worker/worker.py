"""The work: tasks are labelled, and labelled ones delivered, by loops of their own: neither waits for the other.

    `labelwork`     claim ─▶ labelled, or fail
    `deliverywork`  take_delivery ─▶ done, retry or fail ─▶ landed

Belongs to the event loop but for `queue_changed`.
"""

import asyncio
import math
from typing import Any

from camiohookd.delivery import AllowList, Sender
from camiohookd.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.worker.delivery_loop import DeliveryLoop, until_delivery
from camiohookd.worker.event_labelling import EventLabeler
from camiohookd.worker.label_loop import LabelLoop
from camiohookd.worker.polling import Loops


class Worker:
    """Labels with `threads` threads and delivers with `deliveries` at a time.

    `labeler_deadline` is how long (in seconds) the labeler may take before it gives up by itself.
    """

    def __init__(
        self,
        store: StoreThread,
        *,
        labelling: EventLabeler,
        courier: Sender,
        allow_list: AllowList,
        metrics: Metrics,
        threads: int,
        deliveries: int,
        labeler_deadline: float = 0.0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._labelling = labelling
        self._stopping = asyncio.Event()
        self._labels = LabelLoop(store, labelling, metrics, threads, labeler_deadline, self._stopping)
        self._deliveries = DeliveryLoop(store, courier, allow_list, metrics, deliveries, self._stopping)
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._running = [*self._labels.loops.start(), *self._deliveries.loops.start()]

    def queue_changed(self, queue: TaskQueue) -> None:
        """Wake whoever finds something in the queue now, and does not look anyway; on the store thread."""
        self._wake(self._labels.loops, 0.0 if queue.index.is_claimable else math.inf)
        self._wake(self._deliveries.loops, until_delivery(queue))

    def _wake(self, loops: Loops[Any], seconds: float) -> None:
        if not loops.will_look(seconds):
            self._loop.call_soon_threadsafe(loops.look_again, seconds)

    async def stop(self, grace: float) -> bool:
        """Finish what is in hand within `grace` seconds and take nothing new; False if something is still running."""
        self._stopping.set()
        self._labels.loops.look_again()
        self._deliveries.loops.look_again()
        _, running = await asyncio.wait(self._running, timeout=grace / 2)
        if running:
            await asyncio.to_thread(self._labelling.interrupt)
            _, running = await asyncio.wait(running, timeout=grace / 2)
        for loop in running:
            loop.cancel()
        self._labels.close()
        self._deliveries.close()
        return not running

    def stalled(self) -> str | None:
        """What does not get on, in a sentence; None when all is well."""
        dead = [loop for loop in self._running if loop.done() and not self._stopping.is_set()]
        return self._labels.stalled() or (
            f"{len(dead)} of {len(self._running)} working loops have ended" if dead else None
        )

    def labeler_trouble(self) -> str | None:
        """Why nothing can be labelled at present; None when it can."""
        return self._labelling.trouble

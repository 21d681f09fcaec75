"""Run the loops that label tasks and the loops that deliver replies; neither kind waits for the other.

    `label_loop`     claim ─▶ labeled, or fail
    `delivery_loop`  take ─▶ done, retry or fail ─▶ landed

Belongs to the event loop, except `queue_changed`.
"""

import asyncio
import math
from typing import Any

from camiohookd.delivery import AllowList, Sender
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.worker.delivery_loop import DeliveryLoop
from camiohookd.worker.event_labeler import EventLabeler
from camiohookd.worker.label_loop import LabelLoop
from camiohookd.worker.ownership import OwnershipCheck
from camiohookd.worker.polling import Loops


class Worker:
    """Labels with `threads` threads and makes `deliveries` deliveries at one time.

    `labeler_deadline` is how long (in seconds) the labeler may take before it gives up by itself.
    """

    def __init__(
        self,
        store: StoreThread,
        *,
        event_labeler: EventLabeler,
        sender: Sender,
        allow_list: AllowList,
        metrics: Metrics,
        activity: Activity,
        threads: int,
        deliveries: int,
        labeler_deadline: float = 0.0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._event_labeler = event_labeler
        self._stopping = asyncio.Event()
        self._labels = LabelLoop(store, event_labeler, metrics, activity, threads, labeler_deadline, self._stopping)
        self._deliveries = DeliveryLoop(store, sender, allow_list, metrics, activity, deliveries, self._stopping)
        self._ownership = OwnershipCheck(store, self._labels.loops, self._deliveries.loops, metrics)
        self._running: list[asyncio.Task[None]] = []
        self._checking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = [*self._labels.loops.start(), *self._deliveries.loops.start()]
        self._checking = asyncio.create_task(self._ownership.run())

    def queue_changed(self, queue: TaskQueue) -> None:
        """Wake the loops that have something to do in the queue now; called on the store thread."""
        self._wake(self._labels.loops, 0.0 if queue.tasks.is_claimable else math.inf)
        self._wake(self._deliveries.loops, queue.tasks.until_delivery())

    def _wake(self, loops: Loops[Any], seconds: float) -> None:
        if not loops.will_look(seconds):
            self._loop.call_soon_threadsafe(loops.look_again, seconds)

    async def stop(self, grace: float) -> bool:
        """Take nothing new, and finish what is in hand within `grace` seconds; return whether all of it is finished."""
        self._stopping.set()
        if self._checking is not None:
            self._checking.cancel()
        self._labels.loops.look_again()
        self._deliveries.loops.look_again()
        _, running = await asyncio.wait(self._running, timeout=grace / 2)
        if running:
            await asyncio.to_thread(self._event_labeler.interrupt)
            _, running = await asyncio.wait(running, timeout=grace / 2)
        for loop in running:
            loop.cancel()
        self._labels.close()
        self._deliveries.close()
        return not running

    def stalled(self) -> str | None:
        """Return what makes no progress, as a sentence; None if all is well."""
        dead = [loop for loop in self._running if loop.done() and not self._stopping.is_set()]
        return self._labels.stalled() or (
            f"{len(dead)} of {len(self._running)} working loops have ended" if dead else None
        )

    def labeler_trouble(self) -> str | None:
        """Return why nothing can be labeled at present; None if it can."""
        return self._event_labeler.trouble

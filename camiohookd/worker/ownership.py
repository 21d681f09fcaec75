"""Check that every task in hand or in flight belongs to a running loop, and give back those that do not.

Such a task would wait for ever: it is neither claimed again nor expired. No cause is known, but the check is cheap,
and a missed event can be a burglary. Belongs to the event loop.
"""

import asyncio
import logging

from camiohookd.errors import QueueError
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.holdings import Holding, given_out, reclaim
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import DueDelivery, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system.log_fields import about
from camiohookd.worker.polling import Loops

CHECK_SECONDS = 60.0

log = logging.getLogger("camiohookd.worker")


class OwnershipCheck:
    """Compares the queue's tasks in hand with those that the `labels` and `deliveries` loops hold."""

    def __init__(
        self, store: StoreThread, labels: Loops[Task], deliveries: Loops[DueDelivery], metrics: Metrics
    ) -> None:
        self._store = store
        self._labels = labels
        self._deliveries = deliveries
        self._metrics = metrics
        self._suspected: set[Holding] = set()

    async def run(self) -> None:
        """Check once a minute, for as long as the daemon works."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check()
            except QueueError as error:
                log.debug("cannot check which tasks are held: %s", error, extra=about("ownership_unknown"))

    async def check(self) -> None:
        """Give back what no loop held at the last check and none holds now.

        One check is not enough: a task that was just claimed is on its way to its loop.
        """
        unowned = await self._store.call(given_out) - self._held()
        leaked, self._suspected = unowned & self._suspected, unowned - self._suspected
        if leaked:
            await self._store.persist(lambda queue: _reclaim(queue, leaked))
            for task_id, flight in sorted(leaked):
                what = "delivered" if flight else "labeled"
                log.error("internal error: no part of the service was working on task=%d, which was to be %s; "
                          "it is tried again", task_id, what, extra=about("task_leaked", task=task_id))  # fmt: skip
            self._metrics.tasks_leaked.inc(len(leaked))

    def _held(self) -> set[Holding]:
        held = {Holding(int(task.id), 0) for task in self._labels.held()}
        return held | {Holding(int(each.task.id), each.flight) for each in self._deliveries.held()}


def _reclaim(queue: TaskQueue, leaked: set[Holding]) -> None:
    for holding in leaked:
        reclaim(queue, holding)

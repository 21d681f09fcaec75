"""Deliveries in the queue's order: one that is due ─▶ delivery pool: `callback` ─▶ done, retry or fail ─▶ landed.

Belongs to the event loop. A delivery's place is free again only when its outcome is durable.
"""

import asyncio
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor

from camiohookd.callback import AllowList, Courier, Outcome, OutcomeKind
from camiohookd.errors import CallbackNotAllowed
from camiohookd.givingup import give_up
from camiohookd.loops import Loops
from camiohookd.metrics import Metrics
from camiohookd.payload import encode_reply
from camiohookd.storethread import StoreThread
from camiohookd.systemd import escape
from camiohookd.taskqueue import Delivery, TaskQueue
from camiohookd.tasks import Cause, Task

PROBABLY_DELIVERED = (404, 409, 410)

log = logging.getLogger(__name__)


class DeliveryWork:
    """Makes `count` deliveries at a time."""

    def __init__(
        self,
        store: StoreThread,
        courier: Courier,
        allow_list: AllowList,
        metrics: Metrics,
        count: int,
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._courier = courier
        self._allow_list = allow_list
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(count, "deliver")
        self.loops = Loops(count, self._take, self._try, stopping)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _take(self) -> tuple[Delivery | None, float]:
        return await self._store.call(_take_delivery)

    async def _try(self, delivery: Delivery) -> None:
        started = time.monotonic()
        answer = await self._deliver(delivery.task)
        seconds = time.monotonic() - started
        self._metrics.delivery_seconds.observe(seconds)
        await self._record(delivery, answer, seconds)
        up, answered = answer.kind is not OutcomeKind.TRANSIENT, answer.status is not None
        await self._store.persist(lambda queue: queue.landed(delivery, success=up, answered=answered))
        self.loops.wake_one()  # others of its host may be due now

    async def _deliver(self, task: Task) -> Outcome:
        try:
            target = self._allow_list.check(task.callback_url)
        except CallbackNotAllowed as error:
            return Outcome(OutcomeKind.FINAL, None, str(error))
        assert task.reply is not None
        body = encode_reply(task.reply)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._courier.deliver, target, body)
        except Exception as error:
            log.exception("task=%s could not be delivered for a reason that nobody thought of", task.id)
            return Outcome(OutcomeKind.TRANSIENT, None, f"the delivery failed: {type(error).__name__}")

    async def _record(self, delivery: Delivery, answer: Outcome, seconds: float) -> None:
        task = delivery.task
        match answer.kind:
            case OutcomeKind.DELIVERED:
                await self._store.persist(lambda queue: queue.done(int(task.id)))
                self._metrics.events_delivered.inc()
                log.info(
                    "delivered task=%s camera=%s attempts=%d ms=%d: %s",
                    task.id,
                    escape(task.camera or "-"),
                    task.attempts + 1,
                    seconds * 1000,
                    answer.reason,
                )
            case OutcomeKind.TRANSIENT:
                await self._retry(task, answer)
            case OutcomeKind.FINAL if answer.status is None:
                await give_up(self._store, task, Cause.NOT_ALLOWED, answer.reason)
            case OutcomeKind.FINAL if delivery.maybe_delivered and answer.status in PROBABLY_DELIVERED:
                reason = f"probably delivered before the crash: the callback {answer.reason}"
                await give_up(self._store, task, Cause.PROBABLY_DELIVERED, reason)
            case OutcomeKind.FINAL:
                await give_up(self._store, task, Cause.REFUSED, f"the callback {answer.reason}")

    async def _retry(self, task: Task, answer: Outcome) -> None:
        delay = await self._store.persist(lambda queue: queue.retry(int(task.id), answer.reason, answer.retry_after))
        self._metrics.delivery_retries.inc()
        if delay is not None:
            log.warning("task=%s not delivered, next try in %.0f s: %s", task.id, delay, answer.reason)


def _take_delivery(queue: TaskQueue) -> tuple[Delivery | None, float]:
    """The next delivery, or None and the seconds until there may be one."""
    delivery = queue.take_delivery()
    now = queue.elapsed.now()
    due = queue.deliveries.next_due(now)
    return delivery, math.inf if due is None else max(due - now, 0.05)

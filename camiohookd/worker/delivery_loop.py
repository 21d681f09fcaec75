"""Deliver replies in the queue's order: take one that is due ─▶ `Sender` on a thread ─▶ done, retry or fail ─▶ landed.

Belongs to the event loop. A delivery's slot becomes free only when its outcome is durable.
"""

import asyncio
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor

from camiohookd.delivery import AllowList, Sender
from camiohookd.delivery.allow_list import Target
from camiohookd.errors import CallbackNotAllowed
from camiohookd.monitoring.activity import Activity, DeliveryTried, EventDone
from camiohookd.monitoring.metrics import Metrics
from camiohookd.next_try import DeliveryOutcome, OutcomeKind, was_delivered_before
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, DueDelivery, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape
from camiohookd.wire.reply import encode_reply
from camiohookd.worker.polling import Loops, give_up

LEAST_PAUSE = 0.05

Taken = tuple[DueDelivery | None, float]
"""A delivery to make, or None; and the seconds until there may be another one."""

log = logging.getLogger("camiohookd.delivery")


class DeliveryLoop:
    """Makes `count` deliveries at one time."""

    def __init__(
        self,
        store: StoreThread,
        sender: Sender,
        allow_list: AllowList,
        metrics: Metrics,
        activity: Activity,
        count: int,
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._sender = sender
        self._allow_list = allow_list
        self._metrics = metrics
        self._activity = activity
        self._pool = ThreadPoolExecutor(count, "deliver")
        self._count = count
        self._stopping = stopping
        self.loops = Loops(count, self._take, self._try, stopping)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _take(self) -> Taken:
        return await self._store.call(self._take_delivery)

    async def _try(self, delivery: DueDelivery) -> Taken:
        started = time.monotonic()
        try:
            outcome = await self._deliver(delivery.task)
        except DamagedRecordError as error:
            outcome = await self._fail_damaged(delivery.task, error)
        else:
            seconds = time.monotonic() - started
            self._metrics.delivery_seconds.observe(seconds)
            await self._record(delivery, outcome, seconds)
        go_on = not self._stopping.is_set()
        taken = await self._store.persist(lambda queue: self._land(queue, delivery, outcome, go_on=go_on))
        return taken or (None, math.inf)

    async def _deliver(self, task: Task) -> DeliveryOutcome:
        try:
            target = self._allow_list.check(task.callback_url)
        except CallbackNotAllowed as error:
            return DeliveryOutcome(OutcomeKind.FINAL, None, str(error), tried=False)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._post, target, task)
        except DamagedRecordError:
            raise
        except Exception as error:
            log.exception(
                "unexpected error while delivering task=%s",
                task.id,
                extra=about("delivery_error", task=task.id, camera=task.camera),
            )
            reason = f"unexpected error: {type(error).__name__}"
            return DeliveryOutcome(OutcomeKind.TRANSIENT, None, reason, tried=False)

    def _post(self, target: Target, task: Task) -> DeliveryOutcome:
        """Deliver a reply, on a thread of the pool. Raises DamagedRecordError."""
        try:
            reply = self._store.read_reply(task)
        except OSError as error:
            reason = f"the stored labels cannot be read: {error.strerror or error}"
            return DeliveryOutcome(OutcomeKind.TRANSIENT, None, reason, tried=False)
        return self._sender.deliver(target, encode_reply(reply))

    async def _fail_damaged(self, task: Task, error: DamagedRecordError) -> DeliveryOutcome:
        if error.data:
            await self._store.persist(lambda queue: queue.set_aside("reply", int(task.id), error.data))
        reason = f"its stored labels are damaged: {error}"
        await give_up(self._store, task, Cause.DAMAGED, reason)
        return DeliveryOutcome(OutcomeKind.FINAL, None, reason, tried=False)

    async def _record(self, delivery: DueDelivery, outcome: DeliveryOutcome, seconds: float) -> None:
        """Make the outcome durable, and log it."""
        task = delivery.task
        match outcome.kind:
            case OutcomeKind.DELIVERED:
                await self._store.persist(lambda queue: queue.deliveries.done(int(task.id)))
                self._metrics.events_delivered.inc()
                log.info(
                    "delivered task=%s camera=%s attempts=%d ms=%d: %s",
                    task.id,
                    escape(task.camera or "-"),
                    task.attempts + 1,
                    seconds * 1000,
                    outcome.reason,
                    extra=about("delivered", task=task.id, camera=task.camera),
                )
                self._publish(task, outcome, seconds, None)
                self._publish_done(task)
            case OutcomeKind.TRANSIENT:
                self._publish(task, outcome, seconds, await self._retry(task, outcome))
            case OutcomeKind.FINAL if outcome.status is None:
                self._publish(task, outcome, seconds, None)
                await give_up(self._store, task, Cause.NOT_ALLOWED, outcome.reason)
            case OutcomeKind.FINAL if was_delivered_before(outcome, maybe_delivered=delivery.maybe_delivered):
                self._publish(task, outcome, seconds, None)
                reason = f"probably delivered before the crash: the callback {outcome.reason}"
                await give_up(self._store, task, Cause.PROBABLY_DELIVERED, reason)
            case OutcomeKind.FINAL:
                self._publish(task, outcome, seconds, None)
                await give_up(self._store, task, Cause.REFUSED, f"the callback {outcome.reason}")

    async def _retry(self, task: Task, outcome: DeliveryOutcome) -> float | None:
        """Plan the next try; return the seconds until then, None if the task is gone meanwhile."""
        wait = await self._store.persist(
            lambda queue: queue.deliveries.retry(int(task.id), outcome.reason, outcome.retry_after)
        )
        self._metrics.delivery_retries.inc()
        if wait is not None:
            log.warning(
                "task=%s not delivered, next try in %.0f s: %s",
                task.id,
                wait,
                outcome.reason,
                extra=about("not_delivered", task=task.id, camera=task.camera),
            )
        return wait

    def _publish(self, task: Task, outcome: DeliveryOutcome, seconds: float, next_seconds: float | None) -> None:
        self._activity.publish(
            DeliveryTried(
                task_id=task.id,
                camera=task.camera,
                at=time.time(),
                attempt=task.attempts + 1,
                seconds=seconds,
                outcome=outcome.kind.value,
                status=outcome.status,
                reason=outcome.reason,
                next_seconds=next_seconds,
            )
        )

    def _publish_done(self, task: Task) -> None:
        now = time.time()
        self._activity.publish(EventDone(task.id, task.camera, now, max(now - task.received, 0.0)))

    # On the store thread

    def _take_delivery(self, queue: TaskQueue) -> Taken:
        delivery = queue.deliveries.take(self._count)
        pause = queue.tasks.until_delivery()
        return delivery, pause if delivery is not None else max(pause, LEAST_PAUSE)

    def _land(self, queue: TaskQueue, delivery: DueDelivery, outcome: DeliveryOutcome, *, go_on: bool) -> Taken:
        """End the try, and take the next delivery: others of its host may be due now."""
        success = outcome.kind is not OutcomeKind.TRANSIENT if outcome.tried else None
        queue.deliveries.landed(delivery, success=success, answered=outcome.status is not None)
        return self._take_delivery(queue) if go_on else (None, math.inf)

"""The work: claimed tasks are labelled, labelled ones delivered, each by loops of its own, so that neither waits.

    label loops     claim ─▶ label pool: `labelling`, shared by its threads ─▶ labelled, or fail
    delivery loops  take_delivery ─▶ delivery pool: `callback` ─▶ done, retry or fail ─▶ landed

The loops are coroutines of the event loop. A delivery's slot is free again only when its outcome is durable.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from camiohookd.callback import AllowList, Courier, OutcomeKind
from camiohookd.callback import Outcome as Answer
from camiohookd.errors import CallbackNotAllowed, CamiohookdError, LabelerDown, LabelingError
from camiohookd.labelling import Interrupted, Labelling
from camiohookd.labelling import Outcome as Labels
from camiohookd.metrics import Metrics
from camiohookd.payload import Reply, encode_reply
from camiohookd.payloadrecord import DamagedPayloadError
from camiohookd.storethread import StoreThread
from camiohookd.systemd import escape
from camiohookd.taskqueue import Delivery, TaskQueue
from camiohookd.tasks import Cause, State, Task

LABELING_TRIES = 3
STALLED_SECONDS = 60.0
IDLE_SECONDS = 5.0
AHEAD = 2
"""Events in hand for each label thread, so that there is always one to look at while another is written down."""

PROBABLY_DELIVERED = (404, 409, 410)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _InHand:
    """An event that is being looked at; `since` (monotonic) is renewed with every picture."""

    task_id: str
    since: float


class Worker:
    """Labels with `threads` threads and delivers with `deliveries` at a time; belongs to the event loop.

    `labeler_deadline` is how long (in seconds) the labeler may take before it gives up by itself.
    """

    def __init__(
        self,
        store: StoreThread,
        *,
        labelling: Labelling,
        courier: Courier,
        allow_list: AllowList,
        metrics: Metrics,
        threads: int,
        deliveries: int,
        labeler_deadline: float = 0.0,
    ) -> None:
        self._store = store
        self._labelling = labelling
        self._courier = courier
        self._allow_list = allow_list
        self._metrics = metrics
        self._label_pool = ThreadPoolExecutor(threads, "label")
        self._delivery_pool = ThreadPoolExecutor(deliveries, "deliver")
        self._threads = threads
        self._deliveries = deliveries
        self._patience = max(STALLED_SECONDS, labeler_deadline)
        self._stopping = asyncio.Event()
        self._labeling_failures: dict[str, int] = {}
        self._in_hand: dict[int, _InHand] = {}
        self._loops: list[asyncio.Task[None]] = []
        # For each kind of loop a token, which stands for "look into the queue" and wakes one of those that wait for it.
        self._to_label = asyncio.Queue[None](1)
        self._to_deliver = asyncio.Queue[None](1)

    def start(self) -> None:
        label = [
            self._forever(partial(self._label_next, slot), self._to_label) for slot in range(AHEAD * self._threads)
        ]
        deliver = [self._forever(self._deliver_next, self._to_deliver) for _ in range(self._deliveries)]
        self._loops = [asyncio.create_task(loop) for loop in (*label, *deliver)]

    def wake(self) -> None:
        """There may be something to do: the queue has changed."""
        tasks = self._store.snapshot.tasks
        if tasks[State.PENDING]:
            _wake_one(self._to_label)
        if tasks[State.LABELLED]:
            _wake_one(self._to_deliver)

    async def stop(self, grace: float) -> bool:
        """Finish what is in hand within `grace` seconds and take nothing new; False if something is still running."""
        self._stopping.set()
        _wake_one(self._to_label)
        _wake_one(self._to_deliver)
        _, running = await asyncio.wait(self._loops, timeout=grace / 2)
        if running:
            await asyncio.to_thread(self._labelling.interrupt)
            _, running = await asyncio.wait(running, timeout=grace / 2)
        for loop in running:
            loop.cancel()
        self._label_pool.shutdown(wait=False, cancel_futures=True)
        self._delivery_pool.shutdown(wait=False, cancel_futures=True)
        return not running

    def stalled(self) -> str | None:
        """What does not get on, in a sentence; None when all is well."""
        now = time.monotonic()
        for each in self._in_hand.values():
            if now - each.since > self._patience:
                return f"labelling a picture of task {each.task_id} takes {now - each.since:.0f} s already"
        dead = [loop for loop in self._loops if loop.done() and not self._stopping.is_set()]
        return f"{len(dead)} of {len(self._loops)} working loops have ended" if dead else None

    def labeler_trouble(self) -> str | None:
        """Why nothing can be labelled at present; None when it can."""
        return self._labelling.trouble

    async def _forever(self, step: Callable[[], Awaitable[float | None]], token: asyncio.Queue[None]) -> None:
        """Do `step` for as long as it finds something; it returns None, or after how many seconds to look again."""
        while not self._stopping.is_set():
            try:
                pause = await step()
            except CamiohookdError as error:
                log.warning("%s; going on in %g s", error, IDLE_SECONDS)
                await _within(IDLE_SECONDS, self._stopping.wait())
            except Exception:
                log.exception("a task could not be worked on; going on in %g s", IDLE_SECONDS)
                await _within(IDLE_SECONDS, self._stopping.wait())
            else:
                if pause is not None and not self._stopping.is_set():
                    await _within(pause, token.get())
        _wake_one(token)  # the others have to end as well

    # Labelling

    async def _label_next(self, slot: int) -> float | None:
        task = await self._store.call(TaskQueue.claim)
        if task is None:
            return IDLE_SECONDS
        _wake_one(self._to_label)  # where one was there may be more
        try:
            await self._label(task, slot)
        finally:
            self._in_hand.pop(slot, None)
        return None

    async def _label(self, task: Task, slot: int) -> None:
        task_id = int(task.id)
        started = time.monotonic()
        try:
            labels = await asyncio.wrap_future(self._share_out(task, slot))
        except Interrupted:
            await self._store.persist(lambda queue: queue.give_back(task_id))
        except DamagedPayloadError as error:
            await self._fail_damaged(task, error)
        except LabelerDown as error:
            # The event is not to blame: it waits as the others do, for as long as it takes.
            await self._store.persist(lambda queue: queue.give_back(task_id))
            raise LabelerDown(f"the queue waits: {escape(str(error))}") from None
        except LabelingError as error:
            await self._labeling_failed(task, str(error))
        except Exception as error:
            log.exception("task=%s could not be labelled for a reason that nobody thought of", task.id)
            await self._labeling_failed(task, f"{type(error).__name__}: {error}")
        else:
            await self._labelled(task, labels, time.monotonic() - started)

    def _share_out(self, task: Task, slot: int) -> Future[Labels]:
        """To all threads of the label pool: the event that came first has as many of them as it can use."""

        def progress() -> None:
            self._in_hand[slot] = _InHand(task.id, time.monotonic())

        event = self._labelling.event(task.camera, lambda: self._store.read_payload(task).pictures, progress)
        for _ in range(self._threads):
            self._label_pool.submit(event.join)
        return event.done

    async def _labelled(self, task: Task, labels: Labels, seconds: float) -> None:
        self._labeling_failures.pop(task.id, None)
        for reason in labels.rejected:
            log.warning("task=%s picture left out: %s", task.id, escape(reason))
        reply = labels.reply
        if reply is None:
            await self._fail(task, Cause.NO_PICTURE, f"no picture could be used: {'; '.join(labels.rejected)[:500]}")
            return
        now = await self._store.persist(lambda queue: _store_reply(queue, int(task.id), reply))
        if now is None:
            return
        self._metrics.events_labelled.inc()
        self._metrics.wait_seconds.observe(max(now - seconds - task.since, 0.0))
        log.info(
            "labelled task=%s camera=%s images=%d rejected=%d objects=%d ms=%d",
            task.id,
            escape(task.camera or "-"),
            labels.labelled,
            len(labels.rejected),
            labels.found,
            seconds * 1000,
        )

    async def _labeling_failed(self, task: Task, error: str) -> None:
        tries = self._labeling_failures[task.id] = self._labeling_failures.get(task.id, 0) + 1
        if tries >= LABELING_TRIES:
            del self._labeling_failures[task.id]
            await self._fail(task, Cause.LABELING, f"labelling failed {tries} times: {error}")
            return
        log.warning("task=%s could not be labelled, next try in %d s: %s", task.id, tries, escape(error))
        await _within(tries, self._stopping.wait())
        await self._store.persist(lambda queue: queue.give_back(int(task.id)))

    async def _fail_damaged(self, task: Task, error: DamagedPayloadError) -> None:
        if error.data:
            await self._store.call(lambda queue: queue.quarantine.set_aside("payload", f"task-{task.id}", error.data))
        await self._fail(task, Cause.DAMAGED, f"its stored pictures are damaged: {error}")

    async def _fail(self, task: Task, cause: Cause, reason: str) -> None:
        log.error("failed task=%s camera=%s: %s", task.id, escape(task.camera or "-"), escape(reason))
        await self._store.persist(lambda queue: queue.fail(int(task.id), cause, reason))

    # Delivery

    async def _deliver_next(self) -> float | None:
        delivery, pause = await self._store.call(_take_delivery)
        if delivery is None:
            return min(pause, IDLE_SECONDS)
        _wake_one(self._to_deliver)  # as above
        started = time.monotonic()
        answer = await self._deliver(delivery.task)
        seconds = time.monotonic() - started
        self._metrics.delivery_seconds.observe(seconds)
        await self._record(delivery, answer, seconds)
        up, answered = answer.kind is not OutcomeKind.TRANSIENT, answer.status is not None
        await self._store.persist(lambda queue: queue.landed(delivery, success=up, answered=answered))
        self.wake()
        return None

    async def _deliver(self, task: Task) -> Answer:
        try:
            target = self._allow_list.check(task.callback_url)
        except CallbackNotAllowed as error:
            return Answer(OutcomeKind.FINAL, None, str(error))
        assert task.reply is not None
        body = encode_reply(task.reply)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._delivery_pool, self._courier.deliver, target, body)
        except Exception as error:
            log.exception("task=%s could not be delivered for a reason that nobody thought of", task.id)
            return Answer(OutcomeKind.TRANSIENT, None, f"the delivery failed: {type(error).__name__}")

    async def _record(self, delivery: Delivery, answer: Answer, seconds: float) -> None:
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
                await self._fail(task, Cause.NOT_ALLOWED, answer.reason)
            case OutcomeKind.FINAL if delivery.maybe_delivered and answer.status in PROBABLY_DELIVERED:
                reason = f"probably delivered before the crash: the callback {answer.reason}"
                await self._fail(task, Cause.PROBABLY_DELIVERED, reason)
            case OutcomeKind.FINAL:
                await self._fail(task, Cause.REFUSED, f"the callback {answer.reason}")

    async def _retry(self, task: Task, answer: Answer) -> None:
        delay = await self._store.persist(lambda queue: queue.retry(int(task.id), answer.reason, answer.retry_after))
        self._metrics.delivery_retries.inc()
        if delay is not None:
            log.warning("task=%s not delivered, next try in %.0f s: %s", task.id, delay, answer.reason)


def _store_reply(queue: TaskQueue, task_id: int, reply: Reply) -> float:
    """Returns the elapsed time."""
    queue.labelled(task_id, reply)
    return queue.elapsed.now()


def _take_delivery(queue: TaskQueue) -> tuple[Delivery | None, float]:
    """The next delivery, or None and the seconds until there may be one."""
    delivery = queue.take_delivery()
    now = queue.elapsed.now()
    due = queue.deliveries.next_due(now)
    return delivery, IDLE_SECONDS if due is None else max(due - now, 0.05)


def _wake_one(token: asyncio.Queue[None]) -> None:
    """One that waits, or else the next that would begin to."""
    if token.empty():
        token.put_nowait(None)


async def _within(seconds: float, happening: Coroutine[Any, Any, object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await happening
    except TimeoutError:
        return

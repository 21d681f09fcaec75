"""Label tasks in the queue's order: claim ─▶ `EventLabeler` on the threads of the label pool ─▶ labeled, or fail.

Belongs to the event loop.
"""

import asyncio
import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor

from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.monitoring.activity import Activity, EventLabeled, LabeledPicture
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.clock import monotonic_of
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape, warn_of_each
from camiohookd.wire.reply import Reply
from camiohookd.worker.event_labeler import EventLabeler, Interrupted
from camiohookd.worker.event_labels import EventLabels
from camiohookd.worker.polling import Loops, give_up, within

LABELING_TRIES = 3
STALLED_SECONDS = 60.0
AHEAD = 2
"""Events in hand for each label thread, so that one is labeled while another one's reply is stored."""

Claimed = tuple[Task | None, float]
"""A task to label, or None; and the seconds until there may be another one."""

LOOK_AGAIN: Claimed = (None, 0.0)

log = logging.getLogger("camiohookd.labeler")


class LabelLoop:
    """Labels with `threads` threads; `deadline` is how long (in seconds) the labeler may take before it gives up."""

    def __init__(
        self,
        store: StoreThread,
        event_labeler: EventLabeler,
        metrics: Metrics,
        activity: Activity,
        threads: int,
        deadline: float,
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._event_labeler = event_labeler
        self._metrics = metrics
        self._activity = activity
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "label")
        self._patience = max(STALLED_SECONDS, deadline)
        self._stopping = stopping
        self._failures: dict[str, int] = {}
        self._looked_at: dict[str, float] = {}  # by task: when (monotonic) its last picture was started
        self.loops = Loops(AHEAD * threads, self._claim, self._label, stopping)

    def stalled(self) -> str | None:
        """Return which picture has been with the labeler for too long, as a sentence; None if there is none."""
        now = time.monotonic()
        for task_id, since in list(self._looked_at.items()):  # the label threads write to it
            if now - since > self._patience:
                return f"labeling a picture of task {task_id} has taken {now - since:.0f} s so far"
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _claim(self) -> Claimed:
        return await self._store.call(_claim)

    async def _label(self, task: Task) -> Claimed:
        task_id = int(task.id)
        started = time.monotonic()
        try:
            labels = await self._look_at(task)
        except Interrupted:
            await self._store.persist(lambda queue: queue.give_back(task_id))
        except DamagedRecordError as error:
            await self._fail_damaged(task, error)
        except LabelerDown as error:
            # The event is not the reason: it waits like all others until the labeler is back.
            await self._store.persist(lambda queue: queue.give_back(task_id))
            raise LabelerDown(f"the queue waits: {escape(str(error))}") from None
        except LabelingError as error:
            await self._labeling_failed(task, str(error))
        except Exception as error:
            log.exception(
                "unexpected error while labeling task=%s",
                task.id,
                extra=about("labelling_error", task=task.id, camera=task.camera),
            )
            await self._labeling_failed(task, f"{type(error).__name__}: {error}")
        else:
            return await self._labelled(task, labels, time.monotonic() - started)
        return LOOK_AGAIN

    async def _look_at(self, task: Task) -> EventLabels:
        """Label the pictures. Only this counts as labeling for `stalled`, not the wait for the disk that follows."""
        try:
            return await asyncio.wrap_future(self._share_out(task))
        finally:
            self._looked_at.pop(task.id, None)

    def _share_out(self, task: Task) -> Future[EventLabels]:
        """Offer the event to all threads of the label pool: the event that came first uses as many as it can."""

        def progress() -> None:
            self._looked_at[task.id] = time.monotonic()

        event = self._event_labeler.event(
            task.camera,
            lambda: self._store.read_payload(task).pictures,
            progress,
            self._activity.least_probability,
            monotonic_of(task.received),
            self._others_waiting,
            int(task.id),
        )
        for _ in range(self._threads):
            self._pool.submit(event.join)
        return event.done

    def _others_waiting(self) -> int:
        """Return how many events wait besides one that is being labeled; any thread may call it."""
        return max(self._store.snapshot.tasks[State.PENDING] - 1, 0)

    async def _labelled(self, task: Task, labels: EventLabels, seconds: float) -> Claimed:
        self._failures.pop(task.id, None)
        warn_of_each(log, task.id, [f"picture left out: {reason}" for reason in labels.rejected])
        warn_of_each(log, task.id, [f"picture {text}" for text in labels.incomplete])
        reply = labels.reply
        if reply is None:
            reason = f"no picture could be used: {'; '.join(labels.rejected)[:500]}"
            await give_up(self._store, task, Cause.NO_PICTURE, reason)
            return LOOK_AGAIN
        go_on = not self._stopping.is_set()
        stored = await self._store.persist(lambda queue: _store_reply(queue, int(task.id), reply, go_on=go_on))
        if stored is None:
            return LOOK_AGAIN
        now, claimed = stored
        self._metrics.events_labelled.inc()
        wait = max(now - seconds - task.since, 0.0)
        self._metrics.wait_seconds.observe(wait)
        log.info(
            "labeled task=%s camera=%s images=%d rejected=%d objects=%d tiles=%d/%d ms=%d device=%s: %s",
            task.id,
            escape(task.camera or "-"),
            len(labels.pictures),
            len(labels.rejected),
            labels.objects,
            labels.tiles,
            labels.planned_tiles,
            seconds * 1000,
            escape(labels.device),
            escape(labels.summary()),
            extra=about("labelled", task=task.id, camera=task.camera),
        )
        self._publish(task, labels, reply, wait, seconds)
        return claimed

    def _publish(self, task: Task, labels: EventLabels, reply: Reply, wait: float, seconds: float) -> None:
        self._activity.publish(
            EventLabeled(
                task_id=task.id,
                camera=task.camera,
                at=time.time(),
                received=task.received,
                rule=labels.rule,
                pictures=tuple(map(LabeledPicture, labels.pictures, labels.files)),
                event_labels=labels.event,
                reply=reply,
                summary=labels.summary(),
                rejected=labels.rejected,
                incomplete=labels.incomplete,
                wait_seconds=wait,
                label_seconds=seconds,
                decode_seconds=labels.decode_seconds,
                model_seconds=labels.label_seconds,
                device=labels.device,
            )
        )

    async def _labeling_failed(self, task: Task, error: str) -> None:
        tries = self._failures[task.id] = self._failures.get(task.id, 0) + 1
        if tries >= LABELING_TRIES:
            del self._failures[task.id]
            await give_up(self._store, task, Cause.LABELING, f"labeling failed {tries} times: {error}")
            return
        log.warning(
            "task=%s could not be labeled, next try in %d s: %s",
            task.id,
            tries,
            escape(error),
            extra=about("not_labelled", task=task.id, camera=task.camera),
        )
        await within(tries, self._stopping.wait())
        await self._store.persist(lambda queue: queue.give_back(int(task.id)))

    async def _fail_damaged(self, task: Task, error: DamagedRecordError) -> None:
        if error.data:
            await self._store.persist(lambda queue: queue.set_aside("payload", int(task.id), error.data))
        await give_up(self._store, task, Cause.DAMAGED, f"its stored pictures are damaged: {error}")


def _claim(queue: TaskQueue) -> Claimed:
    task = queue.claim()
    return task, 0.0 if task is not None and queue.tasks.is_claimable else math.inf


def _store_reply(queue: TaskQueue, task_id: int, reply: Reply, *, go_on: bool) -> tuple[float, Claimed]:
    """Keep the reply, and claim the next task in the same commit; return the elapsed time and that task."""
    queue.labelled(task_id, reply)
    return queue.tasks.now(), _claim(queue) if go_on else LOOK_AGAIN

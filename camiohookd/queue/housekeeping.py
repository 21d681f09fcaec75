"""Idle work of the store thread: forget old tasks, compact the journal, note the time.

It works in bounded steps, so that no event waits long for its 200.
"""

import logging
import time
from functools import partial

from camiohookd.errors import StoreUnavailable
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system.log_fields import about

TASKS_A_STEP = 100
CLOCK_NOTE_EVERY = 300.0
PROBE_EVERY = 2.0

log = logging.getLogger("camiohookd.queue")


class Housekeeper:
    """Does the idle work of the store thread. Every step commits."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._noted = queue.tasks.now()
        self._probed = 0.0  # monotonic: counts real seconds

    def step(self) -> bool:
        """Do one step; return True if there is more to do at once."""
        self._probe()
        more = self._sweep() if self._due() else False
        min_free_bytes = self._queue.capacity.bounds.min_free_bytes
        return self._queue.store.compaction.step(self._queue.tasks.now(), min_free_bytes) or more

    def _probe(self) -> None:
        """While the disk fails, try from time to time whether a change succeeds."""
        if self._queue.store.health.trouble is not None and time.monotonic() - self._probed >= PROBE_EVERY:
            self._probed = time.monotonic()
            self._note_time()

    def _due(self) -> bool:
        """Return whether the sweep would find a task."""
        oldest = self._queue.tasks.oldest_waiting()
        return (
            self._queue.tasks.now() - self._noted >= CLOCK_NOTE_EVERY
            or (oldest is not None and oldest[0] > self._queue.capacity.bounds.max_age)
            or self._too_old_or_many(State.DONE) is not None
            or self._too_old_or_many(State.FAILED) is not None
        )

    def _sweep(self) -> bool:
        queue = self._queue
        try:
            with queue.batch():
                count = self._expire() + self._forget(State.DONE) + self._forget(State.FAILED)
                queue.commit()
        except StoreUnavailable as error:
            log.warning("cannot delete old tasks: %s", error, extra=about("housekeeping_failed"))
            return False
        if queue.tasks.now() - self._noted >= CLOCK_NOTE_EVERY:
            self._note_time()
        return count >= TASKS_A_STEP

    def _note_time(self) -> None:
        self._noted = self._queue.tasks.now()
        try:
            with self._queue.batch():
                self._queue.store.note_time()
                self._queue.commit()
        except StoreUnavailable as error:
            log.debug("cannot store the elapsed time: %s", error, extra=about("time_not_noted"))

    def _expire(self) -> int:
        """Fail the tasks that waited longer than `max_age`, except those in hand."""
        queue, count = self._queue, 0
        while count < TASKS_A_STEP and (oldest := queue.tasks.oldest_waiting()) is not None:
            age, task_id = oldest
            if age <= queue.capacity.bounds.max_age or queue.tasks.is_worked_on(task_id):
                break
            last_error = queue.get(task_id).reason
            reason = f"it waited longer than queue.max_age{'; last error: ' + last_error if last_error else ''}"
            queue.fail(task_id, Cause.EXPIRED, reason)
            queue.store.changes.once_durable(partial(log.error, "task %d failed: %s", task_id, reason))
            count += 1
        return count

    def _forget(self, state: State) -> int:
        count = 0
        while count < TASKS_A_STEP and (task_id := self._too_old_or_many(state)) is not None:
            self._queue.drop(task_id)
            count += 1
        return count

    def _too_old_or_many(self, state: State) -> int | None:
        """Return the done or failed task to forget next, None if there is none."""
        bounds, tasks = self._queue.capacity.bounds, self._queue.tasks
        keep, limit = {
            State.DONE: (bounds.done_keep, bounds.max_done),
            State.FAILED: (bounds.failed_keep, bounds.max_failed),
        }[state]
        oldest = tasks.oldest_ended(state)
        if oldest is None:
            return None
        age, task_id = oldest
        return task_id if age > keep or tasks.counts[state] > limit else None

"""What the store thread does when nothing else is due: old tasks go, the journal is compacted, the clock is noted.

All in bounded steps, so that no event waits long for its 200.
"""

import logging

from camiohookd.errors import StoreUnavailable
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue

TASKS_A_STEP = 100
CLOCK_NOTE_EVERY = 300.0
PAUSE_AFTER_FAILURE = 60.0

log = logging.getLogger("camiohookd.queue")


class Housekeeper:
    """Belongs to the store thread; every step is committed by itself."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._noted = queue.elapsed.now()
        self._compact_after = 0.0

    def step(self) -> bool:
        """Do a little; True when there is more to do at once."""
        more = self._sweep() if self._due() else False
        return self._compact() or more

    def _due(self) -> bool:
        """Whether the sweep would find something."""
        now, queue, bounds = self._queue.elapsed.now(), self._queue, self._queue.room.bounds
        oldest = queue.index.by_age.first()
        return (
            now - self._noted >= CLOCK_NOTE_EVERY
            or (oldest is not None and now - oldest[0] > bounds.max_age)
            or self._too_old_or_many(State.DONE) is not None
            or self._too_old_or_many(State.FAILED) is not None
        )

    def _sweep(self) -> bool:
        queue = self._queue
        try:
            with queue.batch():
                count = self._expire() + self._forget(State.DONE) + self._forget(State.FAILED)
                if queue.elapsed.now() - self._noted >= CLOCK_NOTE_EVERY:
                    self._noted = queue.elapsed.now()
                    queue.storage.note(queue.elapsed.notes())
                queue.commit()
        except StoreUnavailable as error:
            log.warning("old tasks could not be cleared away: %s", error)
            return False
        return count >= TASKS_A_STEP

    def _expire(self) -> int:
        """Fail the tasks that waited for longer than `max_age`; those being worked on come later."""
        queue, count = self._queue, 0
        while count < TASKS_A_STEP and (oldest := queue.index.by_age.first()) is not None:
            since, task_id = oldest
            if queue.elapsed.now() - since <= queue.room.bounds.max_age:
                break
            if task_id in queue.index.in_hand or queue.is_in_air(task_id):
                break
            last_error = queue.get(task_id).reason
            reason = f"it waited for longer than queue.max_age{'; last error: ' + last_error if last_error else ''}"
            queue.fail(task_id, Cause.EXPIRED, reason)
            log.error("task %d failed: %s", task_id, reason)
            count += 1
        return count

    def _forget(self, state: State) -> int:
        count = 0
        while count < TASKS_A_STEP and (task_id := self._too_old_or_many(state)) is not None:
            self._queue.drop(task_id)
            count += 1
        return count

    def _too_old_or_many(self, state: State) -> int | None:
        """The done or failed task that is to be forgotten next."""
        bounds, index = self._queue.room.bounds, self._queue.index
        keep, limit = {
            State.DONE: (bounds.done_keep, bounds.max_done),
            State.FAILED: (bounds.failed_keep, bounds.max_failed),
        }[state]
        oldest = index.ended[state].first()
        if oldest is None:
            return None
        ended, task_id = oldest
        too_old = self._queue.elapsed.now() - ended > keep
        return task_id if too_old or index.counts[state] > limit else None

    def _compact(self) -> bool:
        storage, now = self._queue.storage, self._queue.elapsed.now()
        if now < self._compact_after or not storage.files.wants_compaction():
            return False
        try:
            return not storage.compact_step()
        except OSError as error:
            log.warning("the journal could not be compacted, next try in a minute: %s", error)
            self._compact_after = now + PAUSE_AFTER_FAILURE
            return False

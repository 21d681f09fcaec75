"""Questions about the tasks of a queue, answered without changing anything.

Belongs to the store thread. No answer takes longer if there are more tasks.
"""

import math
from collections.abc import Iterator
from heapq import merge

from camiohookd.queue.store import QueueStore
from camiohookd.queue.task import State


class TaskReader:
    """Answers questions about the tasks in `store`."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store

    @property
    def counts(self) -> dict[State, int]:
        """Return the number of tasks in each state."""
        return self._store.index.counts

    @property
    def waiting_count(self) -> int:
        """Return the number of tasks that are neither delivered nor failed."""
        return self._store.index.waiting_count

    @property
    def is_claimable(self) -> bool:
        """Return whether any task waits to be labeled; it may have to wait for a suspect that is in hand."""
        return self._store.index.is_claimable

    def waiting(self, after: int) -> Iterator[int]:
        """Yield the ids of the waiting tasks greater than `after`, in order."""
        return self._store.index.waiting.after(after)

    def in_state(self, state: State | None, after: int) -> Iterator[int]:
        """Yield the ids of the tasks in `state` (None: any) greater than `after`, in order."""
        states = State if state is None else (state,)
        return merge(*(self._store.index.by_state[each].after(after) for each in states))

    def in_hand(self) -> list[int]:
        """Return the tasks that are being labeled."""
        return list(self._store.index.in_hand)

    def in_air(self) -> list[int]:
        """Return the tasks whose reply is being posted."""
        return list(self._store.schedule.in_air)

    def is_suspect_in_hand(self) -> bool:
        """Return whether a suspect is being labeled: nothing else may be until it is done."""
        return bool(self._store.index.suspects_in_hand)

    def is_worked_on(self, task_id: int) -> bool:
        """Return whether a task is being labeled or delivered."""
        return task_id in self._store.index.in_hand or task_id in self._store.schedule.in_air

    def oldest_waiting(self) -> tuple[float, int] | None:
        """Return the seconds that the oldest waiting task has waited, and its id."""
        return self._aged(self._store.index.by_age.first())

    def oldest_ended(self, state: State) -> tuple[float, int] | None:
        """Return the seconds since the first of the tasks in `state` (done or failed) ended, and its id."""
        return self._aged(self._store.index.ended[state].first())

    def until_delivery(self) -> float:
        """Return the seconds until `Deliveries.take` may have one; infinity if only another change can bring one."""
        now = self._store.elapsed.now()
        due = self._store.schedule.next_due(now)
        return math.inf if due is None else max(due - now, 0.0)

    def now(self) -> float:
        """Return the elapsed time in seconds, see `clock`."""
        return self._store.elapsed.now()

    def wall_time_of(self, elapsed: float) -> str:
        """Return an elapsed time as ISO 8601 in UTC."""
        return self._store.elapsed.wall_time_of(elapsed)

    def _aged(self, timed: tuple[float, int] | None) -> tuple[float, int] | None:
        return None if timed is None else (self._store.elapsed.now() - timed[0], timed[1])

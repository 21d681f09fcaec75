"""List the tasks in hand, to be labeled or delivered, and take back those that nothing works on.

Functions of the store thread; the caller commits.
"""

from typing import NamedTuple

from camiohookd.queue.task_queue import TaskQueue


class Holding(NamedTuple):
    """A task that is being labeled (`flight` 0), or delivered by that flight."""

    task_id: int
    flight: int


def given_out(queue: TaskQueue) -> set[Holding]:
    """Return the tasks in hand and in flight."""
    schedule = queue.store.schedule
    flights = {Holding(task_id, schedule.flight(task_id)) for task_id in queue.tasks.in_air()}
    return flights | {Holding(task_id, 0) for task_id in queue.tasks.in_hand()}


def reclaim(queue: TaskQueue, holding: Holding) -> None:
    """Take back a task that nothing works on, so that it can be taken again. Do nothing if it is not taken."""
    if holding not in given_out(queue):
        return
    if holding.flight:
        queue.store.schedule.landed(holding.task_id, queue.tasks.now(), success=None)
    else:
        queue.give_back(holding.task_id)

"""What opening a queue does about the last run, when that did not end well."""

import logging
from typing import TYPE_CHECKING

from camiohookd.queue.rescue import rescue
from camiohookd.queue.task import Cause, Task

if TYPE_CHECKING:  # the queue calls this; only its type is known here
    from camiohookd.queue.task_queue import TaskQueue

MAX_STRIKES = 3
"""So many times may the process die while it labels one task alone, before that task is given up."""

log = logging.getLogger("camiohookd.queue")


def recover(queue: "TaskQueue", *, unclean: bool) -> set[int]:
    """Deal with what was in hand and with payloads without a task; the caller commits.

    Returns the tasks whose reply may have arrived without our knowing.
    """
    rescued = rescue(queue)  # first: a task whose labels are found is no longer in hand
    in_hand = list(queue.index.in_hand)
    for task_id in in_hand:
        _after_crash(queue, queue.get(task_id), alone=len(in_hand) == 1)
    if not unclean:
        return rescued
    maybe_delivered = rescued | _maybe_delivered(queue)
    message = "the last run was cut off: %d events were in hand, %d deliveries may have arrived"
    log.warning(message, len(in_hand), len(maybe_delivered))
    return maybe_delivered


def _after_crash(queue: "TaskQueue", task: Task, *, alone: bool) -> None:
    strikes = task.strikes + alone
    queue.change(int(task.id), {"suspect": True, "strikes": strikes}, remove=("in_hand",))
    if strikes >= MAX_STRIKES:
        reason = f"the service died {strikes} times while it labelled this event alone"
        queue.fail(int(task.id), Cause.POISON, reason)
        log.error("task %s failed: %s", task.id, reason)


def _maybe_delivered(queue: "TaskQueue") -> set[int]:
    return queue.deliveries.due(queue.elapsed.now())

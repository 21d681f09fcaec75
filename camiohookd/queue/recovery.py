"""What opening a queue does about the last run, when that did not end well."""

import logging
from typing import TYPE_CHECKING

from camiohookd.queue.task import Cause, Task
from camiohookd.storage.payload_record import StoredPayload
from camiohookd.storage.segments import Place

if TYPE_CHECKING:  # the queue calls this; only its type is known here
    from camiohookd.queue.task_queue import TaskQueue

MAX_STRIKES = 3
"""So many times may the process die while it labels one task alone, before that task is given up."""

log = logging.getLogger("camiohookd.queue")


def recover(queue: "TaskQueue", *, unclean: bool) -> set[int]:
    """Deal with what was in hand and with payloads without a task; the caller commits.

    Returns the tasks whose reply may have arrived without our knowing.
    """
    in_hand = list(queue.index.in_hand)
    for task_id in in_hand:
        _after_crash(queue, queue.get(task_id), alone=len(in_hand) == 1)
    _rescue(queue)
    if not unclean:
        return set()
    maybe_delivered = _maybe_delivered(queue)
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


def _rescue(queue: "TaskQueue") -> None:
    """Take in payloads whose task was torn off the journal, or lost with a damaged record.

    Ids grow, so without damage only the end of the newest segments can hold any.
    """
    known = queue.storage.last_id
    for number in queue.segments.newest_first():
        oldest = min(_rescue_from(queue, number, known), default=known + 1)
        if oldest <= known and not queue.storage.lost_ids:
            return


def _rescue_from(queue: "TaskQueue", number: int, known: int) -> list[int]:
    """Take in those payloads of one segment whose ids are lost or beyond the `known`; returns the ids of all."""
    found, rescued = [], False
    for place, payload in queue.segments.scan(number):
        found.append(payload.task_id)
        queue.storage.reserve_ids(payload.task_id + 1)
        if str(payload.task_id) in queue.storage.documents:
            continue
        if queue.index.with_digest(payload.meta["digest"]) is not None:
            continue
        if payload.task_id > known or payload.task_id in queue.storage.lost_ids:
            queue.insert(payload.task_id, _rescued_task(payload, place, queue.elapsed.now()))
            log.warning("task %d was not in the journal, but its payload is whole: queued", payload.task_id)
            rescued = True
    if rescued:
        queue.segments.make_durable(number)
    return found


def _rescued_task(payload: StoredPayload, place: Place, now: float) -> Task:
    rest = payload.meta["rest"]
    camera, user_id = rest.get("camera"), rest.get("user_id")
    return Task(
        digest=payload.meta["digest"],
        received=payload.meta["received"],
        since=now,
        images=len(payload.pictures),
        camera=camera if isinstance(camera, str) else None,
        user_id=user_id if isinstance(user_id, str) else None,
        callback_url=rest["callback_url"],
        payload=place,
    )

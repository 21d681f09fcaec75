"""Views of the queue: a page of the pending list, a task in full, the numbers for the metrics.

These functions belong to the store thread; any thread may use their results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import msgspec

from camiohookd.errors import NoSuchTask
from camiohookd.net.urls import without_query
from camiohookd.queue.task import State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system.clock import iso


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The queue at one moment.

    `tasks` counts by state; `oldest_seconds` is the age of the oldest waiting task, or 0; `stored_bytes` is the size of
    the state folder, `free_bytes` the free space of its disk. `accepted` (events), `written_bytes` and
    `quarantined` (by kind) count since the start; `written_bytes_per_event` is the average for an event from acceptance
    to delivery.
    """

    tasks: Mapping[str, int]
    oldest_seconds: float
    stored_bytes: int
    free_bytes: int
    written_bytes: int
    written_bytes_per_event: float
    quarantined: Mapping[str, int]
    accepted: int = 0


class TaskSummary(msgspec.Struct, frozen=True):
    """A task as ``GET /tasks/{api_key}`` lists it; times are ISO 8601 in UTC by this machine's clock."""

    id: str
    camera: str | None
    user_id: str | None
    state: State
    received: str
    attempts: int
    not_before: str | None
    images: int


class TaskDetails(TaskSummary, frozen=True):
    """More details of a task for the owner; `callback_url` is without its query, which is a secret.

    `labels` is a summary of the labels that are sent; "" before the task is labeled.
    """

    callback_url: str
    cause: str | None
    reason: str
    has_pictures: bool
    has_reply: bool
    labels: str


class Page(msgspec.Struct, frozen=True):
    """Some pending tasks, oldest first; `pending` counts all, `next` is the `after` of the next page."""

    pending: int
    tasks: list[TaskSummary]
    next: str | None


class TaskList(msgspec.Struct, frozen=True):
    """Some tasks of any state, oldest first."""

    tasks: list[TaskDetails]
    next: str | None


def page(queue: TaskQueue, limit: int, after: str | None) -> Page:
    """Return the pending tasks (not delivered yet, not failed) after the task `after`."""
    ids = list(islice(queue.tasks.waiting(_number(after)), limit + 1))
    tasks = [_summary(queue, queue.get(task_id)) for task_id in ids[:limit]]
    return Page(queue.tasks.waiting_count, tasks, str(ids[limit - 1]) if len(ids) > limit else None)


def listing(queue: TaskQueue, state: State | None, limit: int, after: str | None) -> TaskList:
    """Return the tasks in `state` (None: any) after the task `after`."""
    ids = list(islice(queue.tasks.in_state(state, _number(after)), limit + 1))
    tasks = [details(queue, queue.get(task_id)) for task_id in ids[:limit]]
    return TaskList(tasks, str(ids[limit - 1]) if len(ids) > limit else None)


def details(queue: TaskQueue, task: Task) -> TaskDetails:
    return TaskDetails(
        **msgspec.structs.asdict(_summary(queue, task)),
        callback_url=without_query(task.callback_url),
        cause=task.cause,
        reason=task.reason,
        has_pictures=task.payload is not None,
        has_reply=task.reply is not None,
        labels=task.labels,
    )


def snapshot(queue: TaskQueue) -> QueueSnapshot:
    """Return the numbers of the queue. Raises OSError if the free space of the disk is unknown."""
    oldest = queue.tasks.oldest_waiting()
    usage = queue.store.usage()
    return QueueSnapshot(
        tasks={state.value: count for state, count in queue.tasks.counts.items()},
        oldest_seconds=oldest[0] if oldest else 0.0,
        stored_bytes=usage.stored_bytes,
        free_bytes=usage.free_bytes,
        written_bytes=usage.written_bytes,
        written_bytes_per_event=usage.written_bytes / usage.accepted if usage.accepted else 0.0,
        quarantined=usage.quarantined,
        accepted=usage.accepted,
    )


def task_number(text: str) -> int:
    """Return the number in a task's id. Raises NoSuchTask."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NoSuchTask(f"{text!r} is not the id of a task: ids are numbers")
    return int(text)


def _number(after: str | None) -> int:
    return 0 if after is None else task_number(after)


def _summary(queue: TaskQueue, task: Task) -> TaskSummary:
    return TaskSummary(
        id=task.id,
        camera=task.camera,
        user_id=task.user_id,
        state=task.state,
        received=iso(task.received),
        attempts=task.attempts,
        not_before=queue.tasks.wall_time_of(task.not_before) if task.not_before else None,
        images=task.images,
    )

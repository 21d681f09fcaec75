"""The owner's commands to the queue: requests and answers of ``camiohookd queue``.

The same code serves a running daemon (through its socket, `web.control`) and the queue of a stopped one (under the
lock).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from camiohookd.errors import WrongState
from camiohookd.queue import views
from camiohookd.queue.task import Cause, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage.record import DamagedRecordError
from camiohookd.wire.reply import Reply

PAGE = 500
_SUFFIXES = {b"\x89PNG": "png", b"RIFF": "webp"}  # by the first bytes


class ListTasks(msgspec.Struct, frozen=True, tag="list"):
    """List the tasks in `state` (None: any) after the task `after`; answered by `views.TaskList`."""

    state: State | None = None
    after: str | None = None


class ShowTask(msgspec.Struct, frozen=True, tag="show"):
    """Answered by `views.TaskDetails`."""

    id: str


class RetryTask(msgspec.Struct, frozen=True, tag="retry"):
    """Retry a failed task; answered by `views.TaskDetails`."""

    id: str


class RetryFailed(msgspec.Struct, frozen=True, tag="retry-failed"):
    """Retry some of the failed tasks after `after`, with `cause` only those that failed for it.

    Answered by `Retried`.
    """

    after: str | None = None
    cause: Cause | None = None


class DropTask(msgspec.Struct, frozen=True, tag="drop"):
    """Delete a task; answered by its `views.TaskDetails`."""

    id: str


class ExportTask(msgspec.Struct, frozen=True, tag="export"):
    """Answered by `Export`."""

    id: str


class CountTasks(msgspec.Struct, frozen=True, tag="count"):
    """Answered by `views.QueueSnapshot`."""


Command = CountTasks | ListTasks | ShowTask | RetryTask | RetryFailed | DropTask | ExportTask


class Retried(msgspec.Struct, frozen=True):
    """The number of retried tasks, the reasons why others were not retried, and the `after` of the next request.

    `ids` are the retried tasks.
    """

    count: int
    skipped: list[str]
    next: str | None
    ids: list[str] = []


class ExportedPicture(msgspec.Struct, frozen=True):
    """A picture as it was received; `data_b64` is standard base64."""

    timestamp: str
    data_b64: str


class Export(msgspec.Struct, frozen=True):
    """A task in full. `payload` is the event without its images and without the query of its callback URL, which is a
    secret. It is None once the payload was deleted."""

    task: views.TaskDetails
    payload: dict[str, Any] | None
    pictures: list[ExportedPicture]
    reply: Reply | None
    note: str = ""


CommandResult = views.QueueSnapshot | views.TaskList | views.TaskDetails | Retried | Export


def perform(queue: TaskQueue, request: Command) -> CommandResult:
    """Carry out a command within a batch of the store thread. Raises NoSuchTask, WrongState."""
    match request:
        case CountTasks():
            return views.snapshot(queue)
        case ListTasks():
            return views.listing(queue, request.state, PAGE, request.after)
        case ShowTask():
            return _details(queue, request.id)
        case RetryTask():
            queue.redrive(views.task_number(request.id))
            return _details(queue, request.id)
        case RetryFailed():
            return _retry_failed(queue, request.after, request.cause)
        case DropTask():
            details = _details(queue, request.id)
            queue.drop(views.task_number(request.id))
            return details
        case ExportTask():
            return _export(queue, request.id)


def _details(queue: TaskQueue, task_id: str) -> views.TaskDetails:
    return views.details(queue, queue.get(views.task_number(task_id)))


def _retry_failed(queue: TaskQueue, after: str | None, cause: Cause | None) -> Retried:
    failed = views.listing(queue, State.FAILED, PAGE, after)
    skipped, ids = [], []
    for task in failed.tasks:
        if cause is not None and task.cause != cause:
            continue
        try:
            queue.redrive(int(task.id))
            ids.append(task.id)
        except WrongState as error:
            skipped.append(str(error))
    return Retried(len(ids), skipped, failed.next, ids)


def _export(queue: TaskQueue, task_id: str) -> Export:
    task = queue.get(views.task_number(task_id))
    details = views.details(queue, task)
    reply = _reply(queue, task)
    try:
        stored = queue.read_payload(task)
    except (DamagedRecordError, OSError) as error:
        return Export(details, None, [], reply, f"the pictures of task {task_id} are not there: {error}")
    pictures = [ExportedPicture(picture.timestamp, b64encode(picture.data).decode()) for picture in stored.pictures]
    payload = stored.meta["rest"] | {"callback_url": details.callback_url}
    return Export(details, payload, pictures, reply)


def _reply(queue: TaskQueue, task: Task) -> Reply | None:
    """Return the labels of a task, None if there are none or they cannot be read."""
    try:
        return queue.read_reply(task)
    except (DamagedRecordError, OSError):
        return None


def exported_files(exported: Export) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the contents of each file of an export: the documents first, then the pictures."""
    documents = {"task.json": exported.task, "payload.json": exported.payload, "reply.json": exported.reply}
    for name, document in documents.items():
        if document is not None:
            yield name, msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    for number, picture in enumerate(exported.pictures, 1):
        data = b64decode(picture.data_b64)
        yield f"picture-{number:03d}.{_SUFFIXES.get(data[:4], 'jpg')}", data

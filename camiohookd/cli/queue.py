"""The queue for its owner: what is in it, and what to do about it.

options ─▶ `control.open_desk` (the daemon's socket, or the lock) ─▶ `desk` requests ─▶ a table or JSON lines
"""

import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.config import paths
from camiohookd.errors import CamiohookdError, QueueError
from camiohookd.system.logs import escape

if TYPE_CHECKING:
    from camiohookd.cli.queue_client import QueueClient
    from camiohookd.queue.commands import Export
    from camiohookd.queue.views import TaskDetails

_COLUMNS = "{:>8}  {:<9}  {:<20}  {:>6}  {:>5}  {:<20}  {}"
_ids = click.argument("ids", nargs=-1, metavar="ID...")
_id = click.argument("task_id", metavar="ID")


@click.group()
def queue() -> None:
    """Look at the queue, and decide about what failed.

    Works while the daemon runs and while it does not. Run it as root or as camiohookd's user.

    Every accepted event is a task: pending until it is labelled, labelled until its labels are delivered, then done.
    One that cannot be labelled or delivered has failed; it is kept for a week and can be retried.
    """


@queue.command("list")
@click.option("--state", type=click.Choice(["pending", "labelled", "done", "failed"]), help="Only those.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_tasks(state: str | None, as_json: bool) -> None:
    """List the tasks, oldest first."""
    import msgspec

    if not as_json:
        click.echo(_COLUMNS.format("id", "state", "received", "images", "tries", "camera", "reason"))
    with _desk() as desk:
        for task in _all_tasks(desk, state):
            click.echo(msgspec.json.encode(task) if as_json else _row(task))


@queue.command()
@_id
def show(task_id: str) -> None:
    """Show one task in full, as JSON."""
    import msgspec

    from camiohookd.queue.commands import ShowTask
    from camiohookd.queue.views import TaskDetails

    with _desk() as desk:
        task = desk.ask(ShowTask(task_id), TaskDetails)
    click.echo(msgspec.json.format(msgspec.json.encode(task)))


@queue.command()
@_ids
@click.option("--failed", is_flag=True, help="All failed tasks.")
def retry(ids: tuple[str, ...], failed: bool) -> int:
    """Send failed tasks on their way again.

    Labels that were computed are delivered again, anything else is labelled first.
    """
    from camiohookd.queue.commands import RetryTask
    from camiohookd.queue.views import TaskDetails

    if failed == bool(ids):
        raise click.UsageError("Name the tasks to retry, or --failed for all failed ones.")
    with _desk() as desk:
        if failed:
            return _retry_failed(desk)
        return _each(ids, lambda task_id: f"task {task_id} is {desk.ask(RetryTask(task_id), TaskDetails).state} again")


@queue.command()
@_ids
def drop(ids: tuple[str, ...]) -> int:
    """Forget tasks for good, with their pictures and labels."""
    from camiohookd.queue.commands import DropTask
    from camiohookd.queue.views import TaskDetails

    if not ids:
        raise click.UsageError("Name the tasks to forget.")
    with _desk() as desk:
        return _each(ids, lambda task_id: f"task {desk.ask(DropTask(task_id), TaskDetails).id} is forgotten")


@queue.command()
@_id
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def export(task_id: str, folder: Path) -> None:
    """Write a task's payload, pictures and reply into the folder DIR."""
    from camiohookd.queue.commands import Export, ExportTask

    with _desk() as desk:
        exported = desk.ask(ExportTask(task_id), Export)
    try:
        written = list(_write(exported, folder))
    except OSError as error:
        raise CamiohookdError(f"cannot write into {folder}: {error.strerror}") from error
    for path in written:
        click.echo(path)
    if exported.note:
        click.echo(exported.note, err=True)


@contextmanager
def _desk() -> "Iterator[QueueClient]":
    from camiohookd.cli.queue_client import open_desk
    from camiohookd.web.control import SOCKET_NAME

    with open_desk(paths.runtime_dir(os.environ) / SOCKET_NAME, paths.state_dir(os.environ)) as desk:
        yield desk


def _all_tasks(desk: "QueueClient", state: str | None) -> "Iterator[TaskDetails]":
    from camiohookd.queue.commands import ListTasks
    from camiohookd.queue.task import State
    from camiohookd.queue.views import TaskList

    after = None
    while True:
        page = desk.ask(ListTasks(State(state) if state else None, after), TaskList)
        yield from page.tasks
        after = page.next
        if after is None:
            return


def _row(task: "TaskDetails") -> str:
    camera = escape(task.camera or "-")
    reason = escape(task.reason)
    return _COLUMNS.format(task.id, task.state, task.received, task.images, task.attempts, camera, reason).rstrip()


def _each(ids: tuple[str, ...], act: Callable[[str], str]) -> int:
    """Act on every id; those that fail cost the others nothing. Returns the exit status."""
    status = 0
    for task_id in ids:
        try:
            click.echo(act(task_id))
        except QueueError as error:
            click.echo(str(error), err=True)
            status = 1
    return status


def _retry_failed(desk: "QueueClient") -> int:
    from camiohookd.queue.commands import Retried, RetryFailed

    count, skipped, after = 0, 0, None
    while True:
        part = desk.ask(RetryFailed(after), Retried)
        for reason in part.skipped:
            click.echo(reason, err=True)
        count, skipped, after = count + part.count, skipped + len(part.skipped), part.next
        if after is None:
            break
    click.echo(f"{count} tasks are on their way again" + (f", {skipped} could not be retried" if skipped else ""))
    return 1 if skipped else 0


def _write(exported: "Export", folder: Path) -> Iterator[Path]:
    import msgspec

    folder.mkdir(parents=True, exist_ok=True)
    documents = {"task.json": exported.task, "payload.json": exported.payload, "reply.json": exported.reply}
    for name, document in documents.items():
        if document is not None:
            path = folder / name
            path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
            yield path
    for number, picture in enumerate(exported.pictures, 1):
        data = b64decode(picture.data_b64)
        path = folder / f"picture-{number:03d}.{_suffix(data)}"
        path.write_bytes(data)
        yield path


def _suffix(data: bytes) -> str:
    """By what the file is, not by what it was called."""
    if data.startswith(b"\x89PNG"):
        return "png"
    return "webp" if data[8:12] == b"WEBP" else "jpg"

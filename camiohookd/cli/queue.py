"""``camiohookd queue``: show the queue, and retry, delete or export tasks.

options ─▶ `queue_client.connect` (the daemon's socket, or the lock) ─▶ `commands` ─▶ a table or JSON lines
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.config import paths
from camiohookd.errors import CamiohookdError, QueueError
from camiohookd.system.logs import escape
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.cli.queue_client import QueueClient
    from camiohookd.queue.commands import Export
    from camiohookd.queue.views import TaskDetails

_COLUMNS = "{:>8}  {:<9}  {:<20}  {:>6}  {:>8}  {:<20}  {}"
_HEADER = _COLUMNS.format("id", "state", "received", "images", "attempts", "camera", "labels, or reason")
_MAX_REASON = 110
_ids = click.argument("ids", nargs=-1, metavar="ID...")
_id = click.argument("task_id", metavar="ID")


@click.group()
def queue() -> None:
    """Show the queue, and retry, delete or export tasks.

    This works with a running and with a stopped daemon. Run it as root or as camiohookd's user.

    Every accepted event is a task. Its state is pending until it has labels, labelled until they are delivered, then
    done. A task that cannot be labeled or delivered is failed. It is kept for a week and can be retried.

    \b
    Examples:
      sudo camiohookd queue list --state failed
      sudo camiohookd queue show 17
      sudo camiohookd queue retry --failed
    """


@queue.command("list")
@click.option(
    "--state", type=click.Choice(["pending", "labelled", "done", "failed"]), help="List only tasks in this state."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per task instead of a table.")
def list_tasks(state: str | None, as_json: bool) -> None:
    """List the tasks, oldest first.

    Attempts are the POSTs to the callback so far. The last column shows the labels, or why a task waits or failed.
    "camiohookd queue show ID" shows long reasons in full.

    \b
    Examples:
      sudo camiohookd queue list
      sudo camiohookd queue list --state failed
      sudo camiohookd queue list --json | jq 'select(.attempts > 3)'
    """
    import msgspec

    with _connect() as client:
        nth = 0
        for nth, task in enumerate(_all_tasks(client, state), start=1):
            if nth == 1 and not as_json:
                click.echo(_HEADER)  # only now, so that an error at the start comes without a header
            click.echo(msgspec.json.encode(task) if as_json else _row(task))
    if not nth and not as_json:
        click.echo(f"there are no {state} tasks" if state else "there are no tasks")


@queue.command()
@_id
def show(task_id: str) -> None:
    """Show one task in full, as JSON.

    "labels" is a summary of the labels. It is kept after the delivery, when the labels themselves are deleted.

    \b
    Example:
      sudo camiohookd queue show 17
    """
    import msgspec

    from camiohookd.queue.commands import ShowTask
    from camiohookd.queue.views import TaskDetails

    with _connect() as client:
        task = client.ask(ShowTask(task_id), TaskDetails)
    click.echo(msgspec.json.format(msgspec.json.encode(task)))


@queue.command()
@_ids
@click.option("--failed", is_flag=True, help="Retry all failed tasks.")
def retry(ids: tuple[str, ...], failed: bool) -> int:
    """Retry failed tasks.

    If a task has its labels already, they are delivered; otherwise its pictures are labeled first.

    \b
    Examples:
      sudo camiohookd queue retry 17 18
      sudo camiohookd queue retry --failed
    """
    from camiohookd.queue.commands import RetryTask
    from camiohookd.queue.views import TaskDetails

    if failed == bool(ids):
        raise click.UsageError("give the ids of the tasks to retry, or --failed for all failed tasks")
    with _connect() as client:
        if failed:
            return _retry_failed(client)
        return _each(
            ids, lambda task_id: f"task {task_id} is {client.ask(RetryTask(task_id), TaskDetails).state} again"
        )


@queue.command()
@_ids
def drop(ids: tuple[str, ...]) -> int:
    """Delete tasks permanently, with their pictures and labels.

    \b
    Example:
      sudo camiohookd queue drop 17
    """
    from camiohookd.queue.commands import DropTask
    from camiohookd.queue.views import TaskDetails

    if not ids:
        raise click.UsageError("give the ids of the tasks to delete")
    with _connect() as client:
        return _each(ids, lambda task_id: f"task {client.ask(DropTask(task_id), TaskDetails).id} was deleted")


@queue.command()
@_id
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def export(task_id: str, folder: Path) -> None:
    """Write a task's event, pictures and labels into the folder DIR, as far as they are still kept.

    \b
    Example:
      sudo camiohookd queue export 17 /tmp/task-17
    """
    from camiohookd.queue.commands import Export, ExportTask

    with _connect() as client:
        exported = client.ask(ExportTask(task_id), Export)
    try:
        written = list(_write(exported, folder))
    except OSError as error:
        raise CamiohookdError(f"cannot write into {folder}: {error.strerror}") from error
    for path in written:
        click.echo(path)
    if exported.note:
        click.echo(exported.note, err=True)


@contextmanager
def _connect() -> "Iterator[QueueClient]":
    from camiohookd.cli.queue_client import connect

    with connect(paths.control_socket(os.environ), paths.state_dir(os.environ)) as client:
        yield client


def _all_tasks(client: "QueueClient", state: str | None) -> "Iterator[TaskDetails]":
    from camiohookd.queue.commands import ListTasks
    from camiohookd.queue.task import State
    from camiohookd.queue.views import TaskList

    after = None
    while True:
        page = client.ask(ListTasks(State(state) if state else None, after), TaskList)
        yield from page.tasks
        after = page.next
        if after is None:
            return


def _row(task: "TaskDetails") -> str:
    camera = escape(task.camera or "-")
    text = escape(task.reason or task.labels)
    if len(text) > _MAX_REASON:
        text = f"{text[:_MAX_REASON]}..."
    return _COLUMNS.format(task.id, task.state, task.received, task.images, task.attempts, camera, text).rstrip()


def _each(ids: tuple[str, ...], act: Callable[[str], str]) -> int:
    """Act on every id, even if one fails. Return the exit status."""
    status = 0
    for task_id in ids:
        try:
            click.echo(act(task_id))
        except QueueError as error:
            click.echo(str(error), err=True)
            status = 1
    return status


def _retry_failed(client: "QueueClient") -> int:
    from camiohookd.queue.commands import Retried, RetryFailed

    count, skipped, after = 0, 0, None
    while True:
        part = client.ask(RetryFailed(after), Retried)
        for reason in part.skipped:
            click.echo(reason, err=True)
        count, skipped, after = count + part.count, skipped + len(part.skipped), part.next
        if after is None:
            break
    retried = plural(count, "task is", "tasks are")
    click.echo(f"{retried} retried" + (f", {skipped} could not be" if skipped else ""))
    return 1 if skipped else 0


def _write(exported: "Export", folder: Path) -> Iterator[Path]:
    from camiohookd.queue.commands import exported_files

    folder.mkdir(parents=True, exist_ok=True)
    for name, data in exported_files(exported):
        path = folder / name
        path.write_bytes(data)
        yield path

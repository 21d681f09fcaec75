"""Send commands to the queue: through the running daemon's socket, or if none runs, by opening the queue."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from camiohookd.errors import StateFolderBusy, StateFolderError, StateFolderInUse
from camiohookd.queue import commands
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.web import control_client

PATIENCE_SECONDS = 10

Kind = TypeVar("Kind")


class QueueClient:
    """Sends commands and decodes their results; made by `connect`."""

    def __init__(self, ask: Callable[[commands.Command], bytes]) -> None:
        self._ask = ask

    def ask(self, request: commands.Command, kind: type[Kind]) -> Kind:
        """Send a command, and return its result as a `kind`. Raises QueueError with the queue's text."""
        return msgspec.json.decode(self._ask(request), type=kind)


@contextmanager
def connect(control_socket: Path, state_folder: Path) -> Iterator[QueueClient]:
    """Connect to the running daemon; if none runs, open the queue.

    Wait for up to `PATIENCE_SECONDS` while a daemon starts or another command uses the queue. Raises QueueError,
    StateFolderError, StateFolderBusy.
    """
    queue = _reach(control_socket, state_folder)
    if queue is None:
        yield QueueClient(lambda request: control_client.ask_raw(control_socket, request))
        return
    try:
        yield QueueClient(lambda request: _ask_queue(queue, request))
    finally:
        queue.close()


def _reach(control_socket: Path, state_folder: Path) -> TaskQueue | None:
    """Open and return the queue; None if a daemon serves it."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not control_client.is_served(control_socket):
        _become_owner(state_folder)
        try:
            return TaskQueue(state_folder, backoff=lambda _: 0.0, briefly=True)
        except (StateFolderInUse, StateFolderBusy):
            if time.monotonic() >= give_up:
                raise
        time.sleep(0.1)
    return None


def _ask_queue(queue: TaskQueue, request: commands.Command) -> bytes:
    with queue.batch():
        result = commands.perform(queue, request)
        queue.commit()
    return msgspec.json.encode(result)


def _become_owner(folder: Path) -> None:
    """Change to the user who owns `folder`, because the daemon could not open files that root creates there."""
    if not folder.is_dir():
        raise StateFolderError(
            f"there is no queue in {folder}; set the environment variable STATE_DIRECTORY if it is elsewhere"
        )
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)

"""Send commands to the queue: through the running daemon's socket, or, if none runs, by opening the queue itself."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from camiohookd.errors import QueueError, StateFolderBusy, StateFolderError, StateFolderInUse
from camiohookd.queue import commands
from camiohookd.queue.task_queue import TaskQueue

TIMEOUT_SECONDS = 120
PATIENCE_SECONDS = 10

Kind = TypeVar("Kind")


class QueueClient:
    """Sends commands and decodes their results; made by `connect`."""

    def __init__(self, ask: Callable[[commands.Command], bytes]) -> None:
        self._ask = ask

    def ask(self, request: commands.Command, kind: type[Kind]) -> Kind:
        """Return the result, which is of `kind`. Raises QueueError with the queue's own text."""
        return msgspec.json.decode(self._ask(request), type=kind)


@contextmanager
def connect(control_socket: Path, state_folder: Path) -> Iterator[QueueClient]:
    """Connect to the running daemon if there is one, else open the queue itself.

    Wait while a daemon is about to start or another command has the queue. Raises QueueError, StateFolderError,
    StateFolderBusy.
    """
    queue = _reach(control_socket, state_folder)
    if queue is None:
        yield QueueClient(lambda request: _ask_daemon(control_socket, request))
        return
    try:
        yield QueueClient(lambda request: _ask_queue(queue, request))
    finally:
        queue.close()


def _reach(control_socket: Path, state_folder: Path) -> TaskQueue | None:
    """Return the opened queue, or None if a daemon serves it."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not _is_served(control_socket):
        _become_owner(state_folder)
        try:
            return TaskQueue(state_folder, backoff=lambda _: 0.0, briefly=True)
        except (StateFolderInUse, StateFolderBusy):
            if time.monotonic() >= give_up:
                raise
        time.sleep(0.1)
    return None


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except PermissionError:
            raise QueueError(
                f"{path} may be opened only by camiohookd's user and group: run this as root (sudo camiohookd ...)"
            ) from None
    return True


def _ask_daemon(path: Path, request: commands.Command) -> bytes:
    connection = _UnixConnection(path)
    try:
        connection.request("POST", "/", msgspec.json.encode(request), {"Host": "localhost"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise QueueError(f"the daemon did not answer on {path}: {error}; see journalctl -u camiohookd") from error
    finally:
        connection.close()
    if response.status != 200:
        raise QueueError(msgspec.json.decode(body)["error"]["message"])
    return body


def _ask_queue(queue: TaskQueue, request: commands.Command) -> bytes:
    with queue.batch():
        result = commands.perform(queue, request)
        queue.commit()
    return msgspec.json.encode(result)


def _become_owner(folder: Path) -> None:
    """Become the owner of `folder`, because the daemon could not open files that root leaves there."""
    if not folder.is_dir():
        raise StateFolderError(
            f"there is no queue in {folder}; set the environment variable STATE_DIRECTORY if it is elsewhere"
        )
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for which the standard library has no class."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))

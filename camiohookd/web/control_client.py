"""Ask the running daemon through its control socket.

Imports nothing of Tornado: commands that ask only this should start fast.
"""

import http.client
import socket
from pathlib import Path
from typing import TypeVar

import msgspec

from camiohookd.errors import QueueError
from camiohookd.system.permissions import remedy
from camiohookd.web.control_commands import Command

TIMEOUT_SECONDS = 120

Kind = TypeVar("Kind")


def is_served(path: Path) -> bool:
    """Return whether a daemon listens on the control socket `path`. Raises QueueError if this user may not ask."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except PermissionError:
            raise QueueError(f"{path} may be opened only by camiohookd's user and group{remedy(path)}") from None
    return True


def ask(path: Path, request: Command, kind: type[Kind]) -> Kind:
    """Return the daemon's answer, which is of `kind`. Raises QueueError with the daemon's own text."""
    return msgspec.json.decode(ask_raw(path, request), type=kind)


def ask_raw(path: Path, request: Command) -> bytes:
    """Return the daemon's answer as JSON. Raises QueueError."""
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


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for which the standard library has no class."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))

"""The control socket: ``camiohookd queue`` talks to the running daemon through it.

Only the daemon's user and group may open this Unix socket. It takes one request, ``POST /``, whose body is a
`commands.Command`.
"""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from tornado.netutil import bind_unix_socket
from tornado.web import url

from camiohookd.errors import PayloadError
from camiohookd.queue import commands
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.error_responses import ErrorResponse
from camiohookd.web.server.listener import ListenerLimits, Site

SOCKET_NAME = "control.sock"
LIMITS = ListenerLimits(connections=16, answer_seconds=120)

Perform = Callable[[commands.Command], Awaitable[commands.CommandResult]]


class CommandEndpoint(Endpoint):
    """A command from ``camiohookd queue``."""

    methods = ("POST",)

    def initialize(self, perform: Perform) -> None:
        self._perform = perform

    def admit(self) -> None:
        self.body.limit = 64 * 1024

    async def serve(self) -> None:
        try:
            request = msgspec.json.decode(b"".join(self.body.chunks), type=commands.Command)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"unknown command: {error}; restart the daemon if it is older than this program"
            raise PayloadError("unknown_request", message) from error
        self.reply(200, await self._perform(request))

    def refused(self, response: ErrorResponse) -> None:
        """Log nothing: the command prints the refusal."""


def control_application(perform: Perform) -> Site:
    """Return the site for `listener.listen`."""
    return Site([url("/", CommandEndpoint, {"perform": perform})], UnknownPath, LIMITS)


def bind(folder: Path) -> socket.socket:
    """Bind the control socket in `folder`, replacing one that an earlier daemon left. Raises OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return bind_unix_socket(str(folder / SOCKET_NAME), mode=0o660)


def unbind(folder: Path) -> None:
    """Delete the control socket in `folder`."""
    (folder / SOCKET_NAME).unlink(missing_ok=True)

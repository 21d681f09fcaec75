"""The control socket: the owner's commands talk to the running daemon through it.

Only the daemon's user and group may open this Unix socket. It takes one request, ``POST /``, whose body is a
`control_commands.Command`.
"""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from tornado.netutil import bind_unix_socket
from tornado.web import url

from camiohookd.config.paths import CONTROL_SOCKET
from camiohookd.errors import PayloadError
from camiohookd.queue.commands import CommandResult
from camiohookd.web.control_commands import Command, OwnResult
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.error_responses import ErrorResponse
from camiohookd.web.server.listener import ListenerLimits, Site

LIMITS = ListenerLimits(connections=16, answer_seconds=120)

AnswerCommand = Callable[[Command], Awaitable[CommandResult | OwnResult]]


class CommandEndpoint(Endpoint):
    """A command of the owner's."""

    methods = ("POST",)

    def initialize(self, answer: AnswerCommand) -> None:
        self._answer = answer

    def admit(self) -> None:
        self.body.limit = 64 * 1024

    async def serve(self) -> None:
        try:
            request = msgspec.json.decode(b"".join(self.body.chunks), type=Command)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"unknown command: {error}; restart the daemon if it is older than this program"
            raise PayloadError("unknown_request", message) from error
        self.reply(200, await self._answer(request))

    def refused(self, response: ErrorResponse) -> None:
        """Log nothing: the command prints the refusal."""


def control_application(answer: AnswerCommand) -> Site:
    """Return the site for `listener.listen`."""
    return Site([url("/", CommandEndpoint, {"answer": answer})], UnknownPath, LIMITS)


def bind(folder: Path) -> socket.socket:
    """Bind the control socket in `folder`, replacing one that an earlier daemon left. Raises OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return bind_unix_socket(str(folder / CONTROL_SOCKET), mode=0o660)


def unbind(folder: Path) -> None:
    """Delete the control socket in `folder`."""
    (folder / CONTROL_SOCKET).unlink(missing_ok=True)

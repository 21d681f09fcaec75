"""A listener: its bounds, its sockets, and how it comes to an end.

sockets ─▶ `listen` ─▶ `Listener`, up to so many connections ─▶ `Site`, the paths ─▶ `endpoint.Endpoint`, a request
                                    └▶ `_Stream`, where Tornado itself refuses what is no HTTP

Everything here runs on the event loop.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from socket import socket
from typing import Any, cast

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.routing import Rule
from tornado.web import Application, RequestHandler

from camiohookd.web.answers import BAD_REQUEST
from camiohookd.web.loglines import Throttle

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
_READ_BYTES = 64 * 1024
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one listener: bytes, seconds, connections.

    `body_bytes` is one event, `bodies_bytes` all events that are in memory at once. `header_seconds` is also how long
    an idle connection is kept; `answer_seconds` how long a client may take to read. After a refusal at most
    `discard_bytes` are read, for at most `discard_seconds`.
    """

    body_bytes: int = 32 * MEGABYTE
    bodies_bytes: int = 256 * MEGABYTE
    header_bytes: int = 16 * 1024
    connections: int = 256
    header_seconds: float = 30
    body_seconds: float = 120
    answer_seconds: float = 30
    discard_bytes: int = 64 * MEGABYTE
    discard_seconds: float = 10


class _Stream:
    """A connection, but for the one answer that Tornado writes without asking: here it is like all the others.

    Should another version of Tornado write other bytes, those go out.
    """

    _TORNADOS_OWN = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        return self._stream.write(BAD_REQUEST.last_message() if data == self._TORNADOS_OWN else data)


class Site(Application):
    """The paths of one listener, their limits, and which requests are running."""

    def __init__(self, paths: list[Rule], unknown_path: type[RequestHandler], limits: Limits) -> None:
        handlers: list[Any] = [*paths]
        # Tornado's access log prints the URL, and the URL holds the key.
        super().__init__(handlers, default_handler_class=unknown_path, log_function=lambda _request: None)
        self.limits = limits
        self.throttle = Throttle(log)
        self._running: set[RequestHandler] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, request: RequestHandler) -> None:
        self._running.add(request)
        self._idle.clear()

    def leave(self, request: RequestHandler) -> None:
        self._running.discard(request)
        if not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Return when no request is running."""
        await self._idle.wait()


class Listener(HTTPServer):
    """Serves one `Site`; made by `listen`."""

    _open = 0

    @property
    def site(self) -> Site:
        return cast("Site", self.request_callback)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self._open >= self.site.limits.connections:
            message = "closed a connection from %s: %d are open already, the most there may be"
            # A Unix socket's peer has no address, and Tornado hands on "".
            self.site.throttle.warning("connections", message, address[0] if address else "this machine", self._open)
            stream.close()
            return
        self._open += 1
        super().handle_stream(cast("IOStream", _Stream(stream)), address)

    def on_close(self, server_conn: object) -> None:
        self._open -= 1
        super().on_close(server_conn)

    async def drain(self, grace: float) -> None:
        """Accept nothing more, let running requests finish for `grace` seconds, then close every connection."""
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.site.idle()
        await self.close_all_connections()


def listen(site: Site, sockets: Iterable[socket]) -> Listener:
    """Serve `site` on `sockets`, which listen already; call it on the running event loop."""
    # Below a warning Tornado prints parts of malformed messages: one may hold the key, and scanners send thousands.
    logging.getLogger("tornado.general").setLevel(logging.WARNING)
    listener = Listener(
        site,
        chunk_size=_READ_BYTES,
        max_header_size=site.limits.header_bytes,
        max_buffer_size=MEGABYTE,
        idle_connection_timeout=site.limits.header_seconds,
        # `endpoint` counts the body itself: over this bound Tornado would answer 400 and not 413.
        max_body_size=_NO_LIMIT,
    )
    bound = list(sockets)
    for each in bound:
        each.setblocking(False)
    listener.add_sockets(bound)
    return listener

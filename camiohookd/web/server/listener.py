"""A listener: its limits, its sockets, and how it stops.

sockets ─▶ `listen` ─▶ `Listener` ─▶ `Connections` ─▶ `Stream`, each ─▶ `Site`, the paths ─▶ `endpoint.Endpoint`

Everything here runs on the event loop.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from socket import socket
from typing import Any, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.routing import Rule
from tornado.web import Application, RequestHandler

from camiohookd.web.server.connections import Connections
from camiohookd.web.server.log_throttle import Throttle, quieten_tornado
from camiohookd.web.server.peers import Peers
from camiohookd.web.server.stream import Patience, Stream
from camiohookd.web.server.tls_stream import TlsStream

log = logging.getLogger("camiohookd.web")

MEGABYTE = 1024 * 1024
_NO_LIMIT = 1 << 62
_ACCEPTED_AT_ONCE = 8
_REST_SECONDS = 1.0
_LOOK_SECONDS = 0.02
NO_PROXIES = Peers()


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """The limits of one listener, in bytes, seconds and connections.

    `body_bytes` limits one event, `bodies_bytes` all events in memory together; a body waits up to `memory_seconds` for
    memory. A body must arrive at `body_rate` bytes a second, and may take `header_seconds` longer. A connection may be
    idle for `idle_seconds` between two requests, and a client may take `answer_seconds` to read a response. After a
    refusal at most `discard_bytes` are read, for at most `discard_seconds`.
    """

    body_bytes: int = 32 * MEGABYTE
    bodies_bytes: int = 96 * MEGABYTE
    memory_seconds: float = 30
    body_rate: float = 16 * 1024
    header_bytes: int = 16 * 1024
    header_seconds: float = 10
    connections: int = 256
    connections_of_one: int = 64
    idle_seconds: float = 60
    answer_seconds: float = 30
    discard_bytes: int = 64 * MEGABYTE
    discard_seconds: float = 10


class Site(Application):
    """The paths of one listener, their limits and connections; `is_closing` once no connection is accepted any more."""

    def __init__(
        self, paths: list[Rule], unknown_path: type[RequestHandler], limits: ListenerLimits, peers: Peers = NO_PROXIES
    ) -> None:
        handlers: list[Any] = [*paths]
        # Tornado's access log prints the URL, which contains the key.
        super().__init__(handlers, default_handler_class=unknown_path, log_function=lambda _request: None)
        self.limits = limits
        self.peers = peers
        self.throttle = Throttle(log)
        self.connections = Connections(limits.connections, limits.connections_of_one, self.throttle)
        self.is_closing = False


class Listener(HTTPServer):
    """Serves one `Site`; create it with `listen`."""

    @property
    def site(self) -> Site:
        return cast("Site", self.request_callback)

    def take_from(self, sockets: Iterable[socket]) -> None:
        """Accept connections on `sockets`, which already listen, until `stop`.

        Tornado accepts 128 at a time. When many connect at once, a connection could then be closed as the oldest
        before its key, which has arrived, is read.
        """
        self._bound = list(sockets)
        for each in self._bound:
            each.setblocking(False)
            self._accept_on(each)

    def stop(self) -> None:
        for each in self._bound:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._bound = []

    def use_certificate(self, context: ssl.SSLContext | None) -> None:
        """Use `context` for new connections, None for plain HTTP. Open connections keep theirs."""
        self.ssl_options = context

    def _accept_on(self, bound: socket) -> None:
        if bound in self._bound:
            asyncio.get_running_loop().add_reader(bound, self._accept_some, bound)

    def _accept_some(self, bound: socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = bound.accept()
            except (BlockingIOError, ConnectionAbortedError):  # there is none, or the client has left
                return
            except OSError as error:
                self._rest(bound, error)
                return
            self._handle_connection(connection, address)

    def _rest(self, bound: socket, error: OSError) -> None:
        """Accept nothing on `bound` for a while, since the system lacks files or memory."""
        message = "cannot accept connections, trying again in a second: %s"
        self.site.throttle.warning("cannot_accept", message, error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(bound)
        loop.call_later(_REST_SECONDS, self._accept_on, bound)

    def _handle_connection(self, connection: socket, address: Any) -> None:
        """Handle a new connection. Log no traceback for a client that leaves before TLS begins."""
        context = self.ssl_options
        try:
            if isinstance(context, ssl.SSLContext):
                wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self.handle_stream(TlsStream(wrapped, max_buffer_size=self.max_buffer_size), address)
            else:
                super()._handle_connection(connection, address)
        except OSError:
            connection.close()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        limits = self.site.limits
        peer = self.site.peers.connected(address[0] if address else "")
        connection = Stream(stream, peer, Patience(limits.header_seconds, limits.idle_seconds), self.site.throttle)
        if self.site.connections.enter(connection):
            super().handle_stream(cast("IOStream", connection), address)
        else:
            stream.close()

    def on_close(self, server_conn: object) -> None:
        self.site.connections.leave(cast("Stream", cast("HTTP1ServerConnection", server_conn).stream))
        super().on_close(server_conn)

    async def drain(self, grace: float) -> None:
        """Accept no more connections, serve the open ones for at most `grace` seconds, then close them."""
        self.stop()
        self.site.is_closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.site.connections.has_pending_requests():
                    await asyncio.sleep(_LOOK_SECONDS)
        await self.close_all_connections()


def listen(site: Site, sockets: Iterable[socket]) -> Listener:
    """Serve `site` on `sockets`, which already listen. Call it on the running event loop."""
    quieten_tornado()
    limits = site.limits
    listener = Listener(
        site,
        chunk_size=MEGABYTE,
        max_header_size=limits.header_bytes,
        max_buffer_size=MEGABYTE,
        idle_connection_timeout=limits.idle_seconds + limits.header_seconds,  # `Stream` has a timer for each of the two
        # `RequestBody` counts the body itself: over this limit Tornado would answer 400 and not 413.
        max_body_size=_NO_LIMIT,
    )
    listener.take_from(sockets)
    return listener

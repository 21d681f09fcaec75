"""What all paths of all listeners share: limits, responses, and no URL in any log.

headers ─▶ `prepare`: framing, method, `admit` ─▶ `RequestBody` ─▶ `serve` ─▶ response
                 └────────── `refuse` ◀────────────┘ the response is sent at once, the rest of the body is discarded

Closing a connection with unread data makes the kernel reset it, and the client may see the reset instead of the
response. A refusal therefore sends its response, reads on for a bounded number of bytes and seconds, and then closes.

Everything here runs on the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, ClassVar, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler, stream_request_body

from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse, Refused, response_for
from camiohookd.web.server.listener import Site
from camiohookd.web.server.log_throttle import log_refusal
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.request_body import RequestBody, declared_length
from camiohookd.web.server.stream import Stream

log = logging.getLogger("camiohookd.web")


@stream_request_body
class Endpoint(RequestHandler):
    """One request. A subclass defines `methods` and `serve`; `admit` may refuse the request before its body is read."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")
    application: Site

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self._refused = False
        if request.method not in self.SUPPORTED_METHODS:
            # Tornado would answer and close before the body is read. It knows OPTIONS, which no path accepts.
            request.method = "OPTIONS"
        super().__init__(application, request, **kwargs)
        connection = cast("HTTP1Connection", request.connection)
        self._stream = cast("Stream", connection.stream)
        self.body = RequestBody(self.application.limits, self._stream, connection.close)

    def admit(self) -> None:
        """Raise `Refused` for a request whose body must not be read; set `body.limit` if it may have one."""

    def take_memory(self, size: int) -> Awaitable[None] | None:  # noqa: ARG002  # subclasses use it
        """Reserve `size` bytes for the body in all; return what to await for them, None if they are reserved.

        Awaiting may raise `Refused`.
        """
        return None

    async def serve(self) -> None:
        """Respond to the request, whose body is in `body.chunks`."""
        raise NotImplementedError

    def release(self) -> None:
        """Release what `admit` and `take_memory` took. Called at the end of the request, and possibly before."""

    def refused(self, response: ErrorResponse) -> None:
        """Log that the request is refused with `response`."""
        log_refusal(self.application.throttle, response, self.peer.name, self.body.received)

    @property
    def peer(self) -> Peer:
        """The client that sent the request, possibly through a trusted proxy."""
        forwarded = self.request.headers.get("X-Forwarded-For", "")
        return self.application.peers.client(str(self.request.remote_ip), forwarded)

    def authenticate_connection(self) -> None:
        """Never close this connection to make room for others: the client has shown a right key."""
        self.application.connections.authenticate(self._stream)

    def reply(self, status: int, body: Any) -> None:
        """Respond with `body` as JSON."""
        self.set_status(status)
        self.write(msgspec.json.encode(body))

    def set_default_headers(self) -> None:
        for name, value in error_responses.COMMON_HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """Send no ETag: responses are never cached."""

    def prepare(self) -> Awaitable[None] | None:
        # The end of a badly framed body is unknown: let Tornado handle the error, which responds and closes at once.
        self.body.length = declared_length(self.request.headers, self.request.version)
        if "Content-Length" in self.request.headers:
            self.request.headers["Content-Length"] = str(self.body.length)  # how much Tornado reads
        self.body.watch_pace(lambda: self.refuse(error_responses.BODY_LATE))
        try:
            if not self.application.connections.move(self._stream, self.peer):
                raise Refused(error_responses.TOO_MANY_CONNECTIONS)
            if self.request.method not in self.methods:
                raise Refused(error_responses.not_allowed(self.methods))
            self.admit()
            self.body.check_length()
            memory = self.take_memory(self.body.needed)
        except Refused as error:
            self.refuse(error.response)
            return None
        return None if memory is None else self._wait_for(memory)

    def refuse(self, response: ErrorResponse) -> None:
        """Respond now, before the body is read, and discard the rest of it."""
        self._refused = True
        self.release()
        # A client that waits for "100 Continue" gets the refusal instead.
        self.request.headers.pop("Expect", None)
        self._write_error_response(response)
        self.set_header("Content-Length", str(len(response.body())))
        self.set_header("Connection", "close")
        self.flush()
        self._stream.is_ending = True
        self.body.drain()

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._refused:
            self.body.discard(len(chunk))
            return None
        try:
            self.body.add(chunk)
            memory = self.take_memory(self.body.needed)
        except Refused as error:
            self.refuse(error.response)
            return None
        return None if memory is None else self._wait_for(memory)

    async def _serve_complete(self) -> None:
        self.body.close()
        if not self._refused:
            self._stream.is_busy = True
            await self.serve()

    get = head = post = put = patch = delete = options = _serve_complete

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002  # Tornado's signature
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        self._write_error_response(response_for(error, self.methods))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log unexpected errors only, and without the URL."""
        if typ is not None and value is not None and response_for(value, self.methods) is error_responses.UNEXPECTED:
            log.error("unexpected error while serving a request: %s", typ.__name__, exc_info=(typ, value, tb))

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        if self.application.is_closing and not self._headers_written:
            self.set_header("Connection", "close")
        written = super().finish(chunk)
        if not written.done():
            loop = asyncio.get_running_loop()
            loop.call_later(self.application.limits.answer_seconds, self._hang_up_unless, written)
        return written

    def on_finish(self) -> None:
        self._leave()
        if self._refused:
            self._hang_up()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        # Once the body is complete, `serve` continues and `on_finish` follows.
        if self.body.is_arriving:
            self._leave()

    async def _wait_for(self, memory: Awaitable[None]) -> None:
        self.body.pause()
        try:
            await memory
        except Refused as error:
            self.refuse(error.response)
        else:
            self.body.resume()

    def _write_error_response(self, response: ErrorResponse) -> None:
        self.set_status(response.status)
        for name, value in response.headers().items():
            self.set_header(name, value)
        self.write(response.body())
        self.refused(response)

    def _hang_up(self) -> None:
        cast("HTTP1Connection", self.request.connection).close()

    def _hang_up_unless(self, written: "asyncio.Future[None]") -> None:
        if not written.done():
            self._hang_up()

    def _leave(self) -> None:
        self.body.close()
        self.body.chunks.clear()
        self._stream.is_busy = False
        self.release()


class UnknownPath(Endpoint):
    """Every path that a listener does not have."""

    methods = ()

"""How the requests of all listeners are responded to: the same headers, errors as JSON, and no URL in any log.

Everything here runs on the event loop.
"""

import asyncio
import logging
from types import TracebackType
from typing import Any, ClassVar, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from camiohookd.system.log_fields import about
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse, response_for
from camiohookd.web.server.listener import Site
from camiohookd.web.server.log_throttle import log_refusal
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.request_body import RequestBody
from camiohookd.web.server.stream import Stream

log = logging.getLogger("camiohookd.web")


class Responder(RequestHandler):
    """The response to one request; `methods` are those that the path takes. `Endpoint` receives the request."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")
    application: Site

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        if request.method not in self.SUPPORTED_METHODS:
            # Tornado would answer and close before the body is read. It knows OPTIONS, which no path accepts.
            request.method = "OPTIONS"
        super().__init__(application, request, **kwargs)
        connection = cast("HTTP1Connection", request.connection)
        self.stream = cast("Stream", connection.stream)
        self.body = RequestBody(self.application.limits, self.stream, connection.close)

    def refused(self, response: ErrorResponse) -> None:
        """Log that the request is refused with `response`."""
        log_refusal(self.application.throttle, response, self.peer.name, self.body.received)

    def error_body(self, response: ErrorResponse) -> bytes:
        """Return the body of an error response; a subclass for people sets the Content-Type, too."""
        return response.body()

    @property
    def peer(self) -> Peer:
        """The client that sent the request, possibly through a trusted proxy."""
        forwarded = self.request.headers.get("X-Forwarded-For", "")
        return self.application.peers.client(str(self.request.remote_ip), forwarded)

    def authenticate_connection(self) -> None:
        """Never close this connection to make room for others: the client has shown a right key."""
        self.application.connections.authenticate(self.stream)

    def reply(self, status: int, body: Any) -> None:
        """Respond with `body` as JSON."""
        self.set_status(status)
        self.write(msgspec.json.encode(body))

    def write_error_response(self, response: ErrorResponse) -> int:
        """Write the head and body of an error response, and log it; return the bytes of the body."""
        self.set_status(response.status)
        for name, value in response.headers().items():
            self.set_header(name, value)
        body = self.error_body(response)
        self.write(body)
        self.refused(response)
        return len(body)

    def hang_up(self) -> None:
        """Close the connection."""
        cast("HTTP1Connection", self.request.connection).close()

    def _hang_up_unless(self, written: "asyncio.Future[None]") -> None:
        if not written.done():
            self.hang_up()

    # What Tornado calls

    def set_default_headers(self) -> None:
        for name, value in error_responses.COMMON_HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """Send no ETag: responses are never cached."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002  # Tornado's signature
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        self.write_error_response(response_for(error, self.methods))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log unexpected errors only, and without the URL."""
        if typ is not None and value is not None and response_for(value, self.methods) is error_responses.UNEXPECTED:
            log.error(
                "unexpected error while serving a request: %s",
                typ.__name__,
                exc_info=(typ, value, tb),
                extra=about("request_failed"),
            )

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        if self.application.is_closing and not self._headers_written:
            self.set_header("Connection", "close")
        written = super().finish(chunk)
        if not written.done():
            loop = asyncio.get_running_loop()
            loop.call_later(self.application.limits.answer_seconds, self._hang_up_unless, written)
        return written

"""What every path of every listener has in common: bounds, answers, and silence about the URL.

headers ─▶ `prepare`: framing, method, `admit` ─▶ `RequestBody` ─▶ `serve` ─▶ answer
                 └────────── `refuse` ◀────────────┘ the answer leaves at once, the rest of the body is discarded

Closing a connection that has unread data makes the kernel reset it, and the reset can overtake the answer. A refusal
therefore sends its answer, reads on for a bounded number of bytes and seconds, and only then closes.

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

from camiohookd.web.server import answers
from camiohookd.web.server.answers import ErrorResponse, Refused, answer_for
from camiohookd.web.server.listener import Site
from camiohookd.web.server.log_throttle import log_refusal
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.request_body import RequestBody, declared_length
from camiohookd.web.server.stream import Stream

log = logging.getLogger("camiohookd.web")


@stream_request_body
class Endpoint(RequestHandler):
    """One request. A subclass names its `methods` and writes `serve`; `admit` may refuse before the body is read."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")
    application: Site

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self._refused = False
        if request.method not in self.SUPPORTED_METHODS:
            # Tornado would answer and hang up before the body is read; no path takes this method, which it knows.
            request.method = "OPTIONS"
        super().__init__(application, request, **kwargs)
        connection = cast("HTTP1Connection", request.connection)
        self._stream = cast("Stream", connection.stream)
        self.body = RequestBody(self.application.limits, self._stream, connection.close)

    def admit(self) -> None:
        """Raise `Refused` for a request whose body is not to be read; set `body.limit` where there may be one."""

    def take_memory(self, size: int) -> Awaitable[None] | None:  # noqa: ARG002  # for those that have a use for it
        """See that there are `size` bytes for the body; return what to await for them, None if they are there.

        Either raises `Refused`.
        """
        return None

    async def serve(self) -> None:
        """Answer the request, whose body is in `body.chunks`."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back what `admit` took; called at the end, and may be called before it."""

    def refused(self, answer: ErrorResponse) -> None:
        """Log that the error `answer` is on its way."""
        log_refusal(self.application.throttle, answer, self.peer.name, self.body.received)

    @property
    def peer(self) -> Peer:
        """Who sent the request; a trusted proxy is believed."""
        forwarded = self.request.headers.get("X-Forwarded-For", "")
        return self.application.peers.client(str(self.request.remote_ip), forwarded)

    def keep_connection(self) -> None:
        """The client has shown a right key: do not close its connection to make room for others."""
        self.application.crowd.know(self._stream)

    def reply(self, status: int, body: Any) -> None:
        """Answer with `body` as JSON."""
        self.set_status(status)
        self.write(msgspec.json.encode(body))

    def set_default_headers(self) -> None:
        for name, value in answers.COMMON_HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """These answers are never cached."""

    def prepare(self) -> Awaitable[None] | None:
        # The end of a badly framed body is not known: the error goes to Tornado, which answers and closes at once.
        self.body.length = declared_length(self.request.headers, self.request.version)
        if "Content-Length" in self.request.headers:
            self.request.headers["Content-Length"] = str(self.body.length)  # what Tornado reads by
        self.body.watch_pace(lambda: self.refuse(answers.BODY_LATE))
        try:
            if not self.application.crowd.move(self._stream, self.peer):
                raise Refused(answers.TOO_MANY_CONNECTIONS)
            if self.request.method not in self.methods:
                raise Refused(answers.not_allowed(self.methods))
            self.admit()
            self.body.check_length()
            memory = self.take_memory(self.body.needed)
        except Refused as error:
            self.refuse(error.answer)
            return None
        return None if memory is None else self._wait_for(memory)

    def refuse(self, answer: ErrorResponse) -> None:
        """Answer now, before the body is read, and discard the rest of it."""
        self._refused = True
        self.release()
        # A client that waits for "100 Continue" gets the refusal in its place.
        self.request.headers.pop("Expect", None)
        self._write_answer(answer)
        self.set_header("Content-Length", str(len(answer.body())))
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
            self.refuse(error.answer)
            return None
        return None if memory is None else self._wait_for(memory)

    async def _body_is_in(self) -> None:
        self.body.close()
        if not self._refused:
            self._stream.is_busy = True
            await self.serve()

    get = head = post = put = patch = delete = options = _body_is_in

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002  # Tornado's signature
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        self._write_answer(answer_for(error, self.methods))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """As Tornado's, but without the URL, and only what `answers` does not know."""
        if typ is not None and value is not None and answer_for(value, self.methods) is answers.UNEXPECTED:
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
        # Once the body is in, `serve` runs on, and `on_finish` follows.
        if self.body.is_arriving:
            self._leave()

    async def _wait_for(self, memory: Awaitable[None]) -> None:
        self.body.pause()
        try:
            await memory
        except Refused as error:
            self.refuse(error.answer)
        else:
            self.body.resume()

    def _write_answer(self, answer: ErrorResponse) -> None:
        self.set_status(answer.status)
        for name, value in answer.headers().items():
            self.set_header(name, value)
        self.write(answer.body())
        self.refused(answer)

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

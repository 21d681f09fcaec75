"""What every path of every listener has in common: bounds, answers, and silence about the URL.

headers ─▶ `prepare`: framing, method, `admit` ─▶ body, counted ─▶ `serve` ─▶ answer
                 └────────── `refuse` ◀────────────┘ the answer leaves at once, the rest of the body is thrown away

Closing a connection that has unread data makes the kernel reset it, and the reset can overtake the answer. A refusal
therefore sends its answer, reads on for a bounded number of bytes and seconds, and only then closes.

Everything here runs on the event loop.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import Application, RequestHandler, stream_request_body

from camiohookd.web.server import answers
from camiohookd.web.server.answers import ErrorResponse, Refused, answer_for
from camiohookd.web.server.listener import Site
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.stream import Stream

log = logging.getLogger("camiohookd.web")

_LENGTH_DIGITS = 15  # a longer number is more than any limit, and Tornado does not take one of any length


@stream_request_body
class Endpoint(RequestHandler):
    """One request. A subclass names its `methods` and writes `serve`; `admit` may refuse before the body is read.

    `length` is the body's size in bytes, None until it is in; `received` is what is in.
    """

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")
    application: Site
    body_limit = 0

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self.length: int | None = None
        self.chunks: list[bytearray] = []
        self.received = 0
        self._refused = False
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None
        if request.method not in self.SUPPORTED_METHODS:
            # Tornado would answer and hang up before the body is read; this one it knows and no path takes.
            request.method = "OPTIONS"
        super().__init__(application, request, **kwargs)

    def admit(self) -> None:
        """Raise `Refused` for a request whose body is not to be read; set `body_limit` where there may be one."""

    async def serve(self) -> None:
        """Answer the request, whose body is in `chunks`."""
        raise NotImplementedError

    @property
    def peer(self) -> Peer:
        """Who sent the request, by the word of a trusted proxy too."""
        forwarded = self.request.headers.get("X-Forwarded-For", "")
        return self.application.peers.client(str(self.request.remote_ip), forwarded)

    def keep_connection(self) -> None:
        """The client has shown a right key: its connection does not give way to others."""
        self.application.crowd.know(self._stream)

    def release(self) -> None:
        """Let go of what `admit` took; called at the end, and may be called before it."""

    def refused(self, answer: ErrorResponse) -> None:
        """The error `answer` is on its way."""

    def reply(self, status: int, body: Any) -> None:
        """Answer with `body` as JSON."""
        self.set_status(status)
        self.write(msgspec.json.encode(body))

    def set_default_headers(self) -> None:
        for name, value in answers.COMMON_HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """These answers are never cached."""

    def prepare(self) -> None:
        # Where a badly framed body ends is not known: the error goes to Tornado, which answers and closes at once.
        self.length = declared_length(self.request.headers, self.request.version)
        if "Content-Length" in self.request.headers:
            self.request.headers["Content-Length"] = str(self.length)  # what Tornado reads by
        self._began = asyncio.get_running_loop().time()
        self._refuse_if_late()
        try:
            if not self.application.crowd.move(self._stream, self.peer):
                raise Refused(answers.TOO_MANY_CONNECTIONS)
            if self.request.method not in self.methods:
                raise Refused(answers.not_allowed(self.methods))
            self.admit()
            if self.length is not None and self.length > self.body_limit:
                raise Refused(answers.too_large(self.body_limit))
        except Refused as error:
            self.refuse(error.answer)

    def refuse(self, answer: ErrorResponse) -> None:
        """Answer now, before the body is read, and throw the rest of it away."""
        self._refused = True
        self.chunks.clear()
        self.release()
        # A client that waits for "100 Continue" gets the refusal in its place.
        self.request.headers.pop("Expect", None)
        self._write_answer(answer)
        self.set_header("Content-Length", str(len(answer.body())))
        self.set_header("Connection", "close")
        self.flush()
        self._stream.is_ending = True
        self._after(self.application.limits.discard_seconds, self._hang_up)

    def data_received(self, chunk: bytes) -> None:
        """`Stream` makes it a bytearray, whatever Tornado says."""
        if self._refused:
            self._discard(len(chunk))
            return
        self.received += len(chunk)
        if self.received > self.body_limit:
            self.refuse(answers.too_large(self.body_limit))
        else:
            self.chunks.append(cast("bytearray", chunk))

    async def _body_is_in(self) -> None:
        self._cancel_timer()
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
            log.error("a request could not be served: %s", typ.__name__, exc_info=(typ, value, tb))

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
        if self._timer is not None:
            self._leave()

    @property
    def _stream(self) -> Stream:
        return cast("Stream", cast("HTTP1Connection", self.request.connection).stream)

    def _write_answer(self, answer: ErrorResponse) -> None:
        self.set_status(answer.status)
        for name, value in answer.headers().items():
            self.set_header(name, value)
        self.write(answer.body())
        self.refused(answer)

    def _refuse_if_late(self) -> None:
        """Look at how fast the body comes, and again when what has come by now would be too little."""
        limits, loop = self.application.limits, asyncio.get_running_loop()
        received = self.received + self._stream.ahead
        left = self._began + limits.header_seconds + received / limits.body_rate - loop.time()
        if left > 0:
            self._after(left, self._refuse_if_late)
        else:
            self.refuse(answers.BODY_LATE)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self.application.limits.discard_bytes:
            self._hang_up()

    def _hang_up(self) -> None:
        cast("HTTP1Connection", self.request.connection).close()

    def _hang_up_unless(self, written: "asyncio.Future[None]") -> None:
        if not written.done():
            self._hang_up()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._cancel_timer()
        self._stream.is_busy = False
        self.chunks.clear()
        self.release()


class UnknownPath(Endpoint):
    """Every path that a listener does not have."""

    methods = ()


def declared_length(headers: HTTPHeaders, version: str = "HTTP/1.1") -> int | None:
    """Bytes of the body, None where it is chunked; `Refused` if the headers leave room for two readings.

    A length of more than `_LENGTH_DIGITS` digits is given as the smallest such. Stricter than RFC 9112, section 6.3,
    in that a repeated Content-Length is never taken.
    """
    length, encoding = headers.get("Content-Length"), headers.get("Transfer-Encoding")
    if encoding is not None:
        if length is not None or encoding.lower() != "chunked" or version == "HTTP/1.0":  # which has no chunks
            raise Refused(answers.BAD_FRAMING)
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise Refused(answers.BAD_FRAMING)
    digits = length.lstrip("0") or "0"
    return int(digits) if len(digits) <= _LENGTH_DIGITS else 10**_LENGTH_DIGITS

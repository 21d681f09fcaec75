"""How the requests of all listeners are received: within limits, and refused before the body is read.

headers ─▶ `prepare`: framing, method, `admit` ─▶ `RequestBody` ─▶ `serve` ─▶ response
                 └────────── `refuse` ◀────────────┘ the response is sent at once, the rest of the body is discarded

Closing a connection with unread data makes the kernel reset it, and the client may see the reset instead of the
response. A refusal therefore sends its response, reads on for a bounded number of bytes and seconds, and then closes.

Everything here runs on the event loop.
"""

from collections.abc import Awaitable, Callable

from tornado.web import stream_request_body

from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse, Refused
from camiohookd.web.server.request_body import declared_length
from camiohookd.web.server.responder import Responder


@stream_request_body
class Endpoint(Responder):
    """One request. A subclass defines `methods` and `serve`; `admit` may refuse the request before its body is read."""

    _refused = False

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

    def prepare(self) -> Awaitable[None] | None:
        # The end of a badly framed body is unknown: let Tornado handle the error, which responds and closes at once.
        self.body.length = declared_length(self.request.headers, self.request.version)
        if "Content-Length" in self.request.headers:
            self.request.headers["Content-Length"] = str(self.body.length)  # how much Tornado reads
        self.body.watch_pace(lambda: self.refuse(error_responses.BODY_LATE))
        return self._go_on_if(self._check_head)

    def _check_head(self) -> None:
        if not self.application.connections.move(self.stream, self.peer):
            raise Refused(error_responses.TOO_MANY_CONNECTIONS)
        if self.request.method not in self.methods:
            raise Refused(error_responses.not_allowed(self.methods))
        self.admit()
        self.body.check_length()

    def refuse(self, response: ErrorResponse) -> None:
        """Respond now, before the body is read, and discard the rest of it."""
        self._refused = True
        self.release()
        # A client that waits for "100 Continue" gets the refusal instead.
        self.request.headers.pop("Expect", None)
        self.set_header("Content-Length", str(self.write_error_response(response)))
        self.set_header("Connection", "close")
        self.flush()
        self.stream.is_ending = True
        self.body.drain()

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._refused:
            self.body.discard(len(chunk))
            return None
        return self._go_on_if(lambda: self.body.add(chunk))

    def _go_on_if(self, check: Callable[[], None]) -> Awaitable[None] | None:
        """Take the memory that the body needs now, or refuse the request if `check` raises `Refused`."""
        try:
            check()
            memory = self.take_memory(self.body.needed)
        except Refused as error:
            self.refuse(error.response)
            return None
        return None if memory is None else self._wait_for(memory)

    async def _serve_complete(self) -> None:
        self.body.close()
        if not self._refused:
            self.stream.is_busy = True
            await self.serve()

    get = head = post = put = patch = delete = options = _serve_complete

    def on_finish(self) -> None:
        self._leave()
        if self._refused:
            self.hang_up()

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

    def _leave(self) -> None:
        self.body.close()
        self.body.chunks.clear()
        self.stream.is_busy = False
        self.release()


class UnknownPath(Endpoint):
    """Every path that a listener does not have."""

    methods = ()

"""Receives the body of one request: checks its length and pace, and discards what follows a refusal.

headers ─▶ `declared_length` ─▶ `RequestBody.add`, piece by piece ─▶ `chunks`
                                     └─ after a refusal: `RequestBody.discard`

Everything here runs on the event loop.
"""

import asyncio
from collections.abc import Callable

from tornado.httputil import HTTPHeaders

from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.listener import ListenerLimits
from camiohookd.web.server.stream import PIECE_BYTES, Stream

_LENGTH_DIGITS = 15  # a longer number exceeds every limit, and Tornado does not accept any number of digits


class RequestBody:
    """Collects the body that arrives on `stream` in `chunks`, up to `limit` bytes.

    `length` is the declared size in bytes, None for a chunked body; `received` counts the bytes so far. `hang_up`
    closes the connection.
    """

    def __init__(self, limits: ListenerLimits, stream: Stream, hang_up: Callable[[], None]) -> None:
        self.length: int | None = None
        self.limit = 0
        self.chunks: list[bytearray] = []
        self.received = 0
        self._limits = limits
        self._stream = stream
        self._hang_up = hang_up
        self._discarded = 0
        self._too_slow = _nothing
        self._timer: asyncio.TimerHandle | None = None

    def check_length(self) -> None:
        """Raise `Refused` if the declared length is over the limit."""
        if self.length is not None and self.length > self.limit:
            raise Refused(error_responses.too_large(self.limit))

    @property
    def needed(self) -> int:
        """How many bytes of memory the body needs now: for what has arrived, and for the next piece."""
        whole = self.limit if self.length is None else self.length
        return min(whole, self.received + PIECE_BYTES)

    def add(self, chunk: bytes | bytearray) -> None:
        """Keep the next piece. Raises `Refused` if the body is now over the limit."""
        self.received += len(chunk)
        if self.received > self.limit:
            raise Refused(error_responses.too_large(self.limit))
        if self.chunks and len(self.chunks[-1]) + len(chunk) <= PIECE_BYTES:
            self.chunks[-1] += chunk  # a chunked body may arrive byte by byte, and each object takes 60 bytes
        else:
            self.chunks.append(chunk if isinstance(chunk, bytearray) else bytearray(chunk))

    def watch_pace(self, too_slow: Callable[[], None]) -> None:
        """Call `too_slow` as soon as the body is later than the limits allow. Ends with `close` or `drain`."""
        self._began = asyncio.get_running_loop().time()
        self._too_slow = too_slow
        self._check_pace()

    def pause(self) -> None:
        """Stop the clock while the body is not read."""
        self._cancel_timer()
        self._paused = asyncio.get_running_loop().time()

    def resume(self) -> None:
        """Start the clock again."""
        if self._too_slow is not _nothing:
            self._began += asyncio.get_running_loop().time() - self._paused
            self._check_pace()

    def drain(self) -> None:
        """Drop what has arrived; discard what still arrives, then hang up after a bounded time."""
        self.chunks.clear()
        self._call_later(self._limits.discard_seconds, self._hang_up)

    def discard(self, size: int) -> None:
        """Count `size` bytes that arrived after a refusal; hang up if they are too many."""
        self._discarded += size
        if self._discarded > self._limits.discard_bytes:
            self._hang_up()

    @property
    def is_arriving(self) -> bool:
        """Whether more of the body is expected, possibly only to discard it."""
        return self._too_slow is not _nothing

    def close(self) -> None:
        """Expect nothing more: the body is complete, or the connection is closed."""
        self._cancel_timer()
        self._too_slow = (
            _nothing  # it refers to the request, which refers to this: leave no cycle for the garbage collector
        )

    def _check_pace(self) -> None:
        """Check the pace now, and again when what has arrived by now will be too little."""
        loop = asyncio.get_running_loop()
        received = self.received + self._stream.ahead
        left = self._began + self._limits.header_seconds + received / self._limits.body_rate - loop.time()
        if left > 0:
            self._call_later(left, self._check_pace)
        else:
            self._too_slow()

    def _call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nothing() -> None:
    """Do nothing."""


def declared_length(headers: HTTPHeaders, version: str = "HTTP/1.1") -> int | None:
    """Return the body's length in bytes, None if it is chunked. Raises `Refused` if the headers are ambiguous.

    A length of more than `_LENGTH_DIGITS` digits is returned as the smallest such. Stricter than RFC 9112, section
    6.3: a repeated Content-Length is never accepted.
    """
    length, encoding = headers.get("Content-Length"), headers.get("Transfer-Encoding")
    if encoding is not None:
        # HTTP/1.0 has no chunked encoding.
        if length is not None or encoding.lower() != "chunked" or version == "HTTP/1.0":
            raise Refused(error_responses.BAD_FRAMING)
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise Refused(error_responses.BAD_FRAMING)
    digits = length.lstrip("0") or "0"
    return int(digits) if len(digits) <= _LENGTH_DIGITS else 10**_LENGTH_DIGITS

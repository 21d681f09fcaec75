"""A connection between Tornado and its socket: times and checks a request's head, and reads bodies without copies.

socket ─▶ first byte, within the idle time ─▶ head, within its own time ─▶ line ends checked ─▶ Tornado
       └▶ body, read into the buffer that is passed on; chunk extensions and trailer fields removed ─▶ Tornado

Everything here runs on the event loop.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, cast

from tornado.iostream import IOStream, StreamClosedError

from camiohookd.web.server.error_responses import BAD_REQUEST
from camiohookd.web.server.log_throttle import Throttle, log_refusal
from camiohookd.web.server.peers import Peer

# Implementations disagree whether one of these ends a line (RFC 9112, section 2.2), which allows request smuggling.
# Tornado accepts a LF alone.
_ODD_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
# Each read allocates this much, and a thousand connections may send their heads byte by byte.
_HEAD_BYTES = 4 * 1024
# Most events fit in one piece, whose memory is reserved before it is read. Discarded bytes are read in smaller pieces.
PIECE_BYTES = 1024 * 1024
_DISCARDED_BYTES = 64 * 1024
# RFC 9112, section 7.1.1: a size and extensions, whose values may be quoted.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)
_CHUNK_LINE_BYTES = 4 * 1024
_NO_CHUNK = b"\r\n"
# RFC 9110, sections 5.5 and 6.5.1: fields that frame or route a message are not allowed in trailers.
_TRAILER = re.compile(rb"%b:[\t \x21-\x7e\x80-\xff]*\r\n" % _TOKEN)
_FRAMING = re.compile(rb"(?:content-length|transfer-encoding|host|trailer|te|connection):", re.IGNORECASE)
_TRAILER_BYTES = 16 * 1024
# The one response that Tornado writes on its own. If a later version writes other bytes, they are sent as they are.
_TORNADOS_OWN = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a request's head may take, and how many may pass between two requests."""

    head: float
    idle: float


class Stream:
    """A connection from `peer`. Every attribute that it does not define is that of the `IOStream`.

    `is_authenticated`: it has shown a right key; `is_busy`: a request on it is being served; `is_kept`: it is idle
    between two requests; `is_ending`: its last response was sent. `ahead` is how many bytes of a body are read that
    Tornado has not got yet. `throttle` logs the requests refused here.
    """

    def __init__(self, stream: IOStream, peer: Peer, patience: Patience, throttle: Throttle) -> None:
        self.peer = peer
        self.is_authenticated = False
        self.is_busy = False
        self.is_kept = False
        self.is_ending = False
        self.ahead = 0
        self._stream = stream
        self._patience = patience
        self._throttle = throttle
        self._is_new = True
        self._has_read_end = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> bytes:
        """Read a request's head. Tornado calls this for nothing else."""
        in_bodies, self._stream.read_chunk_size = self._stream.read_chunk_size, _HEAD_BYTES
        self.is_kept = not self._is_new
        # A new connection is opened to send a request, so the time of its head begins at once.
        timer = self._hang_up_after(self._patience.head if self._is_new else self._patience.idle)
        try:
            head = await self._stream.read_bytes(1)
            self.is_kept = False
            if not self._is_new:
                timer.cancel()
                timer = self._hang_up_after(self._patience.head)
            head += await self._stream.read_until_regex(regex, max_bytes)
        finally:
            timer.cancel()
            self._stream.read_chunk_size = in_bodies
        self._is_new = False
        if _ODD_LINE_END.search(head):
            await self._stream.write(self._bad_request())
            self._stream.close()
            raise StreamClosedError
        return head

    async def read_until(self, delimiter: bytes, max_bytes: int | None = None) -> bytes:  # noqa: ARG002  # Tornado's
        """Read a chunk's size line and return it without extensions. Tornado calls this for nothing else.

        After the last size line, also read and drop the trailer fields, since Tornado supports neither (RFC 9112,
        sections 7.1.1 and 7.1.2). Malformed lines are returned as a line that Tornado refuses.
        """
        line = await self._stream.read_until(delimiter, max_bytes=_CHUNK_LINE_BYTES)
        size = _CHUNK_LINE.fullmatch(line)
        if size is None or not (size[1].strip(b"0") or await self._drop_trailers()):
            return _NO_CHUNK
        return size[1] + b"\r\n"

    async def _drop_trailers(self) -> bool:
        """Read the trailer fields and the empty line, which `read_bytes` returns next. False if they are not valid."""
        left = _TRAILER_BYTES
        while left > 0:
            line = await self._stream.read_until(b"\r\n", max_bytes=left)
            if line == b"\r\n":
                self._has_read_end = True
                return True
            if _TRAILER.fullmatch(line) is None or _FRAMING.match(line):
                return False
            left -= len(line)
        return False

    async def read_bytes(self, num_bytes: int, partial: bool = False) -> bytes | bytearray:
        """Read the next piece of a body if `partial`, otherwise the line end behind a chunk."""
        if not partial:
            if self._has_read_end:
                self._has_read_end = False
                return b"\r\n"
            return await self._stream.read_bytes(num_bytes)
        piece = bytearray(min(num_bytes, _DISCARDED_BYTES if self.is_ending else PIECE_BYTES))
        rest = memoryview(piece)
        self.ahead = 0
        while rest:
            self.ahead += await self._stream.read_into(cast("bytearray", rest), partial=True)
            rest = memoryview(piece)[self.ahead :]
            if self.is_ending:
                break
        del rest, piece[self.ahead :]
        self.ahead = 0
        return piece

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        if data == _TORNADOS_OWN:
            data = b"" if self.is_ending else self._bad_request()
        return self._stream.write(data)

    def _bad_request(self) -> bytes:
        log_refusal(self._throttle, BAD_REQUEST, self.peer.name, 0)
        return BAD_REQUEST.last_message()

    def _hang_up_after(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._stream.close)

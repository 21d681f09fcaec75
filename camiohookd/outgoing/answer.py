"""Read one HTTP answer, and leave the connection either clean for the next one or shut down.

http.client has no public hooks for this, so some of its private methods are extended here;
tests/unit/delivery/test_answers.py fails if a new Python changes them.
"""

import http.client
import socket
import ssl
from contextlib import suppress
from http import HTTPStatus
from io import BufferedReader
from typing import Any

from camiohookd.outgoing.attempt import PlainSocket, TlsSocket

MAX_INTERIM_ANSWERS = 16
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class UnusableAnswer(http.client.HTTPException):
    """What was received is not a whole answer; the text says why."""


class _LineReader(BufferedReader):
    """Notes whether the last line that was read had an end."""

    line_ended = True

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.line_ended = line.endswith(b"\n")
        return line


class CheckedResponse(http.client.HTTPResponse):
    """An answer to a request on `sock`.

    Interim answers (status 1xx: RFC 9110, section 15.2) are skipped. A head that breaks off is not an answer. Where it
    is not certain where the body ends, or if unsolicited bytes follow, the connection is not used again.
    """

    fp: _LineReader

    def __init__(self, sock: PlainSocket | TlsSocket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self.fp = _LineReader(self.fp.detach())

    def begin(self) -> None:
        super().begin()
        if not self.fp.line_ended:
            raise UnusableAnswer("its answer is incomplete")
        if not self._ends_certainly():
            del self.headers["Content-Length"]  # urllib3 would raise an error, though the status is clear
            self.will_close = True
            if self.status in _WITHOUT_BODY:
                del self.headers["Transfer-Encoding"]  # urllib3 would wait for chunks, which the peer need not send
                self.chunked, self.length = False, 0
            else:
                self.length = None

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM_ANSWERS + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # private, not in typeshed
            if status >= 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
            if not self.fp.line_ended:
                raise UnusableAnswer("its answer is incomplete")
        raise UnusableAnswer(f"more than {MAX_INTERIM_ANSWERS} interim answers")

    def _ends_certainly(self) -> bool:
        """Return whether the headers leave no doubt where the body ends (RFC 9112, section 6.3)."""
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if self.headers.defects:
            return False
        if self.status in _WITHOUT_BODY:
            return not codings and lengths in ([], ["0"])
        if self.chunked:
            return not lengths and len(codings) == 1
        if codings:
            return False
        return len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit()

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # as above
        if size < 0:  # -1 would mean "read all there is"
            raise ValueError("negative chunk size")
        return size

    def _close_conn(self) -> None:
        """Shut the connection down if anything follows the answer, which was read or given up."""
        self._socket.attempt = None
        if not self.will_close and self._has_more():
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        super()._close_conn()  # type: ignore[misc]  # as above

    def _has_more(self) -> bool:
        try:
            return bool(self.fp.peek())
        except ssl.SSLWantReadError:
            return False
        except (OSError, ValueError):
            return True

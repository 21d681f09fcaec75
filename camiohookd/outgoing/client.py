"""Ask a server that the owner wrote down, and return its whole answer, within a fixed time.

The server may be at any address, as an origin in full under ``[callback] allow_hosts`` may. Redirects are not followed.
"""

import http.client
import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import requests
from urllib3.exceptions import HTTPError

from camiohookd.outgoing.adapter import Adapter, prepared
from camiohookd.outgoing.attempt import Attempt, PlainSocket
from camiohookd.outgoing.dialer import Dialer
from camiohookd.outgoing.failures import root, words
from camiohookd.outgoing.resolver import Resolver

MAX_ANSWER_BYTES = 64 * 1024 * 1024
CONNECT_SECONDS = 5.0
_CHUNK = 1 << 18


class NoAnswer(Exception):
    """The answer is missing or incomplete; the text says why, and begins with a verb."""


class _ClosedEarly(Exception):
    """A kept connection was closed: perhaps before the server saw the request, which it need not say.

    RFC 9112, section 9.3.1: a client may then send an idempotent request again, on another connection.
    """


class WholeAnswer(NamedTuple):
    """An answer to the end of its body; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Client:
    """Makes requests of at most `timeout` seconds each, with kept connections; safe to share between threads.

    `certificates` and `identity` are those of `Adapter`. Raises OSError if the latter cannot be used.
    """

    def __init__(self, certificates: str, identity: tuple[str, str] | None, timeout: float) -> None:
        self._timeout = timeout
        self._dial = partial(Dialer(Resolver()).dial, any_address=True)
        self._adapter = Adapter(certificates, identity)

    def ask(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> WholeAnswer:
        """Return the answer. A request that may be made twice is assumed: see `_ClosedEarly`. Raises NoAnswer."""
        while True:
            try:
                return self._ask_once(method, url, data, headers)
            except _ClosedEarly:
                continue  # with another kept connection or, in the end, a new one

    def _ask_once(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> WholeAnswer:
        connect = min(CONNECT_SECONDS, self._timeout)
        is_new = False

        def dial(host: str, port: int, attempt: Attempt) -> PlainSocket:
            nonlocal is_new
            is_new = True
            return self._dial(host, port, attempt)

        attempt = Attempt(dial, connect=connect, read=self._timeout, deadline=self._timeout)
        request = prepared(method, url, data, headers)
        started = time.monotonic()
        try:
            with self._adapter.send(request, stream=True, timeout=attempt) as answer:  # type: ignore[arg-type]  # a urllib3.Timeout is fine
                whole = _read(answer)
                return WholeAnswer(
                    answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, whole
                )
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            if attempt.is_over:
                raise NoAnswer(f"gave no whole answer within {self._timeout:g} s") from None
            cause = root(error)
            if isinstance(cause, ConnectionError) and not is_new:
                raise _ClosedEarly from None
            if isinstance(cause, TimeoutError):
                raise NoAnswer(f"took no connection within {time.monotonic() - started:.0f} s") from None
            if isinstance(cause, http.client.IncompleteRead):
                raise NoAnswer("sent an incomplete answer") from None
            raise NoAnswer(f"cannot be asked: {words(cause)}") from None

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()


def _read(answer: requests.Response) -> bytes:
    parts, size = [], 0
    while chunk := answer.raw.read(_CHUNK, decode_content=False):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise NoAnswer(f"sent more than {MAX_ANSWER_BYTES >> 20} MiB")
    return b"".join(parts)

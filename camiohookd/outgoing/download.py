"""Get a file from a web server by one request; the address is checked, time and size are bounded."""

import http.client
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError

from camiohookd.errors import CamiohookdError
from camiohookd.outgoing.adapter import Adapter, prepared
from camiohookd.outgoing.attempt import Attempt
from camiohookd.outgoing.ca_store import CERTIFI
from camiohookd.outgoing.dialer import Dialer
from camiohookd.outgoing.failures import root, words
from camiohookd.outgoing.resolver import Resolver

_CONNECT, _READ, _DEADLINE = 10.0, 60.0, 3600.0
"""Seconds for the name and each address, between two bytes, and in all."""

_PART = 1 << 18


class DownloadError(CamiohookdError):
    """The file could not be got; the text says why."""


def download(
    url: str, size: int, *, version: str, any_address: bool = False, certificates: str = CERTIFI
) -> Iterator[bytes]:
    """Yield the parts of the file at `url`, which has `size` bytes. Raises DownloadError.

    Without `any_address`, the host must have public addresses. `certificates` verify it. Redirects are not followed.
    """
    attempt = Attempt(
        partial(Dialer(Resolver()).dial, any_address=any_address),
        connect=_CONNECT,
        read=_READ,
        deadline=_DEADLINE,
    )
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"camiohookd/{version}"}
    request = prepared("GET", url, None, headers)
    adapter = Adapter(certificates)
    try:
        with adapter.send(request, stream=True, timeout=attempt) as answer:  # type: ignore[arg-type]  # an Attempt is fine
            yield from _body(answer, url, size)
    except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        cause = root(error)
        why = words(cause)
        if isinstance(cause, TimeoutError):
            why = "it did not answer in time"
        elif isinstance(cause, http.client.IncompleteRead):
            why = "the answer is incomplete"
        raise DownloadError(f"{url}: {why}") from error
    finally:
        adapter.close()


def _body(answer: requests.Response, url: str, size: int) -> Iterator[bytes]:
    if answer.status_code != HTTPStatus.OK:
        redirected = " (redirects are not followed)" if 300 <= answer.status_code < 400 else ""
        raise DownloadError(f"{url}: the server answered {answer.status_code}{redirected}")
    got = 0
    while got <= size and (part := answer.raw.read(_PART, decode_content=False)):
        got += len(part)
        yield part
    if got != size:
        more = "more than " if got > size else ""
        raise DownloadError(f"{url}: the server sent {more}{min(got, size)} bytes, expected {size}")

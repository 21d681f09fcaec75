"""requests' adapter: it dials as its `Attempt` says, and keeps only clean connections.

    Adapter.send(request, timeout=attempt) ─▶ urllib3's pool ─▶ _Connection: dial, TLS, send, read ─▶ Answer

urllib3 keeps the host's name, for TLS and for Host; only the socket comes from the attempt.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from camiohookd.next_try import DeliveryStep
from camiohookd.outgoing.answer import CheckedResponse
from camiohookd.outgoing.attempt import Attempt, PlainSocket, TlsSocket

KEPT_HOSTS = 10
KEPT_CONNECTIONS = 16
"""Idle connections that are kept open for each of the `KEPT_HOSTS` hosts called last."""


class _Connection(HTTPConnection):
    response_class = CheckedResponse
    attempt: Attempt
    sock: PlainSocket | TlsSocket | None
    _step_after_dialling = DeliveryStep.SEND

    def _new_conn(self) -> PlainSocket:
        self.attempt.step = DeliveryStep.DIAL
        connected = self.attempt.dial(self.host.strip("[]"), self.port, self.attempt)
        self.attempt.step = self._step_after_dialling
        connected.settimeout(self.attempt.wait())
        return connected

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        assert self.sock is not None
        self.sock.attempt = self.attempt
        self.attempt.step = DeliveryStep.SEND
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        self.attempt.step = DeliveryStep.READ
        return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    _step_after_dialling = DeliveryStep.TLS


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        conn.attempt = kwargs["timeout"]
        return super()._make_request(conn, *args, **kwargs)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """An adapter whose `send` takes an `Attempt` as its timeout; safe to share between threads.

    Servers are verified by `certificates`, a file (PEM) or a folder as OpenSSL keeps it. `identity` are the files of
    the certificate and the key (PEM) that a server may ask for. Raises OSError if they cannot be used.
    """

    def __init__(self, certificates: str, identity: tuple[str, str] | None = None) -> None:
        self._context = tls_context(certificates)
        if identity:
            self._context.load_cert_chain(*identity)
        super().__init__(pool_connections=KEPT_HOSTS, pool_maxsize=KEPT_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Leave TLS to the context."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the certificates to the context, which has read them already and requires one of each server."""

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:  # noqa: ARG002  # requests' signature
        """Return the parts of an answer that are used; cookies are not among them."""
        answer = Response()
        answer.status_code, answer.headers, answer.raw = resp.status, CaseInsensitiveDict(resp.headers), resp
        return answer


def prepared(method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> PreparedRequest:
    """Return a request that is complete, without the cookies, proxies and .netrc of a `requests.Session`.

    Raises requests.RequestException or ValueError if `url` or a header cannot be used.
    """
    request = PreparedRequest()
    request.prepare_method(method)
    request.prepare_url(url, None)
    request.prepare_headers(headers)
    request.prepare_body(data, None)
    return request


def tls_context(certificates: str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    if Path(certificates).is_dir():
        context.load_verify_locations(capath=certificates)
    else:
        context.load_verify_locations(cafile=certificates)
    context.sslsocket_class = TlsSocket
    return context

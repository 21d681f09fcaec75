"""requests and urllib3 made to dial as this program does: `attend` names an `Errand`, the next request follows it.

urllib3 keeps the host's name, for TLS and for Host; only the socket comes from the errand.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from camiohookd.delivery.deadline import Watchdog


class Errand(NamedTuple):
    """How a request gets a connection to a host and a port, and what ends it in time."""

    dial: Callable[[str, int], socket.socket]
    watchdog: Watchdog


class _InHand(threading.local):
    errand: Errand


_in_hand = _InHand()


def attend(errand: Errand) -> None:
    """Let the request that this thread makes next be on `errand`."""
    _in_hand.errand = errand


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        try:
            return _in_hand.errand.dial(self.host.strip("[]"), self.port)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # it was kept from an errand before
            _in_hand.errand.watchdog.watch(self.sock)
        super().request(*args, **kwargs)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """An adapter whose connections obey the errand that `attend` named."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:  # noqa: ARG002  # requests' signature
        """With what is looked at of an answer, its cookies not among it."""
        answer = Response()
        answer.status_code, answer.headers, answer.raw = resp.status, CaseInsensitiveDict(resp.headers), resp
        return answer

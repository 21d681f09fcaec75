"""A deadline for a whole HTTP answer, which neither requests nor urllib3 offers.

`attend` hands a `Watchdog` to the connections of this thread; the connection of a `WatchedAdapter` shows it the socket
before the answer is read; when the time is over, the watchdog shuts the socket down and the read ends with an error.
"""

import socket
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse


class Watchdog:
    """Ends a connection that is not done after `seconds`, however slowly it drips.

    A socket's own timeout starts again with every byte that arrives.
    """

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._ends = time.monotonic() + seconds
        self._timer: threading.Timer | None = None

    def watch(self, connection: socket.socket) -> None:
        """Begin to watch `connection`; once the time is over, `fired` is true and reading from it ends."""
        self.stop()
        self._timer = threading.Timer(max(self._ends - time.monotonic(), 0.0), self._end, (connection,))
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """Leave the connection alone from now on."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, connection: socket.socket) -> None:
        self.fired = True
        try:
            # Not ssl's own shutdown, which is not safe while another thread reads.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself


class _InHand(threading.local):
    watchdog: Watchdog


_in_hand = _InHand()


def attend(watchdog: Watchdog) -> None:
    """Let `watchdog` end the connection of the request that this thread makes next."""
    _in_hand.watchdog = watchdog


class _WatchedConnection(HTTPConnection):
    def getresponse(self) -> BaseHTTPResponse:  # type: ignore[override]  # urllib3 hides its response class from types
        _in_hand.watchdog.watch(self.sock)
        return super().getresponse()


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    pass


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection


class WatchedAdapter(HTTPAdapter):
    """An adapter whose connections obey the watchdog that `attend` named."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTlsPool}

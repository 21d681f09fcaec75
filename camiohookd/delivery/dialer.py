"""A connection to a host: name ─▶ addresses, asked for once ─▶ each of them checked ─▶ a socket to one of *them*.

What was checked is what is connected to, so that a name that leads elsewhere the next time (DNS rebinding) gains
nothing. Whoever uses the socket keeps the name, for TLS and for the request's Host.
"""

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from camiohookd.delivery.deadline import Watchdog
from camiohookd.delivery.resolver import Resolver, SocketAddress
from camiohookd.net.addresses import why_not_public


class Dialer:
    """Safe to share between threads; `timeout` is the seconds for the lookup, and for each address."""

    def __init__(self, resolver: Resolver, timeout: float) -> None:
        self._resolver = resolver
        self._timeout = timeout

    def dial(self, host: str, port: int, *, any_address: bool, watchdog: Watchdog) -> socket.socket:
        """A connection that `watchdog` watches. Raises OSError.

        Where not `any_address`, a host with even one address that is not public is not called at all.
        """
        addresses = self._resolver.resolve(host, port, min(self._timeout, watchdog.left()))
        if not any_address:
            _refuse_private(addresses)
        failure = OSError(errno.EADDRNOTAVAIL, "its name has no address")
        for each in addresses:
            try:
                return self._connect(each, watchdog)
            except OSError as error:
                failure = error
        raise failure

    def _connect(self, to: SocketAddress, watchdog: Watchdog) -> socket.socket:
        connection = socket.socket(to.family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(self._timeout, watchdog.left()))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect(to.address)
            watchdog.watch(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _refuse_private(addresses: Sequence[SocketAddress]) -> None:
    for each in addresses:
        text = each.address[0]
        if reason := why_not_public(ip_address(text)):
            raise PermissionError(
                errno.EACCES, f"its name leads to {text}, {reason}, which needs its origin in full in allow_hosts"
            )

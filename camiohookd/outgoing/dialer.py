"""Connect to a host: name ─▶ addresses, looked up once ─▶ each of them checked ─▶ a socket to one of *them*.

The addresses that were checked are those that are connected to, so that a name that leads elsewhere the next time (DNS
rebinding) gains nothing. The caller keeps the name, for TLS and for the request's Host.
"""

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from camiohookd.net.addresses import why_not_public
from camiohookd.outgoing.attempt import Attempt, PlainSocket
from camiohookd.outgoing.resolver import Resolver, SocketAddress


class Dialer:
    """Safe to share between threads."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def dial(self, host: str, port: int, attempt: Attempt, *, any_address: bool) -> PlainSocket:
        """Return a connection, tried at each address within the attempt's limits. Raises OSError.

        Unless `any_address`, a host with even one address that is not public is not called at all.
        """
        addresses = self._resolver.resolve(host, port, attempt.wait())
        if not any_address:
            _refuse_private(addresses)
        failure = OSError(errno.EADDRNOTAVAIL, "its name resolves to no address")
        for each in addresses:
            try:
                return _connect(each, attempt)
            except OSError as error:
                failure = error
        raise failure


def _connect(to: SocketAddress, attempt: Attempt) -> PlainSocket:
    connection = PlainSocket(to.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(attempt.wait())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect(to.address)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_private(addresses: Sequence[SocketAddress]) -> None:
    for each in addresses:
        text = each.address[0]
        if reason := why_not_public(ip_address(text)):
            raise PermissionError(
                errno.EACCES,
                f"its name resolves to {text}, {reason}; to allow it, write its origin in full into allow_hosts",
            )

"""Identifies clients for the limits of one address: the connection's address and X-Forwarded-For ─▶ `Peer`.

Behind a trusted proxy the client is the last address in X-Forwarded-For that is not itself a trusted proxy. Behind a
tunnel every client has an address of this machine, so limits of one address do not apply there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address

_HOST_BITS = 64  # one customer usually has all IPv6 addresses with the same first 64 bits (RFC 6177)


@dataclass(frozen=True, slots=True)
class Peer:
    """A client: `name` for the log; `group` is what limits of one address count, None if they do not apply."""

    name: str
    group: str | None

    @property
    def shown(self) -> str:
        """The name for the log. The client of a Unix socket has no address: Tornado names it ""."""
        return self.name or "this machine"


class Peers:
    """Identifies peers; `trusted` are the trusted proxies, each an address or a network."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = [ip_network(each) for each in trusted]

    def connected(self, address: str) -> Peer:
        """Return the peer that opened a connection from `address`."""
        ip = _parse(address)
        if ip is None or ip.is_loopback or self._is_trusted(ip):
            return Peer(address, None)
        return Peer(str(ip), _group(ip))

    def client(self, address: str, forwarded: str) -> Peer:
        """Return the peer that sent a request from `address` with this X-Forwarded-For header ("" for none)."""
        ip = _parse(address)
        if ip is None or not self._is_trusted(ip):
            return self.connected(address)
        for claimed in reversed(forwarded.split(",")):
            ip = _parse(_without_port(claimed.strip()))
            if ip is None:
                break  # hidden by a proxy: anybody may have written what precedes it
            if not self._is_trusted(ip):
                return self.connected(str(ip))
        return Peer(address, None)

    def _is_trusted(self, ip: IPAddress) -> bool:
        return any(ip in network for network in self._trusted)


@lru_cache
def _parse(text: str) -> IPAddress | None:
    """Return the address without its zone; an IPv4-mapped IPv6 address as IPv4."""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _without_port(text: str) -> str:
    """Strip the port that some proxies add: ``192.0.2.1:80``, ``[2001:db8::1]:80``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _group(ip: IPAddress) -> str:
    return str(ip if isinstance(ip, IPv4Address) else IPv6Network((ip, _HOST_BITS), strict=False))

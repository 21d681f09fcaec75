"""Who is at the other end, for the limits of one address: the connection's address and X-Forwarded-For ─▶ `Peer`.

A proxy that the owner trusts is believed what it says: the client is then the last address of X-Forwarded-For that is
no such proxy. Behind a tunnel everybody comes from this machine, so nobody there can be held to limits of one address.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address

_HOST_BITS = 64  # whoever has one IPv6 address usually has all with these first bits (RFC 6177)


@dataclass(frozen=True, slots=True)
class Peer:
    """`name` for the log; `group` is what limits of one address are counted by, None where they do not hold."""

    name: str
    group: str | None

    @property
    def shown(self) -> str:
        """For the log; a Unix socket's peer has no address, and Tornado gives it the name ""."""
        return self.name or "this machine"


class Peers:
    """Tells peers apart; `trusted` are the proxies, each an address or a network."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = [ip_network(each) for each in trusted]

    def connected(self, address: str) -> Peer:
        """Who opened a connection."""
        ip = _parse(address)
        if ip is None or ip.is_loopback or self._is_trusted(ip):
            return Peer(address, None)
        return Peer(str(ip), _group(ip))

    def client(self, address: str, forwarded: str) -> Peer:
        """Who sent a request that came from `address` with the header X-Forwarded-For, "" where there is none."""
        ip = _parse(address)
        if ip is None or not self._is_trusted(ip):
            return self.connected(address)
        for claimed in reversed(forwarded.split(",")):
            ip = _parse(_without_port(claimed.strip()))
            if ip is None:
                break  # a proxy that hides it: what stands before could be anybody's word
            if not self._is_trusted(ip):
                return self.connected(str(ip))
        return Peer(address, None)

    def _is_trusted(self, ip: IPAddress) -> bool:
        return any(ip in network for network in self._trusted)


@lru_cache
def _parse(text: str) -> IPAddress | None:
    """IPv4 as it is written in IPv6 is IPv4; a zone is left out."""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _without_port(text: str) -> str:
    """``192.0.2.1:80`` and ``[2001:db8::1]:80``: some proxies add it."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _group(ip: IPAddress) -> str:
    return str(ip if isinstance(ip, IPv4Address) else IPv6Network((ip, _HOST_BITS), strict=False))

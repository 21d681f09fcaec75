"""Tell whether an IP address or a host name belongs to the public internet.

An IPv6 address that embeds an IPv4 address (mapped, NAT64, 6to4, Teredo) is judged by the embedded one. The tables are
copies of IANA's registries of special-purpose addresses (RFC 6890), because each version of Python's `ipaddress`
follows those registries differently.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_IPV4 = {
    IPv4Network(network): kind
    for network, kind in {
        "0.0.0.0/8": "an unspecified",
        "10.0.0.0/8": "a private",
        "100.64.0.0/10": "a carrier-NAT",
        "127.0.0.0/8": "a loopback",
        "169.254.0.0/16": "a link-local",
        "172.16.0.0/12": "a private",
        "192.0.0.0/24": "a reserved",
        "192.0.2.0/24": "a documentation",
        "192.88.99.0/24": "a reserved",
        "192.168.0.0/16": "a private",
        "198.18.0.0/15": "a benchmarking",
        "198.51.100.0/24": "a documentation",
        "203.0.113.0/24": "a documentation",
        "224.0.0.0/4": "a multicast",
        "240.0.0.0/4": "a reserved",
    }.items()
}
_IPV6 = {  # everything else is public if it is global unicast
    IPv6Network(network): kind
    for network, kind in {
        "::/128": "an unspecified",
        "::1/128": "a loopback",
        "2001::/23": "a reserved",
        "2001:db8::/32": "a documentation",
        "3fff::/20": "a documentation",
        "fc00::/7": "a private",
        "fe80::/10": "a link-local",
        "ff00::/8": "a multicast",
    }.items()
}
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

# RFC 6761, RFC 6762, RFC 8375, and the zone that ICANN reserves for private networks.
_PRIVATE_ZONES = ("localhost", "local", "internal", "home.arpa")


def why_not_public(address: Address) -> str | None:
    """Return the reason, such as "a private address", or None if `address` is public."""
    if isinstance(address, IPv4Address):
        kind = next((kind for network, kind in _IPV4.items() if address in network), None)
        return f"{kind} address" if kind else None
    if inside := _inside(address):
        return next(filter(None, map(why_not_public, inside)), None)
    kind = next((kind for network, kind in _IPV6.items() if address in network), None)
    if kind is None and address not in _GLOBAL_UNICAST:
        kind = "a reserved"
    return f"{kind} address" if kind else None


@lru_cache  # most events name the same few hosts
def why_host_not_public(host: str) -> str | None:
    """Return the reason, or None if `host` is public; `host` is a name or an address as `urls` returns it.

    A public name may still resolve to a private address.
    """
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        is_private = "." not in host or any(f".{host}".endswith(f".{zone}") for zone in _PRIVATE_ZONES)
        return "a name of private networks" if is_private else None
    return why_not_public(address)


def _inside(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that are embedded in `address`."""
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo  # server and client
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address (IPv6 with or without brackets), means this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

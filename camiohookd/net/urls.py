"""Parse a callback URL into its `Origin`, or raise `MalformedUrl`.

All code that compares hosts uses this module, so that the URL that is called is the one that was checked. URLs that
parsers are known to read differently (userinfo, backslashes, spaces, escapes in the host, names outside ASCII) are
refused instead of interpreted. Source: RFC 3986, sections 3.2 and 6.2.
"""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

from camiohookd.errors import MalformedUrl

MAX_URL_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Origin(NamedTuple):
    """`scheme` is http or https, `host` is in lower case without a trailing dot (IPv6 in brackets), `port` is set."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def check_url(url: str) -> Origin:
    """Return the origin of `url`. Raises `MalformedUrl` with a reason that does not repeat the URL."""
    return split_url(url)[0]


def origin(url: str) -> str:
    """Return ``scheme://host:port``, normalized, always with the port. Raises `MalformedUrl`."""
    return str(check_url(url))


def host(url: str) -> str:
    """Return the normalized host of `url`. Raises `MalformedUrl`."""
    return check_url(url).host


def without_query(url: str) -> str:
    """Return `url` for display, with ``?***`` instead of the query and the fragment, which may be secret."""
    shown, mark, _ = url.partition("?")
    return f"{shown}?***" if mark else shown.partition("#")[0]


def split_url(url: str) -> tuple[Origin, str]:
    """Return the origin of `url`, and its path, query and fragment as they are. Raises `MalformedUrl`."""
    if len(url) > MAX_URL_LENGTH:
        raise MalformedUrl(f"it is longer than {MAX_URL_LENGTH} characters")
    if _FORBIDDEN.search(url):
        raise MalformedUrl("it contains a space, a backslash, a control character or an unpaired surrogate")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise MalformedUrl("it does not begin with http:// or https://")
    scheme = parts["scheme"].lower()
    return _origin(scheme, parts["authority"]), parts["rest"]


def normalize_host(name: str) -> str:
    """Return a host name, an IPv4 address or a bracketed IPv6 address in the form in which hosts are compared.

    Raises `MalformedUrl`.
    """
    if name.startswith("[") and name.endswith("]"):
        return f"[{_ipv6(name[1:-1])}]"
    if not name.isascii():
        raise MalformedUrl("its host is not ASCII; write an international name in its xn-- form")
    rooted = name.endswith(".")
    name = name.lower().removesuffix(".")
    if not name:
        raise MalformedUrl("it has no host")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        if rooted:
            # Resolvers treat it as a name, while it would be compared as an address.
            raise MalformedUrl("its host is an IPv4 address with a trailing dot")
        return _ipv4(name)
    if len(name) > 253 or not all(_NAME.fullmatch(label) for label in name.split(".")):
        raise MalformedUrl("its host is neither a host name nor an address")
    return name


@lru_cache  # most events name the same few hosts
def _origin(scheme: str, authority: str) -> Origin:
    if "@" in authority:
        raise MalformedUrl("it contains a user name or a password")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise MalformedUrl("its host or port is malformed")
    port = int(parts["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise MalformedUrl("its port is not between 1 and 65535")
    return Origin(scheme, normalize_host(parts["host"]), port)


def _ipv4(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        # Some parsers read 127.1, 0x7f.0.0.1, 017700000001 or 2130706433 as an address, others as a name.
        raise MalformedUrl("its host is a number, but not an IPv4 address (four numbers from 0 to 255)") from None


def _ipv6(address: str) -> str:
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        raise MalformedUrl("its host is not an IPv6 address") from None
    if parsed.scope_id is not None:
        raise MalformedUrl("its IPv6 address names a zone")
    return parsed.compressed

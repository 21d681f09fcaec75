"""The kinds of text a setting can have, each written the way a person would and checked when it is read.

A TOML value or an environment variable's text → `Address`, `PublicUrl`, `WebhookUrl`, `EndpointUrl`, `AllowedHost`,
`ApiKey`, `HostName`, `Network`: each a plain str to the rest of the program. `quantities` has those that are numbers.
"""

import re
from ipaddress import ip_network
from typing import Any, ClassVar, Self

from camiohookd.errors import MalformedUrl
from camiohookd.net.addresses import why_host_not_public
from camiohookd.net.urls import Origin, normalize_host, split_url

_PORT = re.compile(r"\d{1,5}", re.ASCII)
_LAST_PORT = 65535
_API_KEY = re.compile(r"[A-Za-z0-9._~-]{8,256}", re.ASCII)


class Address(str):
    """``host:port`` to listen on; port 0 is any free one."""

    __slots__ = ()
    expected: ClassVar[str] = 'host:port, such as "127.0.0.1:8001", "0.0.0.0:8000" or "[::]:8000"'

    def __new__(cls, value: object) -> Self:
        host, _, port = _text(value).rpartition(":")
        if not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
            raise ValueError("not a port")
        return super().__new__(cls, f"{_host(host)}:{port}")

    @property
    def host(self) -> str:
        """Return the host, an IPv6 address without its brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])

    @property
    def from_here(self) -> str:
        """Return the ``host:port`` at which this machine reaches it: the loopback if it is every interface."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # not bound
        return f"{f'[{host}]' if ':' in host else host}:{self.port}"


class PublicUrl(str):
    """The public address of the box, without a slash at its end; "" for none."""

    __slots__ = ()
    expected: ClassVar[str] = 'a URL that ends before /tasks/, such as "https://hook.example.org"'

    def __new__(cls, value: object) -> Self:
        text = _text(value).strip()
        if text:
            _, path = _split(text)
            if re.search(r"[?#]|/tasks(/|$)", path):
                raise ValueError("it must end before /tasks/, without ? and #")
        return super().__new__(cls, text.rstrip("/"))


class WebhookUrl(str):
    """A URL in full to post to; "" for none."""

    __slots__ = ()
    expected: ClassVar[str] = 'a URL in full, such as "https://ntfy.example.org/my-box"'

    def __new__(cls, value: object) -> Self:
        text = _text(value).strip()
        if text:
            _split(text)
        return super().__new__(cls, text)


class EndpointUrl(str):
    """An inference server: an origin, and perhaps a path before /v2, without a slash at its end."""

    __slots__ = ()
    expected: ClassVar[str] = 'a URL that ends before /v2, such as "https://gpu.example.org:8000"'

    def __new__(cls, value: object) -> Self:
        origin, path = _split(_text(value).strip().rstrip("/"))
        if re.search(r"[?#]|/v2(/|$)", path):
            raise ValueError("it must end before /v2, without ? and #")
        return super().__new__(cls, f"{origin}{path}")


class AllowedHost(str):
    """A public host that callbacks may go to over https, or the origin in full of any other."""

    __slots__ = ()
    expected: ClassVar[str] = (
        'a public host ("camio.com", "*.camio.com") or an origin in full ("http://127.0.0.1:9000")'
    )

    def __new__(cls, value: object) -> Self:
        text = _text(value)
        if "://" in text:
            return super().__new__(cls, _origin(text))
        wildcard = "*." if text.startswith("*.") else ""
        host = _host(text.removeprefix("*."))
        if reason := why_host_not_public(host):
            raise ValueError(f"{host} is {reason}")
        return super().__new__(cls, wildcard + host)


class ApiKey(str):
    """A key that can stand in a URL as it is, or "" for none; no error, log or repr shows it."""

    __slots__ = ()
    expected: ClassVar[str] = "8 to 256 letters, digits or -._~"

    def __new__(cls, value: object) -> Self:
        text = _text(value)
        if text and not _API_KEY.fullmatch(text):
            raise ValueError("not a key")
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return "'***'"


class HostName(str):
    """The name of a host, in the form that is compared."""

    __slots__ = ()
    expected: ClassVar[str] = 'a host name, such as "camiohookd.local"'

    def __new__(cls, value: object) -> Self:
        return super().__new__(cls, _host(_text(value)))


class Network(str):
    """Addresses that belong together: one alone, or all with the same first bits."""

    __slots__ = ()
    expected: ClassVar[str] = 'an address ("192.168.1.2") or a network ("10.0.0.0/8", "fd00::/8")'

    def __new__(cls, value: object) -> Self:
        return super().__new__(cls, str(ip_network(_text(value))))


def decode(kind: type[Any], value: object) -> Any:
    """Convert a value as it was read to the kind of its setting (msgspec's ``dec_hook``). Raises ValueError."""
    return kind(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _host(text: str) -> str:
    try:
        return normalize_host(text)
    except MalformedUrl as error:
        raise ValueError(str(error)) from None


def _split(url: str) -> tuple[Origin, str]:
    try:
        return split_url(url)
    except MalformedUrl as error:
        raise ValueError(str(error)) from None


def _origin(text: str) -> str:
    origin, rest = _split(text)
    if rest not in ("", "/"):
        raise ValueError("it has more than a scheme, a host and a port")
    return str(origin)

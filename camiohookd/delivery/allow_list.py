"""Check callback URLs against the setting ``[callback] allow_hosts``."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from camiohookd.config.values import AllowedHost
from camiohookd.errors import CallbackNotAllowed, ConfigError, MalformedUrl, PrivateCallback
from camiohookd.net.addresses import is_loopback, why_host_not_public
from camiohookd.net.urls import DEFAULT_PORTS, Origin, check_url, split_url


class Target(NamedTuple):
    """An allowed destination: `url` with its host in the compared form, at `any_address` or at public ones only."""

    url: str
    any_address: bool


class AllowList:
    """The hosts and origins that a callback may go to; safe to share between threads.

    An entry is one of three: a host name (``camio.com``); a pattern (``*.camio.com``: the subdomains at any depth, not
    ``camio.com`` itself); or an origin in full (``http://127.0.0.1:9000``). Names and patterns allow only https at port
    443 and at public addresses. An origin in full allows exactly itself, at any address.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Raise `ConfigError` if an entry is none of the three."""
        self._for_a_test: tuple[Origin, float] | None = None  # with its end, as of `time.monotonic`
        self.replace(entries)

    def allow_for_a_test(self, origin: str, seconds: float) -> None:
        """Allow an origin on the loopback, in addition to the entries, for so many seconds; the last one replaces
        an earlier one. Raises `CallbackNotAllowed` for any other origin.
        """
        allowed = _split(origin)[0]
        if not is_loopback(allowed.host):
            raise CallbackNotAllowed(f"{allowed} is not on the loopback: only that may be allowed for a test")
        self._for_a_test = allowed, time.monotonic() + seconds

    def replace(self, entries: Iterable[str]) -> None:
        """Use `entries` instead of the present ones. Raises `ConfigError` and changes nothing if one is wrong."""
        self._listed = _read(entries)

    def __bool__(self) -> bool:
        """Return whether anything is listed."""
        listed = self._listed
        return bool(listed.hosts or listed.suffixes or listed.origins)

    def check(self, url: str) -> Target:
        """Return where to deliver to for `url`. Raises `CallbackNotAllowed`, whose text says what to change."""
        origin, rest = _split(url)
        listed = self._listed
        is_listed_in_full = origin in listed.origins or self._is_for_a_test(origin)
        if is_listed_in_full or (_is_usual(origin) and listed.has_host(origin.host)):
            return Target(f"{_shortest(origin)}{rest}", is_listed_in_full)
        self._refuse_private(origin)
        raise CallbackNotAllowed(
            f"callback host not allowed: {_shortest(origin)} is not listed; if labels may go there, "
            f'add "{origin.host if _is_usual(origin) else origin}" to allow_hosts in the [callback] section of the '
            "configuration, reload the service, and retry the failed events (camiohookd queue retry --failed)"
        )

    def refuse_private(self, url: str) -> None:
        """Raise `PrivateCallback` if `url` leads to a private network or this machine and is not listed in full."""
        self._refuse_private(_split(url)[0])

    def _refuse_private(self, origin: Origin) -> None:
        reason = why_host_not_public(origin.host)
        if reason and origin not in self._listed.origins and not self._is_for_a_test(origin):
            raise PrivateCallback(
                f"callback host not allowed: {origin.host} is {reason}; if you want labels to go there, "
                f'add "{origin}" to allow_hosts in the [callback] section of the configuration'
            )

    def _is_for_a_test(self, origin: Origin) -> bool:
        allowed = self._for_a_test  # read once: another thread may replace it
        return allowed is not None and origin == allowed[0] and time.monotonic() < allowed[1]


@dataclass(frozen=True, slots=True)
class _Listed:
    hosts: frozenset[str]
    suffixes: frozenset[str]
    origins: frozenset[Origin]

    def has_host(self, name: str) -> bool:
        parents = (name[dot:] for dot, letter in enumerate(name) if letter == ".")
        return name in self.hosts or any(parent in self.suffixes for parent in parents)


def _read(entries: Iterable[str]) -> _Listed:
    hosts, suffixes, origins = set(), set(), set()
    for entry in entries:
        try:
            text = AllowedHost(entry)
        except ValueError as reason:
            raise ConfigError(
                f'[callback] allow_hosts: "{entry}" cannot be used: {reason}; expected {AllowedHost.expected}'
            ) from None
        if "://" in text:
            origins.add(check_url(text))
        elif text.startswith("*."):
            suffixes.add(text[1:])
        else:
            hosts.add(str(text))
    return _Listed(frozenset(hosts), frozenset(suffixes), frozenset(origins))


def _split(url: str) -> tuple[Origin, str]:
    try:
        return split_url(url)
    except MalformedUrl as reason:
        raise CallbackNotAllowed(f"the callback URL cannot be used: {reason}") from None


def _is_usual(origin: Origin) -> bool:
    return origin.scheme == "https" and origin.port == DEFAULT_PORTS["https"]


def _shortest(origin: Origin) -> str:
    """Return the origin without the scheme's default port, in the form that servers expect in Host."""
    if origin.port == DEFAULT_PORTS[origin.scheme]:
        return f"{origin.scheme}://{origin.host}"
    return str(origin)

"""Where a callback may go: the entries of ``[callback] allow_hosts`` in, yes or `CallbackNotAllowed` out."""

from collections.abc import Iterable

from camiohookd.errors import CallbackNotAllowed, ConfigError, MalformedUrl
from camiohookd.urls import Origin, check_url, normalise_host, split_url


class AllowList:
    """The hosts and origins that a callback may go to; safe to share between threads.

    An entry is a host name (``camio.com``: https, any port), a pattern (``*.camio.com``: the subdomains at any depth,
    not ``camio.com`` itself; https, any port) or an origin in full (``http://127.0.0.1:9000``: exactly that).
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Raise `ConfigError` if one of `entries` is none of the three."""
        self._hosts: set[str] = set()
        self._suffixes: set[str] = set()
        self._origins: set[Origin] = set()
        for entry in entries:
            self._add(entry)

    def check(self, url: str) -> None:
        """Return if `url` may be called; raise `CallbackNotAllowed`, which says what to change, if not."""
        try:
            target = check_url(url)
        except MalformedUrl as reason:
            raise CallbackNotAllowed(f"the callback URL cannot be used: {reason}") from None
        if target in self._origins or (target.scheme == "https" and self._allows_host(target.host)):
            return
        kind = "" if target.scheme == "https" else " by plain http"
        raise CallbackNotAllowed(
            f"callbacks to {target.host} are not allowed{kind}; if this is your own doing, "
            f'add "{target}" to allow_hosts in the [callback] section of the configuration'
        )

    def _allows_host(self, name: str) -> bool:
        parents = (name[dot:] for dot, letter in enumerate(name) if letter == ".")
        return name in self._hosts or any(parent in self._suffixes for parent in parents)

    def _add(self, entry: str) -> None:
        try:
            if "://" in entry:
                target, rest = split_url(entry)
                if rest not in ("", "/"):
                    raise MalformedUrl("it goes on after the host and the port")
                self._origins.add(target)
            elif entry.startswith("*."):
                self._suffixes.add(f".{normalise_host(entry[2:])}")
            else:
                self._hosts.add(normalise_host(entry))
        except MalformedUrl as reason:
            raise ConfigError(
                f'[callback] allow_hosts: "{entry}" cannot be used: {reason}; expected a host ("camio.com"), '
                'a pattern ("*.camio.com") or an origin ("http://127.0.0.1:9000")'
            ) from None

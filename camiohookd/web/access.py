"""Who may use the private listener: host names, the password, sessions.

Host ─▶ `Access.allows_host` ─▶ session cookie, or Basic authentication ─▶ the page

Without a password, only this machine can reach the listener, and may use all of it. Belongs to the event loop.
"""

import asyncio
import hashlib
import os
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable
from ipaddress import ip_address

from camiohookd.config.admin_password import LONGEST, PasswordHash
from camiohookd.web.keys import WrongKeyLimiter
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.peers import Peer
from camiohookd.web.sessions import Sessions

ALLOWED_TRIES = 10
_MOST_WAITING = 4
_THIS_MACHINE = "this machine"


class Access:
    """Decides which requests the private listener serves. `is_secure` says that it speaks TLS."""

    def __init__(
        self,
        password: PasswordHash | None = None,
        hosts: Iterable[str] = (),
        *,
        is_secure: bool = False,
        limiter: WrongKeyLimiter | None = None,
    ) -> None:
        self.sessions = Sessions()
        self.is_secure = is_secure
        self._password = password
        self._hosts = frozenset(hosts)
        self._limiter = WrongKeyLimiter(ALLOWED_TRIES) if limiter is None else limiter
        self._checking = asyncio.Lock()  # one at a time: each takes 16 MiB and much time
        self._waiting = 0
        self._salt = os.urandom(16)
        self._seen_right: bytes | None = None

    def use(self, password: PasswordHash | None, hosts: Iterable[str], *, is_secure: bool) -> None:
        """Replace password and host names, at a reload. A different password ends all sessions."""
        self._hosts = frozenset(hosts)
        self.is_secure = is_secure
        if password != self._password:
            self._password = password
            self._seen_right = None
            self.sessions.end_all()

    @property
    def needs_password(self) -> bool:
        """Return whether there is a password."""
        return self._password is not None

    @property
    def cookie_name(self) -> str:
        """Return the name of the session's cookie; browsers take the longer one by https only (RFC 6265bis)."""
        return "__Host-camiohookd" if self.is_secure else "camiohookd"

    def allows_host(self, host: str) -> bool:
        """Return whether a request may name `host`: a web page could reach this machine by any other name."""
        if host == "localhost" or host in self._hosts:
            return True
        parent = host.partition(".")[2]
        return is_address(host) or (bool(parent) and f"*.{parent}" in self._hosts)

    def is_logged_in(self, session: str) -> bool:
        """Return whether a request with this session's token may see the pages."""
        return not self.needs_password or self.sessions.is_valid(session)

    async def check(self, offered: str, peer: Peer) -> None:
        """Return if `offered` is the password; otherwise raise `Refused`.

        After `ALLOWED_TRIES` wrong ones, a client has to wait longer after each. All clients that come through a tunnel
        or a proxy on this machine count as one.
        """
        if self._password is None or self._is_seen(offered):
            return
        client = peer.group or _THIS_MACHINE
        if wait := self._limiter.wait_of(client):
            raise Refused(error_responses.too_many_passwords(wait))
        if self._waiting >= _MOST_WAITING:
            raise Refused(error_responses.PASSWORDS_AT_ONCE)
        self._waiting += 1
        try:
            async with self._checking:
                password = self._password
                right = len(offered) <= LONGEST and await asyncio.to_thread(password.is_right, offered)
        finally:
            self._waiting -= 1
        if not right:
            wait = self._limiter.count(client)
            raise Refused(error_responses.too_many_passwords(wait) if wait else error_responses.WRONG_PASSWORD)
        if password is self._password:
            self._seen_right = self._digest(offered)

    async def check_program(self, authorization: str, session: str, peer: Peer, *, is_forwarded: bool) -> None:
        """Let a program, such as Prometheus, in: from this machine, logged in, or with Basic authentication (RFC 7617).

        `is_forwarded`: a proxy has passed the request on. Raises `Refused`.
        """
        if not self.needs_password or (peer.group is None and not is_forwarded) or self.sessions.is_valid(session):
            return
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise Refused(error_responses.PASSWORD_NEEDED)
        try:
            _, _, offered = b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (Error, ValueError):
            raise Refused(error_responses.PASSWORD_NEEDED) from None
        await self.check(offered, peer)

    def _is_seen(self, offered: str) -> bool:
        """Return whether this was found to be right before: a program sends it with every request."""
        return self._seen_right is not None and self._digest(offered) == self._seen_right

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode("utf-8", "surrogatepass"), key=self._salt).digest()


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address or localhost."""
    if host == "localhost":
        return True
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True

"""Who is logged in to the status page. Sessions are in memory: a restart ends them all.

password ─▶ `Sessions.begin` ─▶ a random token for a cookie ─▶ `Sessions.is_valid` at each request
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_SESSIONS = 64
IDLE_SECONDS = 7 * 86400.0
LONGEST_SECONDS = 30 * 86400.0

_TOKEN_BYTES = 32


class Sessions:
    """At most `most` sessions; one more ends the one that was unused for longest. Belongs to the event loop."""

    def __init__(self, most: int = MOST_SESSIONS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._sessions: OrderedDict[str, tuple[float, float]] = OrderedDict()  # token: began, last used
        self._secret = secrets.token_bytes(_TOKEN_BYTES)

    def begin(self) -> str:
        """Return the token of a new session."""
        while len(self._sessions) >= self._most:
            self._sessions.popitem(last=False)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions[token] = (self._clock(), self._clock())
        return token

    def is_valid(self, token: str) -> bool:
        """Return whether `token` is that of a session that has not ended; count it as used."""
        if token not in self._sessions:
            return False
        now = self._clock()
        began, used = self._sessions.pop(token)
        if now - used >= IDLE_SECONDS or now - began >= LONGEST_SECONDS:
            return False
        self._sessions[token] = (began, now)
        return True

    def end(self, token: str) -> None:
        """End a session, if there is one of that token."""
        self._sessions.pop(token, None)

    def end_all(self) -> None:
        """End all sessions, and make all tokens of forms invalid."""
        self._sessions.clear()
        self._secret = secrets.token_bytes(_TOKEN_BYTES)

    def form_token(self, session: str) -> str:
        """Return what forms of the session with this token carry ("": pages without a login).

        Other web sites cannot read it, and so cannot send a form in the owner's name.
        """
        return hmac.digest(self._secret, session.encode("utf-8", "replace"), "sha256").hex()

    def is_form_token(self, session: str, offered: str) -> bool:
        """Return whether `offered` is the token of that session's forms."""
        return hmac.compare_digest(self.form_token(session).encode(), offered.encode("utf-8", "replace"))

    def __len__(self) -> int:
        return len(self._sessions)

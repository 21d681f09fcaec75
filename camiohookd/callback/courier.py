"""One try to deliver: a URL and a body in, an `Outcome` out; bounded in time and in what is read of the answer."""

import logging
import threading
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3.exceptions import HTTPError

from camiohookd.callback.outcome import Outcome, OutcomeKind, classify_answer, classify_error
from camiohookd.callback.watchdog import Watchdog, WatchedAdapter, attend

MAX_ANSWER_BYTES = 65536

# Its warnings about odd answers hold the callback URL, which is as good as a password for that event.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Courier:
    """Makes deliveries; shared by the threads of the delivery pool, each with a `requests.Session` of its own.

    All times are seconds: `connect_timeout` for each address of the host, `read_timeout` between two bytes, `deadline`
    for the try as a whole, which is what ends an answer that drips. `version` goes into the User-Agent.
    """

    def __init__(
        self, version: str, *, connect_timeout: float = 10.0, read_timeout: float = 30.0, deadline: float = 60.0
    ) -> None:
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"camiohookd/{version}",
            "Accept-Encoding": "identity",
        }
        self._timeouts = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def deliver(self, url: str, body: bytes) -> Outcome:
        """POST `body` to `url` once and classify the answer; `url` has passed `AllowList.check`."""
        watchdog = Watchdog(self._deadline)
        attend(watchdog)
        try:
            answer = self._session().post(url, data=body, timeout=self._timeouts, allow_redirects=False, stream=True)
            with answer:
                _drain(answer)
                return classify_answer(answer)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            if watchdog.fired:
                return Outcome(OutcomeKind.TRANSIENT, None, f"no whole answer within {self._deadline:g} s")
            return classify_error(error)
        finally:
            watchdog.stop()

    def close(self) -> None:
        """Close every thread's connections; no delivery may be in hand."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            # Otherwise proxies, a .netrc or another CA bundle could come in from the environment.
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.headers.update(self._headers)
            for scheme in ("http://", "https://"):
                session.mount(scheme, WatchedAdapter())
            self._local.session = session
            self._sessions.append(session)
        return session


class _Session(requests.Session):
    """No answer is a redirect to it: requests reads the whole body of one, even where it is not to follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # requests' signature
        return None


def _drain(answer: requests.Response) -> None:
    """Read what is left of `answer`, so that its connection can be used again, unless it is large.

    An answer that breaks off here still counts for what its status says.
    """
    left = MAX_ANSWER_BYTES
    try:
        while left > 0 and (chunk := answer.raw.read(min(left, 8192), decode_content=False)):
            left -= len(chunk)
    except (HTTPError, OSError):
        return

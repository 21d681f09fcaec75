"""One try to deliver: a target and a body in, an `Outcome` out; bounded in time and in what is read of the answer."""

import logging
import threading
from functools import partial
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3.exceptions import HTTPError

from camiohookd.callback.adapter import Adapter, Errand, attend
from camiohookd.callback.allowlist import Target
from camiohookd.callback.dialing import Dialer
from camiohookd.callback.outcome import Outcome, OutcomeKind, classify_answer, classify_error
from camiohookd.callback.resolver import Lookup, Resolver, ask_system
from camiohookd.callback.trust import CERTIFI
from camiohookd.callback.watchdog import Watchdog

MAX_ANSWER_BYTES = 65536

# Its warnings about odd answers hold the callback URL, which is as good as a password for that event.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Courier:
    """Makes deliveries; shared by the threads of the delivery pool, each with `requests.Session`s of its own.

    All times are seconds: `connect_timeout` for the host's name and for each of its addresses, `read_timeout` between
    two bytes, `deadline` for the try as a whole, which is what ends an answer that drips. `version` goes into the
    User-Agent. `certificates` is the path that `trust` gives; `lookup` finds a name's addresses.
    """

    def __init__(
        self,
        version: str,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        deadline: float = 60.0,
        certificates: str = CERTIFI,
        lookup: Lookup = ask_system,
    ) -> None:
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"camiohookd/{version}",
            "Accept-Encoding": "identity",
        }
        self._timeouts = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._certificates = certificates
        self._dialer = Dialer(Resolver(lookup), connect_timeout)
        self._local = _OfThread()
        self._sessions: list[requests.Session] = []

    def deliver(self, target: Target, body: bytes) -> Outcome:
        """POST `body` to `target` once and classify the answer."""
        watchdog = Watchdog(self._deadline)
        attend(Errand(partial(self._dialer.dial, any_address=target.any_address, watchdog=watchdog), watchdog))
        session = self._session(target.any_address)
        try:
            answer = session.post(target.url, data=body, timeout=self._timeouts, allow_redirects=False, stream=True)
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

    def _session(self, any_address: bool) -> requests.Session:
        """One for each: a connection that is kept open to a private address is of no use to what may go to no such."""
        session = self._local.sessions.get(any_address)
        if session is None:
            session = self._local.sessions[any_address] = _Session()
            # Otherwise proxies, a .netrc or another CA bundle could come in from the environment.
            session.trust_env = False
            session.verify = self._certificates
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.headers.update(self._headers)
            for scheme in ("http://", "https://"):
                session.mount(scheme, Adapter())
            self._sessions.append(session)
        return session


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.sessions: dict[bool, requests.Session] = {}


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

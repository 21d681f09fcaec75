"""Try once to deliver a body to a target and return a `DeliveryOutcome`; time and response size are bounded."""

import logging
import threading
from functools import partial

import requests
from urllib3.exceptions import HTTPError

from camiohookd.delivery.adapter import Adapter, Errand, attend
from camiohookd.delivery.allow_list import Target
from camiohookd.delivery.ca_store import CERTIFI
from camiohookd.delivery.deadline import Watchdogs
from camiohookd.delivery.dialer import Dialer
from camiohookd.delivery.outcome import classify_error
from camiohookd.delivery.resolver import Lookup, Resolver, ask_system
from camiohookd.next_try import DeliveryOutcome, OutcomeKind, judge_answer

MAX_ANSWER_BYTES = 65536

# Its warnings about odd answers hold the callback URL, which is as good as a password for that event.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Sender:
    """Makes deliveries; shared by the threads of the delivery pool, each with connections of its own.

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
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"camiohookd/{version}",
        }
        self._timeouts = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._certificates = certificates
        self._dialer = Dialer(Resolver(lookup), connect_timeout)
        self._watchdogs = Watchdogs(deadline)
        self._local = _OfThread()
        self._adapters: list[Adapter] = []

    def deliver(self, target: Target, body: bytes) -> DeliveryOutcome:
        """POST `body` to `target` once and classify the answer."""
        with self._watchdogs.one() as watchdog:
            attend(Errand(partial(self._dialer.dial, any_address=target.any_address, watchdog=watchdog), watchdog))
            try:
                with self._post(target, body) as answer:
                    _drain(answer)
                    return judge_answer(answer.status_code, answer.headers)
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                if watchdog.fired:
                    return DeliveryOutcome(OutcomeKind.TRANSIENT, None, f"no whole answer within {self._deadline:g} s")
                return classify_error(error)

    def close(self) -> None:
        """Close every thread's connections; no delivery may be in hand."""
        for adapter in self._adapters:
            adapter.close()

    def _post(self, target: Target, body: bytes) -> requests.Response:
        """Without a `requests.Session`, which would follow redirects, keep cookies, and take proxies, a .netrc and
        another CA bundle from the environment; and takes as long to find out that it is not to as all the rest."""
        request = requests.PreparedRequest()
        request.prepare_method("POST")
        request.prepare_url(target.url, None)
        request.prepare_headers(self._headers)
        request.prepare_body(body, None)
        adapter = self._adapter(target.any_address)
        return adapter.send(request, stream=True, timeout=self._timeouts, verify=self._certificates)

    def _adapter(self, any_address: bool) -> Adapter:
        """One for each: a connection that is kept open to a private address is of no use to what may go to no such."""
        adapter = self._local.adapters.get(any_address)
        if adapter is None:
            adapter = self._local.adapters[any_address] = Adapter()
            self._adapters.append(adapter)
        return adapter


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.adapters: dict[bool, Adapter] = {}


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

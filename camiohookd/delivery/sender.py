"""Try once to deliver a body to a target and return a `DeliveryOutcome`; time and response size are bounded."""

import http.client
import logging
from functools import partial

import requests
from urllib3.exceptions import HTTPError

from camiohookd.delivery.allow_list import Target
from camiohookd.next_try import DeliveryOutcome, judge_answer, judge_failure
from camiohookd.outgoing.adapter import Adapter, prepared
from camiohookd.outgoing.attempt import Attempt
from camiohookd.outgoing.ca_store import CERTIFI
from camiohookd.outgoing.dialer import Dialer
from camiohookd.outgoing.failures import root, words
from camiohookd.outgoing.resolver import Lookup, Resolver, ask_system

MAX_ANSWER_BYTES = 65536

# Its warnings about malformed answers contain the callback URL, which is a secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Sender:
    """Makes deliveries; shared by the threads of the delivery pool, with their connections.

    All times are seconds: `connect_timeout` for the host's name and for each of its addresses, `read_timeout` between
    two bytes, `deadline` for the whole try, which also ends an answer that arrives byte by byte. `version` goes into
    the User-Agent. `certificates` is the path that `trusted_certificates` gives; `lookup` finds a name's addresses.
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
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._deadline = deadline
        self._dialer = Dialer(Resolver(lookup))
        # Two, since a connection kept open to a private address may not be used by a target that has to be public.
        self._adapters = {any_address: Adapter(certificates) for any_address in (False, True)}

    def deliver(self, target: Target, body: bytes) -> DeliveryOutcome:
        """POST `body` to `target` once and judge the answer. Raises nothing, in any case."""
        attempt = Attempt(
            partial(self._dialer.dial, any_address=target.any_address),
            connect=self._connect_timeout,
            read=self._read_timeout,
            deadline=self._deadline,
        )
        try:
            with self._post(target, body, attempt) as answer:
                _drain(answer)
                return judge_answer(answer.status_code, answer.headers)
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            cause = root(error)
            return judge_failure(
                attempt.step,
                words(cause),
                timed_out=isinstance(cause, TimeoutError),
                deadline=self._deadline if attempt.is_over else None,
            )

    def close(self) -> None:
        """Close all kept connections; no delivery may be in hand."""
        for adapter in self._adapters.values():
            adapter.close()

    def _post(self, target: Target, body: bytes, attempt: Attempt) -> requests.Response:
        """Send without a `requests.Session`: it would follow redirects, keep cookies, and take proxies, a .netrc and
        another CA bundle from the environment; telling it not to takes as long as all the rest."""
        request = prepared("POST", target.url, body, self._headers)
        adapter = self._adapters[target.any_address]
        return adapter.send(request, stream=True, timeout=attempt)  # type: ignore[arg-type]  # a urllib3.Timeout is fine


def _drain(answer: requests.Response) -> None:
    """Read the rest of `answer`, so that its connection can be used again, unless it is large.

    An answer that breaks off here still counts for what its status says.
    """
    left = MAX_ANSWER_BYTES
    try:
        while left > 0 and (chunk := answer.raw.read(min(left, 8192), decode_content=False)):
            left -= len(chunk)
    except (HTTPError, OSError):
        return

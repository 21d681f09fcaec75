"""Turn the answer or error of one delivery try into a `DeliveryOutcome`, and compute the wait before the next try."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus

import requests

MAX_RETRY_AFTER = 86400.0
TRANSIENT_STATUSES = {408, 425, 429}


class OutcomeKind(Enum):
    """What to do after a try: nothing, try again later, or give up."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What came of one try: `status` None where no answer came, `retry_after` in seconds where the answer gave one."""

    kind: OutcomeKind
    status: int | None
    reason: str
    retry_after: float | None = None


def classify_answer(answer: requests.Response) -> DeliveryOutcome:
    """Return what an answer means: 2xx is success, 408, 425, 429 and 5xx are worth another try, the rest is final."""
    status = answer.status_code
    try:
        reason = f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        reason = f"answered {status}"
    if 200 <= status < 300:
        return DeliveryOutcome(OutcomeKind.DELIVERED, status, reason)
    if status in TRANSIENT_STATUSES or 500 <= status < 600:
        return DeliveryOutcome(OutcomeKind.TRANSIENT, status, reason, _retry_after(answer))
    if 300 <= status < 400:
        reason += "; redirects are not followed"
    return DeliveryOutcome(OutcomeKind.FINAL, status, reason)


def classify_error(error: Exception) -> DeliveryOutcome:
    """Return what it means that no answer came."""
    match error:
        case requests.exceptions.SSLError():
            # Not final: until it has the time, a box without a clock takes every good certificate for a bad one.
            return _transient(f"no trusted TLS connection ({_root(error)}); is this machine's clock right?")
        case requests.exceptions.ConnectTimeout():
            return _transient("no connection within the time limit")
        case requests.exceptions.Timeout():
            return _transient("no answer within the time limit")
        case ValueError():
            return DeliveryOutcome(OutcomeKind.FINAL, None, "the URL cannot be used")
    return _transient(f"the connection failed ({_root(error)})")


def _transient(reason: str) -> DeliveryOutcome:
    return DeliveryOutcome(OutcomeKind.TRANSIENT, None, reason)


def _root(error: BaseException) -> str:
    """Return the words of the operating system at the bottom of `error`; the layers above it repeat the URL."""
    deepest = error
    while inner := deepest.__cause__ or (None if deepest.__suppress_context__ else deepest.__context__):
        deepest = inner
    if isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror
    return "it hung up" if isinstance(deepest, ConnectionError) else type(deepest).__name__


def backoff(
    attempt: int,
    minimum: float = 5.0,
    maximum: float = 600.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return the seconds to wait after try number `attempt` (from 0) failed: exponential with full jitter.

    Formula: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    doublings = min(attempt, 64)  # a float overflows after a thousand
    return uniform(0.0, min(maximum, minimum * 2**doublings))


def _retry_after(answer: requests.Response) -> float | None:
    """Return the seconds of the Retry-After header (RFC 9110, section 10.2.3), from 0 to `MAX_RETRY_AFTER`."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    then = _http_date(text)
    if then is None:
        return None
    # The answer's own Date makes it a span, which a wrong clock here does not change.
    now = _http_date(answer.headers.get("Date", "")) or datetime.now(UTC)
    return min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

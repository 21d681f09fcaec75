"""When is a reply tried again? This module holds the whole rule; docs/internals/delivery.md explains it.

    a try ends ─▶ `judge_answer`, `judge_failure` ─▶ `DeliveryOutcome`: delivered, transient or final
    transient  ─▶ `delay`: when this reply is due again (`Backoff`, Retry-After)
               ─▶ `HostHealth`: when its host is tried again, and which replies wait for that
    `PATIENCE` ─▶ how long a camera's next reply waits for the one before it

`delivery` makes the tries, `queue.delivery_schedule` keeps the replies that wait. Both decide nothing by themselves.
All times are elapsed seconds, all waits are seconds.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

TRANSIENT_STATUSES = frozenset({408, 425, 429})
DELIVERED_BEFORE_STATUSES = frozenset({404, 409, 410})
"""Answers that mean "delivered before" if a crash may have hidden an earlier delivery: a callback URL is single use."""

MAX_RETRY_AFTER = 86400.0

ANSWERED_PAUSE = 20.0
"""Longest pause of a host that did answer: the event may be the reason, not the host."""

PATIENCE = 2.0
"""How long the next reply of a camera waits for the one before it, so that replies arrive in order."""


class OutcomeKind(Enum):
    """What to do after a try: nothing, try again later, or give up."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The result of one try; `status` is None if no answer came, `retry_after` the wait that the answer asked for.

    `tried` is false if the host was not called at all, so that the outcome says nothing about it.
    """

    kind: OutcomeKind
    status: int | None
    reason: str
    retry_after: float | None = None
    tried: bool = True


# What an answer means


def judge_answer(status: int, headers: Mapping[str, str]) -> DeliveryOutcome:
    """Return what an answer means: 2xx is success; 408, 425, 429 and 5xx are worth another try; the rest is final.

    `headers` must find names in any case.
    """
    reason = f"answered {status}{_phrase(status)}"
    if 200 <= status < 300:
        return DeliveryOutcome(OutcomeKind.DELIVERED, status, reason)
    if status in TRANSIENT_STATUSES or 500 <= status < 600:
        return DeliveryOutcome(OutcomeKind.TRANSIENT, status, reason, _retry_after(headers))
    if 300 <= status < 400:
        reason += "; redirects are not followed"
    return DeliveryOutcome(OutcomeKind.FINAL, status, reason)


def was_delivered_before(outcome: DeliveryOutcome, *, maybe_delivered: bool) -> bool:
    """Return whether a refusal probably means that the reply was delivered before a crash."""
    return maybe_delivered and outcome.kind is OutcomeKind.FINAL and outcome.status in DELIVERED_BEFORE_STATUSES


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


# What it means that no answer came


class DeliveryStep(Enum):
    """How far a try has got; where it fails decides what the failure means."""

    PREPARE = "before dialling"
    DIAL = "dialling"
    TLS = "TLS handshake"
    SEND = "sending"
    READ = "reading"


class Failure(NamedTuple):
    """What a failure at a step means; `text` has a place for the error's own words."""

    kind: OutcomeKind
    timed_out: str
    text: str


FAILURES: Mapping[DeliveryStep, Failure] = {
    # Only this step depends on nothing but the URL. From dialling on, everything may be better the next time.
    DeliveryStep.PREPARE: Failure(OutcomeKind.FINAL, "the URL cannot be used", "the URL cannot be used"),
    DeliveryStep.DIAL: Failure(
        OutcomeKind.TRANSIENT, "no connection within the time limit", "the connection failed ({detail})"
    ),
    # A certificate is not final either: a box without a clock rejects good ones until it has the time.
    DeliveryStep.TLS: Failure(
        OutcomeKind.TRANSIENT, "no TLS connection within the time limit", "no trusted TLS connection ({detail})"
    ),
    DeliveryStep.SEND: Failure(
        OutcomeKind.TRANSIENT, "the labels were not taken within the time limit", "sending the labels failed ({detail})"
    ),
    DeliveryStep.READ: Failure(OutcomeKind.TRANSIENT, "no answer within the time limit", "no usable answer ({detail})"),
}


def judge_failure(
    step: DeliveryStep, detail: str, *, timed_out: bool = False, deadline: float | None = None
) -> DeliveryOutcome:
    """Return what it means that a try failed at `step`; `detail` are the error's own words.

    `timed_out`: the step's own time limit was over; `deadline`: the limit of the whole try, if that was over.
    """
    failure = FAILURES[step]
    text = failure.timed_out if timed_out else failure.text.format(detail=detail)
    if deadline is not None and step is not DeliveryStep.PREPARE:
        text = f"no whole answer within {deadline:g} s"
    return DeliveryOutcome(failure.kind, None, text, tried=step is not DeliveryStep.PREPARE)


# When the same reply is due again


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait after a number of failures in a row: exponential with full jitter, from 0 to at most `maximum`.

    Formula: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    minimum: float = 5.0
    maximum: float = 600.0
    uniform: Callable[[float, float], float] = random.uniform

    def __call__(self, failures: int) -> float:
        doublings = min(failures - 1, 64)  # a float overflows after a thousand
        return self.uniform(0.0, min(self.maximum, self.minimum * 2**doublings))


def delay(backoff: Callable[[int], float], failures: int, retry_after: float | None) -> float:
    """Return the wait of a reply that failed `failures` times: its back-off, or what the answer asked for if longer."""
    return max(backoff(failures), retry_after or 0.0)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the Retry-After header (RFC 9110, section 10.2.3), from 0 to `MAX_RETRY_AFTER`."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    then = _http_date(text)
    if then is None:
        return None
    # Relative to the answer's own Date, so that a wrong clock here does not change the wait.
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# When the same host is tried again


class HostHealth:
    """Whether a host is up or down, judged by its tries.

    A host is *down* after a failure. While it is down only one delivery at a time tries it, after a pause that grows
    with each failure, and each time it is another task's turn: so an outage of a week takes one try every few minutes
    instead of one for each task. One success brings the host up again, and all that waited for it become due.

    A task that failed, then saw its host come up, and failed again is *stubborn*: the task is the reason, not the host.
    A stubborn task waits for its own time only, and its failures no longer count against a host that is up.
    """

    __slots__ = ("_backoff", "_failed", "_stubborn", "_warned", "failures", "paused_until")

    def __init__(self, backoff: Callable[[int], float]) -> None:
        self._backoff = backoff
        self.failures = 0
        self.paused_until = 0.0
        self._failed: set[int] = set()  # tasks that failed since the host's last success
        self._warned: set[int] = set()  # tasks that failed before the host came up
        self._stubborn: set[int] = set()

    @property
    def is_down(self) -> bool:
        return self.failures > 0

    def succeeded(self) -> None:
        """Record that the host took a delivery."""
        self.failures, self.paused_until = 0, 0.0
        self._warned |= self._failed
        self._failed.clear()

    def failed(self, task_id: int, now: float, *, answered: bool) -> None:
        """Record that a try of `task_id` failed; `answered`: the host did answer."""
        if task_id in self._stubborn and not self.is_down:
            return
        self._failed.add(task_id)
        if task_id in self._warned:
            self._stubborn.add(task_id)
        if now < self.paused_until:
            return  # it was in flight when another failed: both count as one failure
        self.failures += 1
        pause = self._backoff(self.failures)
        self.paused_until = now + (min(pause, ANSWERED_PAUSE) if answered else pause)

    def is_stubborn(self, task_id: int) -> bool:
        return task_id in self._stubborn

    def forget(self, task_id: int) -> None:
        """Forget a task that is delivered or gone."""
        for tasks in (self._failed, self._warned, self._stubborn):
            tasks.discard(task_id)

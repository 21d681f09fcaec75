"""The rule of the next try: the outcome of answers and failures, and the wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from camiohookd.next_try import (
    ANSWERED_PAUSE,
    FAILURES,
    Backoff,
    DeliveryOutcome,
    DeliveryStep,
    HostHealth,
    OutcomeKind,
    delay,
    judge_answer,
    judge_failure,
    was_delivered_before,
)

# Answers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, OutcomeKind.DELIVERED) for status in (200, 201, 202, 204, 299)],
        *[(status, OutcomeKind.TRANSIENT) for status in (408, 425, 429, 500, 502, 503, 504, 599)],
        *[(status, OutcomeKind.FINAL) for status in (301, 302, 307, 308, 400, 401, 403, 404, 409, 410, 413, 600, 999)],
    ],
)
def test_the_status_decides_the_outcome(status: int, kind: OutcomeKind) -> None:
    outcome = judge_answer(status, {})
    assert (outcome.kind, outcome.status) == (kind, status)
    assert outcome.reason.startswith(f"answered {status}")


@pytest.mark.parametrize(
    ("status", "maybe_delivered", "expected"),
    [(404, True, True), (409, True, True), (410, True, True), (404, False, False), (403, True, False)],
)
def test_a_gone_callback_counts_as_delivered_only_if_a_crash_may_have_hidden_the_delivery(
    status: int, maybe_delivered: bool, expected: bool
) -> None:
    assert was_delivered_before(judge_answer(status, {}), maybe_delivered=maybe_delivered) is expected


@given(st.text() | st.datetimes().map(format_datetime), st.text() | st.datetimes().map(format_datetime))
def test_any_retry_after_is_a_bounded_wait_or_none(value: str, date: str) -> None:
    retry_after = judge_answer(503, {"Retry-After": value, "Date": date}).retry_after
    assert retry_after is None or 0 <= retry_after <= 86400


NOW = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)


def http_date(offset: timedelta) -> str:
    return format_datetime(NOW + offset, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 400, 86400),
        (http_date(timedelta(seconds=90)), 90),
        (http_date(timedelta(seconds=-90)), 0),
        (http_date(timedelta(days=900)), 86400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Foo 2020 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_relative_to_the_answers_own(value: str, seconds: float | None) -> None:
    headers = CaseInsensitiveDict({"retry-after": value, "date": http_date(timedelta())})
    assert judge_answer(503, headers).retry_after == seconds


def test_retry_after_as_a_date_without_a_date_header_is_relative_to_now() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    retry_after = judge_answer(503, {"Retry-After": then}).retry_after
    assert retry_after is not None
    assert 0 < retry_after <= 600


# Failures


@pytest.mark.parametrize("step", list(DeliveryStep))
@pytest.mark.parametrize("timed_out", [False, True])
def test_only_a_failure_before_dialling_is_final(step: DeliveryStep, timed_out: bool) -> None:
    outcome = judge_failure(step, "reset by peer", timed_out=timed_out)
    expected = OutcomeKind.FINAL if step is DeliveryStep.PREPARE else OutcomeKind.TRANSIENT
    assert (outcome.kind, outcome.status) == (expected, None)
    assert outcome.tried is (step is not DeliveryStep.PREPARE), "the host was not called"


def test_every_step_has_its_own_reason() -> None:
    assert set(FAILURES) == set(DeliveryStep)
    texts = [judge_failure(step, "why").reason for step in DeliveryStep]
    assert len(set(texts)) == len(DeliveryStep)
    assert [text for text in texts if "why" not in text] == ["the URL cannot be used"]


# Waits


def test_backoff_doubles_its_ceiling_from_5_seconds_to_10_minutes() -> None:
    backoff = Backoff(uniform=lambda _low, high: high)
    assert [backoff(failures) for failures in range(1, 10)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_backoff_jitters_over_the_whole_span() -> None:
    assert Backoff(uniform=lambda low, _high: low)(3) == 0.0


@given(st.integers(min_value=1))
def test_backoff_stays_within_its_bounds_for_any_number_of_failures(failures: int) -> None:
    assert 0 <= Backoff()(failures) <= 600


def test_the_receiver_can_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    assert delay(lambda _: 10.0, 1, None) == 10.0
    assert delay(lambda _: 10.0, 1, 3.0) == 10.0
    assert delay(lambda _: 10.0, 1, 30.0) == 30.0


# Hosts


def test_a_host_pauses_longer_with_each_failure_and_less_if_it_answers() -> None:
    health = HostHealth(lambda failures: 100.0 * failures)
    health.failed(1, 0.0, answered=False)
    assert (health.is_down, health.paused_until) == (True, 100.0)
    health.failed(2, 50.0, answered=False)
    assert health.paused_until == 100.0, "it was in flight when the first failed"
    health.failed(3, 100.0, answered=False)
    assert health.paused_until == 300.0
    health.failed(4, 300.0, answered=True)
    assert health.paused_until == 300.0 + ANSWERED_PAUSE
    health.succeeded()
    assert (health.is_down, health.paused_until) == (False, 0.0)


def test_a_task_that_fails_although_its_host_is_up_no_longer_counts_against_the_host() -> None:
    health = HostHealth(lambda _: 10.0)
    health.failed(1, 0.0, answered=True)
    health.succeeded()
    health.failed(1, 20.0, answered=True)
    assert health.is_stubborn(1)
    health.succeeded()
    health.failed(1, 40.0, answered=True)
    assert not health.is_down
    health.forget(1)
    assert not health.is_stubborn(1)


def test_a_host_remembers_only_tasks_that_exist() -> None:
    health = HostHealth(lambda _: 10.0)
    for task_id in range(1000):
        health.failed(task_id, 0.0, answered=False)
        health.forget(task_id)
    assert not health._failed


def test_an_outcome_names_the_reason() -> None:
    assert judge_answer(307, {"Location": "http://elsewhere.example/"}) == DeliveryOutcome(
        OutcomeKind.FINAL, 307, "answered 307 Temporary Redirect; redirects are not followed"
    )

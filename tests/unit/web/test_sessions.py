"""Sessions of the status page, and the tokens of its forms."""

import pytest

from camiohookd.web.sessions import IDLE_SECONDS, LONGEST_SECONDS, Sessions


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Clock:
    return Clock()


def test_a_session_is_valid_until_it_ends(time: Clock) -> None:
    sessions = Sessions(clock=time)
    one, other = sessions.begin(), sessions.begin()
    assert one != other
    assert sessions.is_valid(one) and sessions.is_valid(other)
    sessions.end(one)
    assert not sessions.is_valid(one) and sessions.is_valid(other)
    sessions.end_all()
    assert not sessions.is_valid(other)


@pytest.mark.parametrize("token", ["", "x", "\udcff"])
def test_an_unknown_token_is_not_valid(token: str) -> None:
    sessions = Sessions()
    sessions.begin()
    assert not sessions.is_valid(token)
    sessions.end(token)


def test_a_session_ends_when_it_is_not_used(time: Clock) -> None:
    sessions = Sessions(clock=time)
    token = sessions.begin()
    time.now += IDLE_SECONDS - 1
    assert sessions.is_valid(token)
    time.now += IDLE_SECONDS
    assert not sessions.is_valid(token)
    assert len(sessions) == 0


def test_a_session_ends_even_if_it_is_used(time: Clock) -> None:
    sessions = Sessions(clock=time)
    token = sessions.begin()
    for _ in range(5):
        time.now += LONGEST_SECONDS / 5 - 1
        assert sessions.is_valid(token)
    time.now += 6
    assert not sessions.is_valid(token)


def test_one_session_too_many_ends_the_one_that_was_unused_for_longest() -> None:
    sessions = Sessions(most=2)
    first, second = sessions.begin(), sessions.begin()
    assert sessions.is_valid(first)
    sessions.begin()
    assert sessions.is_valid(first) and not sessions.is_valid(second)
    assert len(sessions) == 2


def test_the_token_of_a_form_is_of_its_session_alone() -> None:
    sessions = Sessions()
    one, other = sessions.begin(), sessions.begin()
    assert sessions.is_form_token(one, sessions.form_token(one))
    assert not sessions.is_form_token(one, sessions.form_token(other))
    assert not sessions.is_form_token(one, "")
    assert not sessions.is_form_token(one, "\udcff")
    assert not Sessions().is_form_token(one, sessions.form_token(one))
    assert one not in sessions.form_token(one)


def test_the_tokens_of_forms_end_with_all_sessions() -> None:
    sessions = Sessions()
    token = sessions.form_token("")
    sessions.end_all()
    assert not sessions.is_form_token("", token)

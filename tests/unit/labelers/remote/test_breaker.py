from camiohookd.labelers.remote.breaker import FAILURES, FIRST_WAIT, LONGEST_WAIT, Breaker


class Clocked:
    """A breaker with a clock that a test moves; `told` is what it reported."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[tuple[str | None, float]] = []
        self.breaker = Breaker(lambda reason, wait: self.told.append((reason, wait)), lambda: self.now)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed("broken")


def test_some_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    box = Clocked()
    for _ in range(3):
        box.fail(FAILURES - 1)
        box.breaker.worked()
    assert box.breaker.may_pass()
    assert box.told == []
    box.fail(FAILURES)
    assert not box.breaker.may_pass()
    assert box.told == [("broken", FIRST_WAIT)]


def test_after_the_wait_one_request_tries_and_closes_it() -> None:
    box = Clocked()
    box.fail(FAILURES)
    box.now = FIRST_WAIT
    assert [box.breaker.may_pass() for _ in range(3)] == [True, False, False]
    box.breaker.worked()
    assert [box.breaker.may_pass() for _ in range(3)] == [True, True, True]
    assert box.told == [("broken", FIRST_WAIT), (None, 0.0)]


def test_each_failed_trial_doubles_the_wait_up_to_a_limit_and_reports_nothing() -> None:
    box = Clocked()
    box.fail(FAILURES)
    waits = []
    for _ in range(8):
        began = box.now
        while not box.breaker.may_pass():
            box.now += 0.5
        waits.append(box.now - began)
        box.fail()
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert len(box.told) == 1


def test_a_wrong_contract_opens_it_at_once() -> None:
    box = Clocked()
    box.breaker.failed("does not fit", at_once=True)
    assert not box.breaker.may_pass()


def test_requests_that_end_after_it_opened_change_nothing() -> None:
    box = Clocked()
    box.fail(FAILURES + 5)
    box.now = FIRST_WAIT
    assert box.breaker.may_pass()

"""How many optional steps an event may take, from what waits."""

import pytest

from camiohookd.worker.spare_time import PATIENCE, SpareTime


@pytest.mark.parametrize(("waiting", "steps"), [(0, 9), (1, 4), (2, 2), (3, 1), (4, 0), (1000, 0)])
def test_each_event_that_waits_halves_the_steps(waiting: int, steps: int) -> None:
    assert SpareTime(lambda: waiting, lambda: 0.0).steps(9) == steps


def test_no_step_is_taken_after_another_event_has_waited_for_a_while() -> None:
    now, waiting = 100.0, 1
    spare = SpareTime(lambda: waiting, lambda: now)
    assert spare.steps(9) == 4
    now += PATIENCE
    assert spare.steps(9) == 0
    waiting = 0
    assert spare.steps(9) == 9
    waiting = 1
    assert spare.steps(9) == 4

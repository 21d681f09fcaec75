"""The schedule of deliveries: hosts that are down, order within a camera, and what is in the air."""

from collections import Counter
from itertools import pairwise

import pytest

from camiohookd.queue.delivery_schedule import PATIENCE, DeliverySchedule
from tests.support.queue_factory import backoff


@pytest.fixture
def deliveries() -> DeliverySchedule:
    return DeliverySchedule(backoff)


def add(deliveries: DeliverySchedule, *task_ids: int, host: str = "h", camera: str = "front", due: float = 0.0) -> None:
    for task_id in task_ids:
        deliveries.add(task_id, host, camera, due)


def deliver(deliveries: DeliverySchedule, now: float, *, success: bool = True) -> int | None:
    """Take the next one; the answer comes at once."""
    task_id = deliveries.take(now)
    if task_id is not None:
        if success:
            deliveries.remove(task_id)
        deliveries.landed(task_id, now, success=success)
    return task_id


def test_what_is_due_is_taken_oldest_first_over_all_cameras(deliveries: DeliverySchedule) -> None:
    add(deliveries, 3, camera="back")
    add(deliveries, 2, 1)
    assert [deliver(deliveries, 0.0) for _ in range(4)] == [1, 2, 3, None]
    assert len(deliveries) == 0


def test_what_is_not_due_yet_waits(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, due=5.0)
    assert deliveries.take(4.9) is None
    assert deliveries.next_due(4.9) == 5.0
    assert deliveries.take(5.0) == 1


def test_a_camera_has_one_in_the_air_and_others_are_not_held_up(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    add(deliveries, 3, camera="back")
    assert [deliveries.take(0.0) for _ in range(3)] == [1, 3, None]
    deliveries.remove(1)
    deliveries.landed(1, 0.5, success=True)
    assert deliveries.take(0.5) == 2


def test_a_slow_one_holds_its_camera_up_only_for_a_while(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    deliveries.take(0.0)
    assert deliveries.next_due(0.0) == PATIENCE
    assert deliveries.take(PATIENCE) == 2
    assert deliveries.in_air == 2


def test_a_host_that_failed_is_tried_by_one_at_a_time_with_growing_pauses(deliveries: DeliverySchedule) -> None:
    add(deliveries, *range(1, 100))
    now, tries = 0.0, []
    for _ in range(10):
        assert deliver(deliveries, now, success=False) is not None
        tries.append(now)
        assert deliveries.take(now) is None
        due = deliveries.next_due(now)
        assert due is not None
        assert deliveries.take(due - 0.001) is None
        now = due
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    deliveries.take(now)
    assert deliveries.take(now + 1000.0) is None
    assert deliveries.next_due(now) is None


def test_those_that_were_in_the_air_when_the_host_went_down_count_as_one_failure(deliveries: DeliverySchedule) -> None:
    for camera in "abcdefgh":
        add(deliveries, ord(camera), camera=camera)
    flying = [deliveries.take(0.0) for _ in range(8)]
    for task_id in flying:
        assert task_id is not None
        deliveries.landed(task_id, 1.0, success=False)
    assert deliveries.next_due(1.0) == 1.0 + backoff(1)


def test_a_success_makes_all_who_wait_for_that_host_due_but_those_it_named_a_time(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1)
    assert deliver(deliveries, 0.0, success=False) == 1
    add(deliveries, 1, 2, 3, due=900.0)
    deliveries.add(4, "h", "front", 900.0, firm=True)
    deliveries.add(5, "other", "front", 900.0)
    add(deliveries, 6)
    assert deliver(deliveries, 5.0) == 6
    assert [deliver(deliveries, 5.0) for _ in range(4)] == [1, 2, 3, None]
    assert [deliver(deliveries, 900.0) for _ in range(3)] == [4, 5, None]


def test_a_host_that_is_down_holds_up_no_other(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    add(deliveries, 3, 4, host="other")
    assert deliver(deliveries, 0.0, success=False) == 1
    assert [deliver(deliveries, 0.0) for _ in range(3)] == [3, 4, None]


def test_what_is_planned_while_in_the_air_is_due_only_after_it_has_landed(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1)
    assert deliveries.take(0.0) == 1
    add(deliveries, 1)
    assert deliveries.take(10.0) is None
    deliveries.landed(1, 10.0, success=True)
    assert deliveries.take(10.0) == 1


def test_a_try_that_was_not_made_says_nothing_of_the_host_and_is_due_again(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    assert deliveries.take(0.0) == 1
    deliveries.landed(1, 0.0, success=None)
    assert deliveries.in_air == 0
    assert [deliver(deliveries, 0.0) for _ in range(2)] == [1, 2]


def test_landing_twice_counts_once(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1)
    add(deliveries, 2, camera="back")
    assert [deliveries.take(0.0), deliveries.take(0.0)] == [1, 2]
    for _ in range(2):
        deliveries.landed(1, 0.0, success=True)
    assert deliveries.in_air == 1
    assert deliveries.is_in_air(2)
    assert not deliveries.is_in_air(1)


def test_what_was_removed_is_not_taken(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2, 3)
    deliveries.remove(1)
    deliveries.take(0.0)
    deliveries.remove(2)
    deliveries.landed(2, 0.0, success=True)
    assert deliveries.take(0.0) == 3


@pytest.mark.parametrize("bad", [1, 2, 3, 4, 8])
def test_replies_that_are_never_taken_do_not_keep_the_others_from_their_host(
    deliveries: DeliverySchedule, bad: int
) -> None:
    add(deliveries, *range(1, bad + 1), camera="bad")
    add(deliveries, *range(bad + 1, bad + 16), camera="good")
    tries: Counter[int] = Counter()
    delivered: set[int] = set()
    now = 0.0
    while len(delivered) < 15:
        assert now < 900.0, f"only {len(delivered)} in a quarter of an hour"
        task_id = deliveries.take(now)
        if task_id is None:
            now += 0.5
            continue
        tries[task_id] += 1
        if task_id > bad:
            deliveries.remove(task_id)
            delivered.add(task_id)
        else:
            deliveries.add(task_id, "h", "bad", now + backoff(tries[task_id]))
        deliveries.landed(task_id, now, success=task_id > bad, answered=True)
    assert max(tries.values()) <= 12


def fail(deliveries: DeliverySchedule, now: float, *, again: float) -> int | None:
    """Take the next one; it is planned again for `again`, and then its try is over."""
    task_id = deliveries.take(now)
    if task_id is not None:
        deliveries.add(task_id, "h", "bad", again)
        deliveries.landed(task_id, now, success=False)
    return task_id


def test_one_that_fails_again_although_its_host_is_up_waits_for_nobody_but_itself(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, camera="bad")
    assert fail(deliveries, 0.0, again=100.0) == 1
    add(deliveries, 2)
    assert deliver(deliveries, 5.0) == 2, "the host is up"
    assert fail(deliveries, 5.0, again=200.0) == 1, "released by that success"
    add(deliveries, 3)
    assert deliver(deliveries, 20.0) == 3
    assert deliveries.take(199.0) is None
    assert fail(deliveries, 200.0, again=400.0) == 1
    add(deliveries, 4)
    assert deliver(deliveries, 200.0) == 4, "its failure says nothing of the host any more"

"""The schedule of deliveries: turns of hosts, hosts that are down, order within a camera, running deliveries."""

import gc
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.next_try import PATIENCE
from camiohookd.queue.delivery_schedule import MAX_IDLE_HOSTS, DeliverySchedule
from camiohookd.queue.host_deliveries import HostDeliveries
from tests.support.queue_factory import backoff


@pytest.fixture
def deliveries() -> DeliverySchedule:
    return DeliverySchedule(backoff)


def add(deliveries: DeliverySchedule, *task_ids: int, host: str = "h", camera: str = "front", due: float = 0.0) -> None:
    for task_id in task_ids:
        deliveries.add(task_id, host, camera, due)


def deliver(deliveries: DeliverySchedule, now: float, *, success: bool = True) -> int | None:
    """Take the next delivery and end it at once."""
    task_id = deliveries.take(now)
    if task_id is not None:
        if success:
            deliveries.remove(task_id)
        deliveries.landed(task_id, now, success=success)
    return task_id


def hosts_in_memory() -> int:
    return sum(isinstance(each, HostDeliveries) for each in gc.get_objects())


def test_takes_due_deliveries_oldest_first_over_all_cameras(deliveries: DeliverySchedule) -> None:
    add(deliveries, 3, camera="back")
    add(deliveries, 2, 1)
    assert [deliver(deliveries, 0.0) for _ in range(4)] == [1, 2, 3, None]
    assert len(deliveries) == 0


def test_does_not_take_a_delivery_before_it_is_due(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, due=5.0)
    assert deliveries.take(4.9) is None
    assert deliveries.next_due(4.9) == 5.0
    assert deliveries.take(5.0) == 1


def test_a_camera_has_one_running_delivery_and_delays_no_other_camera(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    add(deliveries, 3, camera="back")
    assert [deliveries.take(0.0) for _ in range(3)] == [1, 3, None]
    deliveries.remove(1)
    deliveries.landed(1, 0.5, success=True)
    assert deliveries.take(0.5) == 2


def test_a_slow_delivery_delays_its_camera_only_for_a_while(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    deliveries.take(0.0)
    assert deliveries.next_due(0.0) == PATIENCE
    assert deliveries.take(PATIENCE) == 2
    assert len(deliveries.in_air) == 2


def test_a_host_that_is_down_gets_one_try_at_a_time_with_growing_pauses(deliveries: DeliverySchedule) -> None:
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


def test_deliveries_running_when_the_host_goes_down_count_as_one_failure(deliveries: DeliverySchedule) -> None:
    for camera in "abcdefgh":
        add(deliveries, ord(camera), camera=camera)
    flying = [deliveries.take(0.0) for _ in range(8)]
    for task_id in flying:
        assert task_id is not None
        deliveries.landed(task_id, 1.0, success=False)
    assert deliveries.next_due(1.0) == 1.0 + backoff(1)


def test_a_success_makes_all_that_wait_for_its_host_due_except_those_with_retry_after(
    deliveries: DeliverySchedule,
) -> None:
    add(deliveries, 1)
    assert deliver(deliveries, 0.0, success=False) == 1
    add(deliveries, 1, 2, 3, due=900.0)
    deliveries.add(4, "h", "front", 900.0, firm=True)
    deliveries.add(5, "other", "front", 900.0)
    add(deliveries, 6)
    assert deliver(deliveries, 5.0) == 6
    assert [deliver(deliveries, 5.0) for _ in range(4)] == [1, 2, 3, None]
    assert sorted(filter(None, (deliver(deliveries, 900.0) for _ in range(3)))) == [4, 5]


def test_a_host_that_is_down_delays_no_other_host(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    add(deliveries, 3, 4, host="other")
    assert deliver(deliveries, 0.0, success=False) == 1
    assert [deliver(deliveries, 0.0) for _ in range(3)] == [3, 4, None]


def test_a_delivery_planned_while_running_is_due_after_it_has_ended(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1)
    assert deliveries.take(0.0) == 1
    add(deliveries, 1)
    assert deliveries.take(10.0) is None
    deliveries.landed(1, 10.0, success=True)
    assert deliveries.take(10.0) == 1


def test_a_try_that_was_not_made_does_not_count_for_the_host_and_is_due_again(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2)
    assert deliveries.take(0.0) == 1
    deliveries.landed(1, 0.0, success=None)
    assert not deliveries.in_air
    assert [deliver(deliveries, 0.0) for _ in range(2)] == [1, 2]


def test_landing_twice_counts_once(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1)
    add(deliveries, 2, camera="back")
    assert [deliveries.take(0.0), deliveries.take(0.0)] == [1, 2]
    for _ in range(2):
        deliveries.landed(1, 0.0, success=True)
    assert list(deliveries.in_air) == [2]


def test_does_not_take_a_removed_delivery(deliveries: DeliverySchedule) -> None:
    add(deliveries, 1, 2, 3)
    deliveries.remove(1)
    deliveries.take(0.0)
    deliveries.remove(2)
    deliveries.landed(2, 0.0, success=True)
    assert deliveries.take(0.0) == 3


@pytest.mark.parametrize("bad", [1, 2, 3, 4, 8])
def test_replies_that_always_fail_do_not_block_the_others_of_their_host(deliveries: DeliverySchedule, bad: int) -> None:
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
    """Take the next delivery, plan it again for `again`, and end the try as a failure."""
    task_id = deliveries.take(now)
    if task_id is not None:
        deliveries.add(task_id, "h", "bad", again)
        deliveries.landed(task_id, now, success=False)
    return task_id


def test_a_delivery_that_fails_while_its_host_is_up_waits_for_its_own_time_only(deliveries: DeliverySchedule) -> None:
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


# Hosts take turns


def fly(deliveries: DeliverySchedule, host_of: dict[int, str], slots: int, flying: list[int]) -> None:
    """Fill the free slots."""
    while len(flying) < slots and (task_id := deliveries.take(0.0, slots)) is not None:
        flying.append(task_id)
        assert task_id in host_of


def land(deliveries: DeliverySchedule, flying: list[int], task_id: int) -> None:
    flying.remove(task_id)
    deliveries.remove(task_id)
    deliveries.landed(task_id, 0.0, success=True)


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_a_slow_host_delays_another_hosts_first_delivery_by_one_answer(slots: int) -> None:
    deliveries, flying = DeliverySchedule(backoff), list[int]()
    host_of = dict.fromkeys(range(1, 49), "slow") | dict.fromkeys(range(100, 105), "quick")
    for task_id in range(1, 49):
        deliveries.add(task_id, "slow", f"camera {task_id}", 0.0)
    fly(deliveries, host_of, slots, flying)
    assert flying == list(range(1, slots + 1)), "the host has every slot while no other waits"
    for task_id in range(100, 105):
        deliveries.add(task_id, "quick", f"camera {task_id}", 0.0)
    land(deliveries, flying, flying[0])
    fly(deliveries, host_of, slots, flying)
    assert host_of[flying[-1]] == "quick"


@pytest.mark.parametrize("slots", [2, 3, 4, 8])
def test_a_host_leaves_a_slot_to_others_that_wait(slots: int) -> None:
    """The fast host's deliveries end at once, the slow ones never: the fast host waits only for its own deliveries."""
    deliveries, flying = DeliverySchedule(backoff), list[int]()
    host_of = dict.fromkeys(range(1, 49), "slow") | dict.fromkeys(range(100, 120), "quick")
    for task_id, host in host_of.items():
        deliveries.add(task_id, host, f"camera {task_id}", 0.0)
    landed = 0
    while landed < 20:
        fly(deliveries, host_of, slots, flying)
        quick = [task_id for task_id in flying if host_of[task_id] == "quick"]
        assert quick, f"{landed} landed, and the slow host has all {slots} slots"
        land(deliveries, flying, quick[0])
        landed += 1
    fly(deliveries, host_of, slots, flying)
    assert len(flying) == slots, "nobody else waits: the slow host may have them all"


def test_hosts_that_are_due_take_turns(deliveries: DeliverySchedule) -> None:
    for number, host in enumerate("abcabcaab", 1):
        deliveries.add(number, host, f"camera {number}", 0.0)
    assert [deliver(deliveries, 0.0) for _ in range(10)] == [1, 2, 3, 4, 5, 6, 7, 9, 8, None]


def test_remembers_a_bounded_number_of_hosts_that_are_down(
    deliveries: DeliverySchedule,
) -> None:
    for number in range(3 * MAX_IDLE_HOSTS):
        deliveries.add(number, f"host {number}", "front", 0.0)
        assert deliveries.take(0.0) == number
        deliveries.remove(number)
        deliveries.landed(number, 0.0, success=False)
    assert len(deliveries._hosts) == MAX_IDLE_HOSTS
    assert len(deliveries._agenda) <= 2 * MAX_IDLE_HOSTS + 64
    newest = f"host {3 * MAX_IDLE_HOSTS - 1}"
    deliveries.add(9999, newest, "front", 0.0)
    assert deliveries.next_due(0.0) == backoff(1), "it is still known to be down"


def test_a_host_that_is_up_and_has_nothing_to_deliver_takes_no_memory(deliveries: DeliverySchedule) -> None:
    before = hosts_in_memory()
    for number in range(200):
        deliveries.add(number, "host", "front", 0.0)
        assert deliver(deliveries, 0.0) == number
    assert hosts_in_memory() - before <= 1


def test_taking_a_delivery_looks_only_at_hosts_that_are_due(deliveries: DeliverySchedule) -> None:
    """Count the hosts that are looked at, not time."""
    for number in range(2000):
        deliveries.add(number, f"host {number}", "front", 1000.0)
    deliveries.add(5000, "up", "front", 0.0)
    looks = Counter[str]()
    due_at = HostDeliveries.due_at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostDeliveries, "due_at", lambda host: looks.update([host.name]) or due_at(host))
        assert deliver(deliveries, 0.0) == 5000
        assert deliveries.next_due(0.0) == 1000.0
    assert set(looks) <= {"up"}


@given(
    script=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 12), st.sampled_from([0.0, 3.0, 50.0])),
            st.tuples(st.just("remove"), st.integers(1, 12), st.just(0.0)),
            st.tuples(st.just("take"), st.sampled_from([1, 2, 4]), st.just(0.0)),
            st.tuples(st.sampled_from(["done", "failed", "undone"]), st.integers(0, 5), st.just(0.0)),
            st.tuples(st.just("wait"), st.just(0), st.sampled_from([0.5, 2.0, 30.0])),
        ),
        max_size=80,
    )
)
def test_every_planned_delivery_gets_its_turn(script: list[tuple[str, int, float]]) -> None:
    deliveries, now, flying, planned = DeliverySchedule(backoff), 0.0, list[int](), set[int]()
    for what, number, seconds in script:
        if what == "add":
            deliveries.add(number, f"host {number % 3}", f"camera {number % 2}", now + seconds if seconds else 0.0)
            planned.add(number)
        elif what == "remove":
            deliveries.remove(number)
            planned.discard(number)
        elif what == "take":
            if (task_id := deliveries.take(now, number)) is not None:
                assert task_id in planned
                assert task_id not in flying
                flying.append(task_id)
        elif what == "wait":
            now += seconds
        elif flying:
            task_id = flying.pop(number % len(flying))
            if what == "done":
                deliveries.remove(task_id)
                planned.discard(task_id)
            deliveries.landed(task_id, now, success={"done": True, "failed": False, "undone": None}[what])
    for task_id in flying:
        deliveries.remove(task_id)
        planned.discard(task_id)
        deliveries.landed(task_id, now, success=True)
    while planned:
        if (taken := deliver(deliveries, now)) is not None:
            planned.remove(taken)
        else:
            due = deliveries.next_due(now)
            assert due is not None, f"nothing will ever deliver {planned}"
            assert due > now
            now = due
    assert len(deliveries) == len(deliveries.in_air) == 0

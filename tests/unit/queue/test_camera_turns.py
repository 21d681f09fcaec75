"""Fairness between cameras, counted in turns."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.queue.camera_turns import CameraTurns


def add(turns: CameraTurns, *task_ids: int, camera: str) -> None:
    for task_id in task_ids:
        turns.add(task_id, camera)


def take(turns: CameraTurns, cameras: dict[int, str], *, newest_first: bool = False) -> int | None:
    """Take the next id as a claim does."""
    task_id = turns.next(newest_first=newest_first)
    if task_id is not None:
        turns.end_turn(cameras[task_id])
        turns.discard(task_id, cameras[task_id])
    return task_id


def test_cameras_take_turns_and_each_camera_keeps_its_order() -> None:
    turns, cameras = CameraTurns(), {1: "a", 2: "a", 3: "a", 4: "b", 5: "b", 6: "c"}
    for task_id, camera in cameras.items():
        turns.add(task_id, camera)
    assert [take(turns, cameras) for _ in range(7)] == [1, 4, 6, 2, 5, 3, None]


def test_newest_first_holds_within_a_camera() -> None:
    turns, cameras = CameraTurns(), {1: "a", 2: "a", 3: "b", 4: "b"}
    for task_id, camera in cameras.items():
        turns.add(task_id, camera)
    assert [take(turns, cameras, newest_first=True) for _ in range(5)] == [2, 4, 1, 3, None]


@pytest.mark.parametrize("taken_before", [0, 1, 2, 500])
def test_an_event_that_arrives_in_another_cameras_storm_is_next(taken_before: int) -> None:
    turns, cameras = CameraTurns(), dict.fromkeys(range(1, 1001), "storm")
    add(turns, *cameras, camera="storm")
    for _ in range(taken_before):
        take(turns, cameras)
    cameras[2000] = "quiet"
    turns.add(2000, "quiet")
    waited_for = 0
    while take(turns, cameras) != 2000:
        waited_for += 1
    assert waited_for <= (1 if taken_before == 0 else 0), "nobody has had a turn yet: the storm's first was there first"


def test_new_cameras_do_not_starve_the_others() -> None:
    """A new camera sends its first event before each turn. An old camera waits once for each one that waits."""
    turns, cameras = CameraTurns(), dict.fromkeys(range(1, 101), "old")
    add(turns, *cameras, camera="old")
    taken = []
    for number in range(1000, 1100):
        cameras[number] = f"camera {number}"
        turns.add(number, cameras[number])
        task_id = take(turns, cameras)
        assert task_id is not None
        taken.append(cameras[task_id])
    old_turns = [turn for turn, camera in enumerate(taken) if camera == "old"]
    assert [later - earlier for earlier, later in pairwise(old_turns)] == list(range(3, len(old_turns) + 2))


def test_without_fairness_only_the_ids_order_counts() -> None:
    turns, cameras = CameraTurns(fair=False), {1: "a", 2: "a", 3: "b", 4: "a"}
    for task_id, camera in cameras.items():
        turns.add(task_id, camera)
    assert [take(turns, cameras) for _ in range(5)] == [1, 2, 3, 4, None]


actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcd")),
        st.tuples(st.just("take"), st.booleans()),
        st.tuples(st.just("drop"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(script=actions, fair=st.booleans())
def test_no_camera_is_passed_more_than_once_by_another(script: list[tuple[str, object]], fair: bool) -> None:
    """While a camera waits, no other camera gets a second turn that was not due before."""
    turns, cameras = CameraTurns(fair=fair), dict[int, str]()
    waiting: dict[str, set[int]] = defaultdict(set)
    passes: dict[tuple[str, str], int] = defaultdict(int)  # (waiting camera, camera that passed it)
    for number, (what, detail) in enumerate(script):
        if what == "add":
            cameras[number] = str(detail)
            turns.add(number, str(detail))
            waiting[str(detail)].add(number)
        elif what == "take":
            task_id = take(turns, cameras, newest_first=bool(detail))
            assert (task_id is None) == (not any(waiting.values()))
            if task_id is None:
                continue
            camera = cameras[task_id]
            pool = waiting[camera] if fair else set().union(*waiting.values())
            assert task_id == (max(pool) if detail else min(pool))
            waiting[camera].discard(task_id)
            for other in [one for one, ids in waiting.items() if ids and one != camera]:
                passes[other, camera] += 1
                assert not fair or passes[other, camera] <= 1
            for pair in [pair for pair in passes if pair[0] == camera or not waiting[pair[0]]]:
                del passes[pair]
        elif ids := sorted(task_id for each in waiting.values() for task_id in each):
            task_id = ids[int(str(detail)) % len(ids)]
            turns.discard(task_id, cameras[task_id])
            waiting[cameras[task_id]].discard(task_id)
            for pair in [pair for pair in passes if not waiting[pair[0]]]:
                del passes[pair]
        assert len(turns) == sum(map(len, waiting.values()))

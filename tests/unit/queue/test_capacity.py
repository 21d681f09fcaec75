"""The bounds: what is given up before an event is refused, and what the sender is told."""

from pathlib import Path

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.capacity import GB, Bounds, Capacity, DrainRate
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, HandClock, accept, commit, crash, label, make_event, open_queue


def test_one_event_too_many_is_refused_and_accepted_again_when_one_has_left(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_tasks=2, max_bytes=10**9, min_free_bytes=0))
    task_id = label(queue, make_event(1))
    accept(queue, make_event(2))
    with pytest.raises(QueueFull, match="2 events are waiting") as refusal:
        accept(queue, make_event(3))
    assert refusal.value.retry_after == 60
    assert accept(queue, make_event(2)) == 2  # known events need no room
    commit(queue, lambda q: q.done(task_id))
    assert accept(queue, make_event(3)) > 2
    assert queue.index.counts == {State.PENDING: 2, State.LABELLED: 0, State.DONE: 1, State.FAILED: 0}


def test_over_max_bytes_the_failed_and_quarantined_give_way_before_an_event_is_refused(
    tmp_path: Path, disk: CountingDisk
) -> None:
    clock = HandClock()
    queue = open_queue(tmp_path, disk=disk, clock=clock, bounds=Bounds(max_bytes=1_800_000, min_free_bytes=0))
    queue.quarantine.set_aside("payload", "task-0", bytes(300_000))
    for number in range(1, 5):
        task_id = accept(queue, make_event(number, size=400_000))
        clock.tick(1)
        if number < 4:
            commit(queue, lambda q, task_id=task_id: q.fail(task_id, Cause.LABELING, "test"))  # type: ignore[misc]  # a default binds the loop's value
    assert queue.quarantine.bytes_used == 0
    assert all(queue.get(number).payload for number in (1, 2, 3))
    with pytest.raises(QueueFull, match=r"queue\.max_bytes"):
        accept(queue, make_event(5, size=2_000_000))
    assert [bool(queue.get(number).payload) for number in range(1, 5)] == [False, False, False, True]
    crash(queue)


def test_over_max_bytes_what_waits_is_never_given_up(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=100_000, min_free_bytes=0))
    accepted = 0
    with pytest.raises(QueueFull):
        for number in range(1, 20):
            accept(queue, make_event(number, size=20_000))
            accepted += 1
    assert queue.index.counts[State.PENDING] == accepted
    assert all(queue.read_payload(queue.get(number)).task_id == number for number in range(1, accepted + 1))


def test_a_disk_with_little_left_is_not_filled_up_and_takes_events_again_by_itself(
    tmp_path: Path, disk: CountingDisk
) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=10**9, min_free_bytes=1_000_000))
    disk.free = 1_000_000
    with pytest.raises(QueueFull, match=r"queue\.min_free_bytes"):
        accept(queue, make_event(1))
    disk.free = 2_000_000
    accept(queue, make_event(1))


def test_max_bytes_is_half_of_what_is_free_and_at_most_20_gb(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk)
    disk.free = 3 * GB
    assert Capacity(queue, Bounds()).max_bytes == 1.5 * GB
    disk.free = 300 * GB
    assert Capacity(queue, Bounds()).max_bytes == 20 * GB


def test_making_room_costs_no_event_of_the_same_batch_when_the_disk_then_refuses(
    tmp_path: Path, disk: CountingDisk
) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=50_000, min_free_bytes=0))
    first = accept(queue, make_event(1, size=30_000))
    with queue.batch():
        queue.labelled(first, REPLY)
        disk.fails = lambda call, _: OSError("refused") if call == "sync" else None
        with pytest.raises(StoreUnavailable):
            queue.put(make_event(2, size=30_000))
        queue.undo()
    disk.fails = lambda *_: None
    assert queue.get(first).state == "pending"
    assert queue.read_payload(queue.get(first)).pictures == make_event(1, size=30_000).pictures


def test_an_event_accepted_beside_a_refused_one_is_durable(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=50_000, min_free_bytes=0))
    disk.syncs.clear()
    with queue.batch():
        queue.put(make_event(1, size=30_000))
        with pytest.raises(QueueFull):
            queue.put(make_event(2, size=30_000))
        queue.commit()
    assert disk.syncs["segment"] == 1


def test_a_disk_that_cannot_make_room_is_unavailable(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=1000, min_free_bytes=0))
    queue.quarantine.set_aside("payload", "task-0", bytes(2000))
    disk.fails = lambda call, _: OSError("read-only") if call == "unlink" else None
    with queue.batch(), pytest.raises(StoreUnavailable, match="read-only"):
        queue.put(make_event(1))


def test_the_wait_is_computed_from_the_rate_at_which_tasks_leave() -> None:
    drain = DrainRate()
    assert drain.seconds_for(1, 0.0) == 60
    for second in range(0, 100, 2):
        drain.left(float(second))
    assert drain.seconds_for(1, 100.0) == 2
    assert drain.seconds_for(20, 100.0) == 40
    assert drain.seconds_for(10_000, 100.0) == 600
    assert drain.seconds_for(1, 1000.0) == 60


def test_retry_after_follows_the_drain_rate_of_the_queue(tmp_path: Path, disk: CountingDisk) -> None:
    clock = HandClock()
    queue = open_queue(tmp_path, disk=disk, clock=clock, bounds=Bounds(max_tasks=20, max_bytes=10**9, min_free_bytes=0))
    for number in range(1, 21):
        label(queue, make_event(number))
    for number in range(1, 11):
        clock.tick(8)
        commit(queue, lambda q, number=number: q.done(number))  # type: ignore[misc]  # a default binds the loop's value
    for number in range(21, 31):
        accept(queue, make_event(number))
    with pytest.raises(QueueFull) as refusal:
        accept(queue, make_event(99))
    assert 5 <= refusal.value.retry_after <= 10


def failing(queue: TaskQueue, number: int, size: int) -> int:
    """An event that is accepted and fails, with its pictures."""
    task_id = accept(queue, make_event(number, size=size))
    commit(queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
    return task_id


def test_the_oldest_pictures_of_failed_tasks_make_room_and_no_more_than_is_needed(
    tmp_path: Path, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 100_000)  # two events each
    clock = HandClock()
    queue = open_queue(tmp_path, disk=disk, clock=clock, bounds=Bounds(max_bytes=1_000_000, min_free_bytes=0))
    failed = []
    for number in range(18):
        failed.append(failing(queue, number, size=50_000))
        clock.tick(1)
    written = disk.written
    fresh = [accept(queue, make_event(number, size=50_000)) for number in (100, 101, 102)]
    assert [bool(queue.get(task_id).payload) for task_id in failed] == [False, False, *[True] * 16]
    assert on_disk(tmp_path) < 1_000_000
    assert disk.written - written < 3 * 52_000, "what stays is not written again"
    for task_id in [*fresh, *failed[2:]]:
        assert queue.read_payload(queue.get(task_id)).task_id == task_id
    with pytest.raises(QueueFull):
        accept(queue, make_event(103, size=1_700_000))
    assert not queue.index.kept_payloads, "all are given up before anything is refused"
    crash(queue)


def on_disk(folder: Path) -> int:
    """What the file system has set aside for the segments."""
    return sum(512 * path.stat().st_blocks for path in (folder / "segments").iterdir())


def test_what_nobody_needs_makes_room_before_anything_is_given_up(
    tmp_path: Path, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 200_000)
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=500_000, min_free_bytes=0))
    label(queue, make_event(1, size=200_000))
    task_id = failing(queue, 2, size=200_000)
    accept(queue, make_event(3, size=200_000))
    assert queue.get(task_id).payload
    assert on_disk(tmp_path) < 500_000
    crash(queue)


def test_nothing_is_given_back_that_a_refused_commit_needs_again(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=500_000, min_free_bytes=0))
    first = accept(queue, make_event(1, size=200_000))
    accept(queue, make_event(2, size=200_000))
    disk.fails = lambda call, _: OSError("refused") if call == "sync" else None
    disk.calls.clear()
    with queue.batch():
        queue.labelled(first, REPLY)
        with pytest.raises(StoreUnavailable):
            queue.put(make_event(3, size=200_000))
        queue.undo()
    assert disk.calls["unlink"] == 0
    assert queue.read_payload(queue.get(first)).task_id == first
    disk.fails = lambda *_: None
    crash(queue)


def test_giving_up_many_pictures_takes_no_commit_for_each(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=100_000, min_free_bytes=0))
    accept(queue, make_event(0))
    for number in range(1, 31):
        failing(queue, number, size=2000)
    disk.syncs.clear()
    with pytest.raises(QueueFull):  # the first event keeps the segment
        accept(queue, make_event(99, size=50_000))
    assert not queue.index.kept_payloads
    assert disk.syncs["journal"] <= 2
    crash(queue)


def test_tasks_that_fail_leave_the_queue_too(tmp_path: Path, disk: CountingDisk) -> None:
    clock = HandClock()
    queue = open_queue(tmp_path, disk=disk, clock=clock, bounds=Bounds(max_tasks=10, max_bytes=10**9, min_free_bytes=0))
    for number in range(1, 11):
        clock.tick(4)
        failing(queue, number, size=40)
    for number in range(11, 21):
        accept(queue, make_event(number))
    with pytest.raises(QueueFull) as refusal:
        accept(queue, make_event(21))
    assert 3 <= refusal.value.retry_after <= 5
    crash(queue)

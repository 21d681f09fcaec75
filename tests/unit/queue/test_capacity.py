"""The bounds of the queue: what is deleted before an event is refused, and the answer to the sender."""

from pathlib import Path

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.capacity import GB, Bounds, DrainRate
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, HandClock, accept, commit, crash, label, make_event, open_queue


def test_refuses_an_event_over_the_limit_and_accepts_it_after_one_has_left(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_tasks=2, max_bytes=10**9, min_free_bytes=0))
    task_id = label(queue, make_event(1))
    accept(queue, make_event(2))
    with pytest.raises(QueueFull, match="2 events are waiting") as refusal:
        accept(queue, make_event(3))
    assert refusal.value.retry_after == 60
    assert accept(queue, make_event(2)) == 2  # known events need no room
    commit(queue, lambda q: q.deliveries.done(task_id))
    assert accept(queue, make_event(3)) > 2
    assert queue.store.index.counts == {State.PENDING: 2, State.LABELLED: 0, State.DONE: 1, State.FAILED: 0}


def test_never_deletes_waiting_events_over_max_bytes(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=100_000, min_free_bytes=0))
    accepted = 0
    with pytest.raises(QueueFull):
        for number in range(1, 20):
            accept(queue, make_event(number, size=20_000))
            accepted += 1
    assert queue.store.index.counts[State.PENDING] == accepted
    assert all(queue.read_payload(queue.get(number)).task_id == number for number in range(1, accepted + 1))


def test_leaves_min_free_bytes_and_accepts_events_again_once_there_is_room(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=10**9, min_free_bytes=1_000_000))
    disk.free = 1_000_000
    with pytest.raises(QueueFull, match=r"queue\.min_free_bytes"):
        accept(queue, make_event(1))
    disk.free = 2_000_000
    accept(queue, make_event(1))


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
    queue.store.quarantine.set_aside("payload", "task-0", bytes(2000))
    disk.fails = lambda call, _: OSError("read-only") if call == "unlink" else None
    with pytest.raises(StoreUnavailable, match="read-only"):
        accept(queue, make_event(1))


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
        commit(queue, lambda q, number=number: q.deliveries.done(number))  # type: ignore[misc]  # a default binds the loop's value
    for number in range(21, 31):
        accept(queue, make_event(number))
    with pytest.raises(QueueFull) as refusal:
        accept(queue, make_event(99))
    assert 5 <= refusal.value.retry_after <= 10


def failing(queue: TaskQueue, number: int, size: int) -> int:
    """Accept an event that fails and keeps its pictures."""
    task_id = accept(queue, make_event(number, size=size))
    commit(queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
    return task_id


def test_deletes_the_oldest_pictures_of_failed_tasks_and_no_more_than_needed(
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
    assert len(queue.store.index.kept_pictures) == 16, "nothing is deleted for an event that does not fit anyway"
    crash(queue)


def on_disk(folder: Path) -> int:
    """Return the bytes that the file system has allocated for the segments."""
    return sum(512 * path.stat().st_blocks for path in (folder / "segments").iterdir())


def test_frees_unneeded_segments_before_deleting_pictures(
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


def test_deleting_many_pictures_takes_one_commit(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=100_000, min_free_bytes=0))
    for number in range(1, 31):
        failing(queue, number, size=2000)
    disk.syncs.clear()
    accept(queue, make_event(99, size=50_000))
    assert not queue.store.index.kept_pictures
    assert disk.syncs["journal"] <= 2
    crash(queue)


def test_does_not_delete_pictures_that_share_a_segment_with_a_waiting_event(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=100_000, min_free_bytes=0))
    accept(queue, make_event(0))
    for number in range(1, 31):
        failing(queue, number, size=2000)
    with pytest.raises(QueueFull):
        accept(queue, make_event(99, size=50_000))
    assert len(queue.store.index.kept_pictures) == 30
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


def test_quarantine_and_pictures_of_failed_events_are_deleted_before_an_event_is_refused(
    tmp_path: Path, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300_000)  # one event each
    clock = HandClock()
    queue = open_queue(tmp_path, disk=disk, clock=clock, bounds=Bounds(max_bytes=1_800_000, min_free_bytes=0))
    queue.store.quarantine.set_aside("payload", "task-0", bytes(300_000))
    for number in range(1, 4):
        failing(queue, number, size=400_000)
        clock.tick(1)
    accept(queue, make_event(4, size=400_000))
    assert queue.store.quarantine.bytes_used == 0
    assert all(queue.get(number).payload for number in (1, 2, 3))
    accept(queue, make_event(5, size=700_000))
    assert [bool(queue.get(number).payload) for number in (1, 2, 3)] == [False, False, True]
    crash(queue)


def test_nothing_is_deleted_if_all_of_it_would_not_make_enough_room(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=10**9, min_free_bytes=60_000_000))
    task_id = failing(queue, 1, size=400_000)
    disk.free = 1_000_000
    with pytest.raises(QueueFull, match=r"queue\.min_free_bytes"):
        accept(queue, make_event(2))
    assert queue.get(task_id).payload
    crash(queue)


@pytest.mark.parametrize("spare", [0, 1])
def test_what_deleting_pictures_writes_to_the_journal_is_counted(
    tmp_path: Path, disk: CountingDisk, spare: int
) -> None:
    """Otherwise, the pictures would be deleted, and the event refused nevertheless."""
    queue = open_queue(tmp_path, disk=disk)
    task_id = label(queue, make_event(1, size=4000))
    queue.store.quarantine.set_aside("payload", "task-0", bytes(300))
    missing = queue.store.quarantine.bytes_used + queue.store.records.payloads.bytes_used - spare
    queue.capacity.bounds = Bounds(max_bytes=queue.store.bytes_used - missing, min_free_bytes=0)
    assert not queue.capacity.make_room(0)
    assert queue.get(task_id).payload
    assert queue.store.quarantine.bytes_used == 300
    queue.capacity.bounds = Bounds(max_bytes=queue.store.bytes_used - missing + 100, min_free_bytes=0)
    assert queue.capacity.make_room(0)
    assert queue.get(task_id).payload is None
    crash(queue)


def test_pictures_of_labeled_events_are_deleted_before_those_of_failed_ones(
    tmp_path: Path, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 100_000)  # one event each
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_bytes=650_000, min_free_bytes=0))
    failed = failing(queue, 1, size=200_000)
    labelled = label(queue, make_event(2, size=200_000))
    accept(queue, make_event(3, size=200_000))
    accept(queue, make_event(4, size=200_000))
    assert queue.get(labelled).payload is None
    assert queue.read_reply(queue.get(labelled)) == REPLY
    assert queue.get(failed).payload
    crash(queue)


def test_without_max_bytes_the_queue_may_use_its_own_and_all_free_bytes(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds())
    disk.free = 3 * GB
    assert queue.capacity.max_bytes == 3 * GB + queue.store.bytes_used
    disk.free = 300 * GB
    assert queue.capacity.max_bytes == 20 * GB


def test_a_restart_of_a_half_full_disk_does_not_lower_the_bound(tmp_path: Path, disk: CountingDisk) -> None:
    """The queue takes half of 600 MB. An earlier version refused the next event after a restart."""
    disk.free = 6_000_000
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(min_free_bytes=100_000))
    for number in range(30):
        accept(queue, make_event(number, size=100_000))
        disk.free -= 100_000
    queue.close()
    again = CountingDisk()
    again.free = 3_000_000
    queue = open_queue(tmp_path, disk=again, bounds=Bounds(min_free_bytes=100_000))
    assert queue.capacity.refusal() is None
    accept(queue, make_event(99, size=100_000))
    crash(queue)


def test_a_start_on_a_full_disk_refuses_until_there_is_room(tmp_path: Path, disk: CountingDisk) -> None:
    disk.free = 0
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(min_free_bytes=1_000_000))
    assert "queue.min_free_bytes" in str(queue.capacity.refusal())
    with pytest.raises(QueueFull):
        accept(queue, make_event(1))
    disk.free = 10_000_000
    assert queue.capacity.refusal() is None
    accept(queue, make_event(1))
    crash(queue)


def test_reports_that_the_queue_is_full_before_reading_an_event(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, bounds=Bounds(max_tasks=1, max_bytes=10**9, min_free_bytes=0))
    assert queue.capacity.refusal() is None
    accept(queue, make_event(1))
    assert "queue.max_tasks" in str(queue.capacity.refusal())
    crash(queue)

"""Housekeeping: retention times, bounded steps, and disk errors."""

from pathlib import Path

import pytest

from camiohookd.queue.capacity import DAY, Bounds
from camiohookd.queue.compaction import PAUSE_AFTER_FAILURE
from camiohookd.queue.housekeeping import CLOCK_NOTE_EVERY, TASKS_A_STEP, Housekeeper
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import tinydb_storage as storage
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import HandClock, accept, commit, crash, label, make_event, open_queue


@pytest.fixture
def queue(tmp_path: Path, clock: HandClock, disk: CountingDisk) -> TaskQueue:
    return open_queue(tmp_path, clock=clock, disk=disk, bounds=Bounds(max_bytes=10**9, min_free_bytes=0))


def fail(queue: TaskQueue, number: int) -> int:
    task_id = accept(queue, make_event(number))
    commit(queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
    return task_id


def done(queue: TaskQueue, number: int) -> int:
    task_id = label(queue, make_event(number))
    commit(queue, lambda q: q.deliveries.done(task_id))
    return task_id


def steps_until_idle(housekeeper: Housekeeper) -> int:
    steps = 1
    while housekeeper.step():
        steps += 1
    return steps


def test_a_done_task_is_kept_for_a_day_for_duplicates_and_then_forgotten(queue: TaskQueue, clock: HandClock) -> None:
    task_id = done(queue, 1)
    assert queue.get(task_id).payload is None
    clock.tick(DAY)
    steps_until_idle(Housekeeper(queue))
    assert commit(queue, lambda q: q.put(make_event(1))).duplicate
    clock.tick(1)
    steps_until_idle(Housekeeper(queue))
    assert not commit(queue, lambda q: q.put(make_event(1))).duplicate


def test_a_failed_task_is_kept_with_its_payload_for_a_week(queue: TaskQueue, clock: HandClock) -> None:
    task_id = fail(queue, 1)
    clock.tick(7 * DAY)
    steps_until_idle(Housekeeper(queue))
    assert queue.read_payload(queue.get(task_id)).pictures == make_event(1).pictures
    clock.tick(1)
    steps_until_idle(Housekeeper(queue))
    assert queue.store.index.counts[State.FAILED] == 0


def test_fails_tasks_that_waited_longer_than_max_age_as_expired(queue: TaskQueue, clock: HandClock) -> None:
    task_id = label(queue, make_event(1))
    commit(queue, lambda q: q.deliveries.retry(task_id, "the callback said 503"))
    clock.tick(14 * DAY)
    fresh = accept(queue, make_event(2))
    steps_until_idle(Housekeeper(queue))
    assert queue.get(task_id).state is State.LABELLED
    clock.tick(1)
    steps_until_idle(Housekeeper(queue))
    task = queue.get(task_id)
    assert (task.state, task.cause, task.reply is not None) == (State.FAILED, Cause.EXPIRED, True)
    assert "503" in task.reason
    assert queue.get(fresh).state is State.PENDING


def test_a_retried_task_may_wait_max_age_again(queue: TaskQueue, clock: HandClock) -> None:
    task_id = accept(queue, make_event(1))
    clock.tick(14 * DAY + 1)
    steps_until_idle(Housekeeper(queue))
    commit(queue, lambda q: q.redrive(task_id))
    clock.tick(14 * DAY)
    steps_until_idle(Housekeeper(queue))
    assert queue.get(task_id).state is State.PENDING


def test_does_not_expire_a_task_in_hand(queue: TaskQueue, clock: HandClock) -> None:
    task_id = accept(queue, make_event(1))
    commit(queue, lambda q: q.claim())
    clock.tick(15 * DAY)
    steps_until_idle(Housekeeper(queue))
    assert queue.get(task_id).state is State.PENDING
    commit(queue, lambda q: q.give_back(task_id))
    steps_until_idle(Housekeeper(queue))
    assert queue.get(task_id).state is State.FAILED


@pytest.mark.parametrize("jump", [-3600.0, 365 * DAY])
def test_a_jump_of_the_wall_clock_expires_and_forgets_nothing(queue: TaskQueue, clock: HandClock, jump: float) -> None:
    done(queue, 1)
    fail(queue, 2)
    accept(queue, make_event(3))
    clock.wall_seconds += jump
    steps_until_idle(Housekeeper(queue))
    assert queue.store.index.counts == {State.PENDING: 1, State.LABELLED: 0, State.DONE: 1, State.FAILED: 1}


def test_a_box_without_a_clock_of_its_own_expires_nothing_when_the_network_sets_it(
    queue: TaskQueue, clock: HandClock
) -> None:
    """It boots in 1970; the network's time comes fifty years later; and then the owner sets it back an hour."""
    clock.wall_seconds = 60.0
    done(queue, 1)
    fail(queue, 2)
    waits = accept(queue, make_event(3))
    for wall in (50 * 365 * DAY, 50 * 365 * DAY - 3600):
        clock.wall_seconds = wall
        clock.tick(30)
        steps_until_idle(Housekeeper(queue))
        assert queue.store.index.counts == {State.PENDING: 1, State.LABELLED: 0, State.DONE: 1, State.FAILED: 1}
    oldest = queue.tasks.oldest_waiting()
    assert oldest is not None
    assert (round(oldest[0]), oldest[1]) == (60, waits)
    assert accept(queue, make_event(1)) == 1  # a duplicate of the delivered one


def test_forgets_the_oldest_done_and_failed_tasks_over_the_bounds(
    tmp_path: Path, clock: HandClock, disk: CountingDisk
) -> None:
    bounds = Bounds(max_bytes=10**9, min_free_bytes=0, max_done=3, max_failed=2)
    queue = open_queue(tmp_path, clock=clock, disk=disk, bounds=bounds)
    for number in range(1, 8):
        done(queue, number)
        fail(queue, 100 + number)
        clock.tick(1)
    steps_until_idle(Housekeeper(queue))
    assert queue.store.index.counts == {State.PENDING: 0, State.LABELLED: 0, State.DONE: 3, State.FAILED: 2}
    assert sorted(map(int, queue.store.storage.documents)) == [9, 11, 12, 13, 14]


def test_forgets_many_tasks_in_bounded_steps(queue: TaskQueue, clock: HandClock, disk: CountingDisk) -> None:
    for number in range(1, 2 * TASKS_A_STEP + 50):
        fail(queue, number)
    clock.tick(8 * DAY)
    disk.calls.clear()
    assert steps_until_idle(Housekeeper(queue)) == 3
    assert disk.calls["write"] == 3
    assert len(queue.store.table.tinydb) == 0


def test_compacts_in_bounded_steps(queue: TaskQueue, disk: CountingDisk) -> None:
    with queue.batch():
        for number in range(1, 20_000):
            queue.store.table.tinydb.insert({"state": "done", "digest": str(number), "ended": 0.0, "text": "x" * 200})
        queue.commit()
    housekeeper = Housekeeper(queue)
    steps = []
    more = True
    while more:
        before = disk.written
        more = housekeeper.step()
        steps.append(disk.written - before)
    assert len(steps) > 10
    assert max(steps) <= storage.STEP_BYTES + 400
    assert not queue.store.storage.files.wants_compaction()


def test_tries_a_failed_compaction_again_a_minute_later(queue: TaskQueue, clock: HandClock, disk: CountingDisk) -> None:
    queue.store.storage.files.must_compact = True
    disk.fails = lambda call, path: OSError("full") if path.name == "queue.json.new" else None
    housekeeper = Housekeeper(queue)
    steps_until_idle(housekeeper)
    disk.fails = lambda *_: None
    assert not housekeeper.step()
    clock.tick(PAUSE_AFTER_FAILURE)
    steps_until_idle(housekeeper)
    assert not queue.store.storage.files.wants_compaction()


def test_notes_the_clock_so_that_a_power_cut_loses_little_age(
    queue: TaskQueue, clock: HandClock, tmp_path: Path
) -> None:
    accept(queue, make_event(1))
    housekeeper = Housekeeper(queue)
    for _ in range(100):
        clock.tick(CLOCK_NOTE_EVERY / 2)
        housekeeper.step()
    crash(queue)
    clock.reboot()
    queue = open_queue(tmp_path, clock=clock)
    assert queue.store.elapsed.now() >= 49 * CLOCK_NOTE_EVERY
    crash(queue)


def test_a_disk_error_only_delays_the_work(
    queue: TaskQueue, clock: HandClock, disk: CountingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    accept(queue, make_event(1))
    clock.tick(15 * DAY)
    disk.fails = lambda call, _: OSError("read-only") if call == "write" else None
    housekeeper = Housekeeper(queue)
    steps_until_idle(housekeeper)
    assert "cannot delete old tasks" in caplog.text
    assert queue.store.index.counts[State.PENDING] == 1
    disk.fails = lambda *_: None
    steps_until_idle(housekeeper)
    assert queue.store.index.counts[State.FAILED] == 1


def test_a_compaction_starts_only_if_its_snapshot_leaves_min_free_bytes(
    tmp_path: Path, clock: HandClock, disk: CountingDisk
) -> None:
    queue = open_queue(tmp_path, clock=clock, disk=disk, bounds=Bounds(max_bytes=10**12, min_free_bytes=1_000_000))
    accept(queue, make_event(1))
    queue.store.storage.files.must_compact = True
    disk.free = 1_000_100
    housekeeper = Housekeeper(queue)
    for _ in range(5):
        clock.tick(PAUSE_AFTER_FAILURE + 1)
        steps_until_idle(housekeeper)
    assert queue.store.storage.files.wants_compaction()
    assert len(list(tmp_path.glob("queue.journal-*"))) == 1, "no try leaves a journal behind"
    disk.free = 2_000_000
    clock.tick(PAUSE_AFTER_FAILURE + 1)
    steps_until_idle(housekeeper)
    assert not queue.store.storage.files.wants_compaction()


def test_a_stop_compacts_only_if_the_snapshot_leaves_min_free_bytes(
    tmp_path: Path, clock: HandClock, disk: CountingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = Bounds(max_bytes=10**12, min_free_bytes=1_000_000)
    for number in range(5):
        queue = open_queue(tmp_path, clock=clock, disk=disk, bounds=bounds)
        disk.free = None
        accept(queue, make_event(number))
        disk.free = 1_000_100
        queue.close()
        assert not (tmp_path / "queue.json").exists()
        assert len(list(tmp_path.glob("queue.journal-*"))) == 1
    assert "no room to compact" in caplog.text
    disk.free = None
    queue = open_queue(tmp_path, clock=clock, disk=disk, bounds=bounds)
    assert queue.tasks.counts[State.PENDING] == 5
    queue.close()
    assert (tmp_path / "queue.json").exists()


def test_an_expired_event_is_reported_once_and_only_after_the_commit(
    tmp_path: Path, clock: HandClock, disk: CountingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Cause] = []
    bounds = Bounds(max_bytes=10**9, min_free_bytes=0)
    queue = open_queue(
        tmp_path, clock=clock, disk=disk, bounds=bounds, on_failed=lambda _task, cause, _reason: told.append(cause)
    )
    accept(queue, make_event(1))
    clock.tick(15 * DAY)
    housekeeper = Housekeeper(queue)
    disk.fails = lambda call, _: OSError("read-only") if call == "write" else None
    for _ in range(5):
        steps_until_idle(housekeeper)
    assert not told
    assert "task 1 failed" not in caplog.text
    disk.fails = lambda *_: None
    for _ in range(5):
        steps_until_idle(housekeeper)
    assert told == [Cause.EXPIRED]
    assert caplog.text.count("task 1 failed") == 1

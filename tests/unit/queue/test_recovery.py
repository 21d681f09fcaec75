"""The start after an unclean stop: suspects, poison, payloads without a task."""

from pathlib import Path
from typing import Any

import pytest

from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from tests.support.queue_factory import REPLY, HandClock, accept, commit, crash, label, make_event, open_queue


def claim(queue: TaskQueue) -> int | None:
    task = commit(queue, lambda q: q.claim())
    return None if task is None else int(task.id)


def restarted(queue: TaskQueue, **settings: Any) -> TaskQueue:
    crash(queue)
    return open_queue(queue.store.folder, **settings)


def finish(queue: TaskQueue, task_id: int) -> None:
    commit(queue, lambda q: q.labelled(task_id, REPLY))


def test_after_an_unclean_stop_the_tasks_that_were_in_hand_run_one_at_a_time(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    for number in range(1, 6):
        accept(queue, make_event(number))
    assert [claim(queue), claim(queue)] == [1, 2]
    queue = restarted(queue)
    assert [claim(queue), claim(queue)] == [1, None]
    finish(queue, 1)
    assert [claim(queue), claim(queue)] == [2, None]
    finish(queue, 2)
    assert [claim(queue), claim(queue), claim(queue)] == [3, 4, 5]
    crash(queue)


def test_a_task_is_poison_after_three_unclean_stops_while_it_alone_was_in_hand(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    accept(queue, make_event(2))
    for stop in range(1, 4):
        assert claim(queue) == 1
        queue = restarted(queue)
        assert queue.get(1).state is (State.FAILED if stop == 3 else State.PENDING)
    assert queue.get(1).cause is Cause.POISON
    assert claim(queue) == 2
    commit(queue, lambda q: q.redrive(1))
    finish(queue, 2)
    assert claim(queue) == 1
    queue = restarted(queue)
    assert queue.get(1).state is State.PENDING, "redriven, it has its three tries again"
    crash(queue)


def test_an_event_in_hand_beside_a_poisonous_one_does_not_fail(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    for number in range(1, 4):
        accept(queue, make_event(number))
    assert [claim(queue), claim(queue), claim(queue)] == [1, 2, 3]
    for _ in range(3):  # the second of the three is poison: it also kills the tasks that are in hand with it
        queue = restarted(queue)
        if claim(queue) == 1:
            finish(queue, 1)
            assert claim(queue) == 2
    queue = restarted(queue)
    assert queue.get(2).cause is Cause.POISON
    assert (queue.get(1).state, queue.get(3).state) == (State.LABELLED, State.PENDING)
    assert claim(queue) == 3
    crash(queue)


def test_a_clean_stop_leaves_no_suspect(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    accept(queue, make_event(2))
    for _ in range(5):
        assert [claim(queue), claim(queue)] == [1, 2]
        queue.close()
        queue = open_queue(tmp_path)
    queue.close()


def test_marks_deliveries_as_maybe_done_only_after_an_unclean_stop(tmp_path: Path) -> None:
    clock = HandClock()
    queue = open_queue(tmp_path, clock=clock)
    for number in (1, 2):
        label(queue, make_event(number, camera=f"camera {number}"))
    commit(queue, lambda q: q.deliveries.retry(2, "503", 100.0))
    queue.close()
    queue = open_queue(tmp_path, clock=clock)
    first = queue.deliveries.take()
    assert first is not None
    assert not first.maybe_delivered
    queue = restarted(queue, clock=clock)
    first = queue.deliveries.take()
    assert first is not None
    assert first.maybe_delivered
    queue.deliveries.landed(first, success=True)
    clock.tick(200)
    second = queue.deliveries.take()
    assert second is not None
    assert not second.maybe_delivered, "it was not due when the process died"
    crash(queue)


def torn_off(queue: TaskQueue) -> TaskQueue:
    """Cut the last record off the journal, as a power cut between the syncs of segment and journal does."""
    crash(queue)
    journal = max(queue.store.folder.glob("queue.journal-*"))
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    return open_queue(queue.store.folder)


def test_a_payload_whose_task_was_torn_off_the_journal_is_queued(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    accept(queue, make_event(2, pictures=2))
    queue = torn_off(queue)
    task = queue.get(2)
    assert (task.state, task.images, task.camera, task.callback_url) == (
        State.PENDING, 2, "front", make_event(2).callback_url
    )  # fmt: skip
    assert queue.read_payload(task).pictures == make_event(2, pictures=2).pictures
    assert accept(queue, make_event(2)) == 2
    assert accept(queue, make_event(3)) == 3
    crash(queue)


@pytest.mark.parametrize("clean", [True, False])
def test_does_not_restore_a_dropped_task_from_its_payload(tmp_path: Path, clean: bool) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))  # keeps the segment
    accept(queue, make_event(2))
    commit(queue, lambda q: q.drop(2))
    for _ in range(2):
        if clean:
            queue.close()
            queue = open_queue(tmp_path)
        else:
            queue = restarted(queue)
        assert list(queue.store.storage.documents) == ["1"]
    crash(queue)


def test_after_damage_does_not_queue_an_event_twice_that_has_another_id(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    commit(queue, lambda q: q.drop(1))
    accept(queue, make_event(1))
    accept(queue, make_event(2))
    crash(queue)
    journal = max(tmp_path.glob("queue.journal-*"))
    journal.write_bytes(journal.read_bytes().replace(b'["note"', b'["nose"', 1))
    queue = open_queue(tmp_path)
    assert list(queue.store.storage.documents) == ["2", "3"]
    crash(queue)


@pytest.mark.parametrize("failed_first", [False, True])
def test_a_task_that_damage_brings_back_does_not_delete_the_pictures_of_another(
    tmp_path: Path, failed_first: bool
) -> None:
    """The other task's pictures are where those of the first were: a new run uses numbers of deleted segments again."""
    queue = open_queue(tmp_path)
    label(queue, make_event(1))
    queue.close()
    queue = open_queue(tmp_path)
    commit(queue, lambda q: q.deliveries.done(1))
    queue = restarted(queue)
    accept(queue, make_event(2))
    crash(queue)
    journal = max(tmp_path.glob("queue.journal-*"))
    journal.write_bytes(journal.read_bytes().replace(b'["set","1"', b'["sev","1"'))
    queue = open_queue(tmp_path)
    assert queue.get(1).state is State.LABELLED
    places = [queue.get(task_id).payload for task_id in (1, 2)]
    assert [place and place[:2] for place in places] == [(1, 0), (1, 0)]
    if failed_first:
        commit(queue, lambda q: q.fail(1, Cause.DAMAGED, "test"))
    commit(queue, lambda q: q.drop(1))
    queue = restarted(queue)
    assert queue.read_payload(queue.get(2)).pictures == make_event(2).pictures
    crash(queue)

"""The verbs of delivering: what is due, what is recorded, and what is not taken again."""

from pathlib import Path

import pytest

from camiohookd.errors import StoreUnavailable
from camiohookd.queue.task import DueDelivery, State
from camiohookd.queue.task_queue import TaskQueue
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, HandClock, backoff, commit, crash, label, make_event, open_queue


@pytest.fixture
def queue(tmp_path: Path, clock: HandClock, disk: CountingDisk) -> TaskQueue:
    return open_queue(tmp_path / "state", clock=clock, disk=disk)


def take(queue: TaskQueue) -> DueDelivery:
    delivery = commit(queue, lambda q: q.deliveries.take())
    assert delivery is not None
    return delivery


def test_a_delivered_task_is_done_and_keeps_its_digest_for_duplicates(queue: TaskQueue) -> None:
    label(queue, make_event(1))
    delivery = take(queue)
    assert queue.read_reply(delivery.task) == REPLY
    assert queue.tasks.is_worked_on(1)
    commit(queue, lambda q: q.deliveries.done(1))
    queue.deliveries.landed(delivery, success=True)
    assert not queue.tasks.is_worked_on(1)
    task = queue.get(1)
    assert (task.state, task.reply, task.callback_url) == (State.DONE, None, "")
    assert task.digest == make_event(1).digest


def test_a_retry_waits_for_the_backoff_or_for_as_long_as_the_receiver_asked(queue: TaskQueue, clock: HandClock) -> None:
    label(queue, make_event(1))
    assert commit(queue, lambda q: q.deliveries.retry(1, "503")) == backoff(1)
    assert commit(queue, lambda q: q.deliveries.retry(1, "503", 1.0)) == backoff(2)
    assert commit(queue, lambda q: q.deliveries.retry(1, "503", 300.0)) == 300.0
    task = queue.get(1)
    assert (task.attempts, task.not_before, task.firm, task.reason) == (3, 300.0, True, "503")
    clock.tick(299)
    assert commit(queue, lambda q: q.deliveries.take()) is None
    clock.tick(1)
    assert take(queue).task.id == "1"


def test_a_restart_neither_forgets_nor_hurries_a_retry(queue: TaskQueue, clock: HandClock, tmp_path: Path) -> None:
    label(queue, make_event(1))
    delivery = take(queue)
    commit(queue, lambda q: q.deliveries.retry(1, "503", 300.0))
    queue.deliveries.landed(delivery, success=False)
    crash(queue)
    clock.tick(100)
    queue = open_queue(tmp_path / "state", clock=clock)
    clock.tick(199)
    assert commit(queue, lambda q: q.deliveries.take()) is None
    clock.tick(1)
    assert take(queue).task.attempts == 1
    crash(queue)


def test_does_not_take_a_delivery_again_while_its_outcome_cannot_be_stored(
    queue: TaskQueue, disk: CountingDisk, clock: HandClock
) -> None:
    label(queue, make_event(1))
    delivery = take(queue)
    disk.fails = lambda call, _: OSError("full") if call == "write" else None
    with pytest.raises(StoreUnavailable):
        commit(queue, lambda q: q.deliveries.done(1))
    clock.tick(100)
    assert queue.deliveries.take() is None
    disk.fails = lambda *_: None
    commit(queue, lambda q: q.deliveries.done(1))
    queue.deliveries.landed(delivery, success=True)
    assert queue.deliveries.take() is None


def test_a_delivery_taken_in_a_batch_that_is_refused_is_due_again(queue: TaskQueue, disk: CountingDisk) -> None:
    label(queue, make_event(1))
    disk.fails = lambda call, _: OSError("full") if call == "write" else None
    with queue.batch(), pytest.raises(StoreUnavailable):
        assert queue.deliveries.take() is not None
        queue.drop(1)
        queue.commit()
    disk.fails = lambda *_: None
    assert take(queue).task.id == "1"

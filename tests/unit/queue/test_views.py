"""Views of the queue: pages in order, complete and without repeats, in every state."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from camiohookd.errors import NoSuchTask, WrongState
from camiohookd.queue import commands, views
from camiohookd.queue.task import Cause, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.wire.reply import summary
from tests.support.queue_factory import REPLY, ROOMY, HandClock, make_event


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[TaskQueue]:
    """Tasks 1 and 5 pending, 2 labeled, 3 done, 4 failed."""
    queue = TaskQueue(tmp_path, backoff=lambda _: 30.0, bounds=ROOMY, clock=HandClock())
    with queue.batch():
        for number in range(1, 6):
            queue.put(make_event(number))
        for task_id in (2, 3):
            queue.labelled(task_id, REPLY)
        queue.deliveries.retry(2, "the connection failed")
        queue.deliveries.done(3)
        queue.fail(4, Cause.LABELING, "it did not work")
        queue.commit()
        yield queue
    queue.close()


def test_a_page_lists_waiting_tasks_oldest_first_and_the_start_of_the_next_page(queue: TaskQueue) -> None:
    first = views.page(queue, 2, None)
    assert (first.pending, [task.id for task in first.tasks], first.next) == (3, ["1", "2"], "2")
    second = views.page(queue, 2, first.next)
    assert (second.pending, [task.id for task in second.tasks], second.next) == (3, ["5"], None)


def test_a_summary_shows_when_a_delivery_is_tried_again(queue: TaskQueue) -> None:
    waiting, retrying = views.page(queue, 2, None).tasks
    assert (waiting.attempts, waiting.not_before) == (0, None)
    assert (retrying.state, retrying.attempts) == ("labelled", 1)
    assert (retrying.received, retrying.not_before) == ("2017-07-14T02:40:00Z", "2017-07-14T02:40:30Z")


@pytest.mark.parametrize("after", ["", "x", "-1", "1" * 30, "²"])
def test_refuses_a_page_after_an_invalid_id(queue: TaskQueue, after: str) -> None:
    with pytest.raises(NoSuchTask):
        views.page(queue, 2, after)


def test_lists_of_one_state_and_of_all_have_pages(queue: TaskQueue) -> None:
    everything = views.listing(queue, None, 3, None)
    assert ([task.id for task in everything.tasks], everything.next) == (["1", "2", "3"], "3")
    assert [task.id for task in views.listing(queue, None, 3, everything.next).tasks] == ["4", "5"]
    for state, ids in {State.PENDING: ["1", "5"], State.DONE: ["3"], State.FAILED: ["4"]}.items():
        assert [task.id for task in views.listing(queue, state, 9, None).tasks] == ids


def test_a_done_task_shows_its_labels_and_number_of_tries(queue: TaskQueue) -> None:
    [done] = views.listing(queue, State.DONE, 9, None).tasks
    assert (done.has_reply, done.labels, done.attempts) == (False, summary(REPLY), 1)
    assert "0." in done.labels
    [pending, _] = views.listing(queue, State.PENDING, 9, None).tasks
    assert pending.labels == ""


@pytest.mark.parametrize(("cause", "attempts"), [(Cause.REFUSED, 2), (Cause.EXPIRED, 1), (Cause.NOT_ALLOWED, 1)])
def test_attempts_count_every_finished_post_to_the_callback(queue: TaskQueue, cause: Cause, attempts: int) -> None:
    queue.fail(2, cause, "after one try in vain")
    assert queue.get(2).attempts == attempts


def test_the_snapshot_counts_every_state_and_every_byte(queue: TaskQueue) -> None:
    snapshot = views.snapshot(queue)
    assert snapshot.tasks == {"pending": 2, "labelled": 1, "done": 1, "failed": 1}
    assert snapshot.written_bytes == queue.store.disk.written > 0
    assert snapshot.accepted == 5
    assert snapshot.written_bytes_per_event == queue.store.disk.written / 5
    assert snapshot.quarantined == {"journal": 0, "snapshot": 0, "payload": 0, "reply": 0}


def test_retries_only_failed_tasks(queue: TaskQueue) -> None:
    assert commands.perform(queue, commands.RetryFailed()) == commands.Retried(1, [], None, ["4"])
    assert queue.get(4).state is State.PENDING
    with pytest.raises(WrongState, match="task 3 is done, not failed"):
        commands.perform(queue, commands.RetryTask("3"))


def test_names_a_failed_task_without_pictures_and_labels(queue: TaskQueue) -> None:
    queue.store.table.change(4, {}, remove=("payload",))
    answer = commands.perform(queue, commands.RetryFailed())
    assert isinstance(answer, commands.Retried)
    assert (answer.count, answer.next) == (0, None)
    assert "task 4 cannot be retried" in answer.skipped[0]


def test_exports_the_pictures_unchanged(queue: TaskQueue) -> None:
    from base64 import b64decode

    exported = commands.perform(queue, commands.ExportTask("1"))
    assert isinstance(exported, commands.Export)
    assert b64decode(exported.pictures[0].data_b64) == make_event(1).pictures[0].data
    assert exported.payload == make_event(1).rest

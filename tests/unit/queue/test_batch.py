"""The order in which the operations of a batch take effect."""

from dataclasses import replace
from pathlib import Path

from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.task import Task
from camiohookd.queue.task_queue import TaskQueue
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, ROOMY, accept, commit, make_event, open_queue

ROOM = 1500


def put_beside_a_worker(queue: TaskQueue, size: int) -> Task | None:
    """Accept an event of `size` bytes in one batch with a worker that ends a task and claims the next; return that."""
    task_id = accept(queue, make_event(1))
    commit(queue, TaskQueue.claim)
    queue.store.quarantine.set_aside("payload", "task-0", bytes(10_000))  # may be deleted to make room
    queue.capacity.bounds = replace(ROOMY, max_bytes=queue.store.bytes_used + ROOM)

    def label_and_claim(queue: TaskQueue) -> Task | None:
        queue.labelled(task_id, REPLY)
        return queue.claim()

    entries = [BatchEntry(lambda queue: queue.put(make_event(2, size=size))), BatchEntry(label_and_claim)]
    run_together(queue, entries)
    assert [entry.error for entry in entries] == [None, None]
    claimed: Task | None = entries[1].result
    return claimed


def test_an_event_that_fits_is_accepted_in_its_turn(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk)
    claimed = put_beside_a_worker(queue, size=10)
    assert claimed is not None
    assert claimed.digest == make_event(2).digest
    assert queue.store.quarantine.bytes_used > 0


def test_an_event_that_needs_room_is_accepted_after_all_other_operations(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk)
    assert put_beside_a_worker(queue, size=2 * ROOM) is None
    assert queue.store.quarantine.bytes_used == 0
    next_task = commit(queue, TaskQueue.claim)
    assert next_task is not None
    assert next_task.digest == make_event(2).digest

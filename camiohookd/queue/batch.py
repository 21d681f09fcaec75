"""Run operations on the queue together: they share one commit, and each gets its own outcome.

    run_together ─▶ each operation, all of it or nothing ─▶ one commit
                                                              └─ those that found no room: make room, run them again

Belongs to the store thread.
"""

from collections.abc import Callable, Sequence
from typing import Any

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.task_queue import TaskQueue


class BatchEntry:
    """An operation and its outcome: its `result`, or the `error` because of which it changed nothing."""

    def __init__(self, operation: Callable[[TaskQueue], Any]) -> None:
        self.operation = operation
        self.result: Any = None
        self.error: BaseException | None = None


def run_together(queue: TaskQueue, entries: Sequence[BatchEntry], on_change: Callable[[], None] = lambda: None) -> None:
    """Run each operation once; call `on_change` after each commit that changed something."""
    _run_batch(queue, entries, on_change)
    if short := [each for each in entries if isinstance(each.error, QueueFull) and each.error.need]:
        _retry_with_room(queue, short, on_change)


def _run_batch(queue: TaskQueue, entries: Sequence[BatchEntry], on_change: Callable[[], None]) -> None:
    try:
        with queue.batch():
            for each in entries:
                _perform(queue, each)
            changed = queue.commit()
    except StoreUnavailable as error:
        queue.undo()
        for each in entries:
            each.error = each.error or error
    else:
        if changed:
            on_change()


def _retry_with_room(queue: TaskQueue, short: Sequence[BatchEntry], on_change: Callable[[], None]) -> None:
    """Make room for the operations that found none, and run those again for which it suffices.

    This runs outside the batch that refused them: making room commits, and would also commit the changes of other
    operations in the batch.
    """
    need, again = 0, []
    for each in short:
        assert isinstance(each.error, QueueFull)
        try:
            if not queue.capacity.make_room(need + each.error.need):
                continue
        except StoreUnavailable as error:
            each.error = error
            continue
        need += each.error.need
        each.error = None
        again.append(each)
    if again:
        _run_batch(queue, again, on_change)


def _perform(queue: TaskQueue, entry: BatchEntry) -> None:
    """Run one operation. A disk error ends the whole batch, any other error only this operation."""
    try:
        with queue.all_or_nothing():
            entry.result = entry.operation(queue)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the caller
        entry.error = error

"""Make the changes of the queue's parts durable together, or none of them.

Belongs to the store thread.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.health import StoreHealth
from camiohookd.queue.records import Records
from camiohookd.queue.task_table import TaskTable
from camiohookd.storage.tinydb_storage import JournaledStorage
from camiohookd.system.clock import ElapsedTime
from camiohookd.system.log_fields import about

log = logging.getLogger("camiohookd.queue")


class Changes:
    """The changes of `table` (in `storage`), `records` and `schedule` since the last commit.

    `health` is told whether the disk stores them.
    """

    def __init__(
        self,
        storage: JournaledStorage,
        table: TaskTable,
        records: Records,
        schedule: DeliverySchedule,
        elapsed: ElapsedTime,
        health: StoreHealth,
    ) -> None:
        self._storage = storage
        self._table = table
        self._records = records
        self._schedule = schedule
        self._elapsed = elapsed
        self._health = health
        self._then: list[Callable[[], None]] = []

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep the changes of verbs in the block waiting for `commit`."""
        with self._storage.batch():
            yield

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Within a batch, undo the changes of the block if it raises."""
        mark, taken, then = self._storage.mark(), self._schedule.mark(), len(self._then)
        try:
            yield
        except BaseException:
            self._storage.undo(mark)
            self._schedule.undo(self._elapsed.now(), taken)
            del self._then[then:]
            raise

    def once_durable(self, action: Callable[[], None]) -> None:
        """Call `action` after the next commit; never if what was done until then is taken back.

        Use it for log lines, notices and counts of a change.
        """
        self._then.append(action)

    def commit(self) -> bool:
        """Make everything since the last commit durable, and return whether there was anything.

        Raises StoreUnavailable; nothing is changed then.
        """
        changed = self._storage.has_changes
        try:
            self._records.sync()
            # Recovery searches only the newest segment for replies whose task was cut off the journal.
            self._storage.commit(sync=self._table.must_sync or self._records.replies.rolled)
        except OSError as error:
            self.undo()
            raise self._health.refused(error) from error
        self._table.must_sync = False
        self._schedule.settle()
        self._records.settle()
        if changed:
            self._health.wrote()
        try:
            self._records.drop_unneeded()
        except OSError as error:
            log.warning(
                "cannot delete a segment that is no longer needed, next try with the next commit: %s",
                error,
                extra=about("segment_not_deleted"),
            )
        then, self._then = self._then, []
        for action in then:
            action()
        return changed

    def undo(self) -> None:
        """Undo everything since the last commit."""
        self._storage.undo()
        self._schedule.undo(self._elapsed.now())
        self._then.clear()
        self._table.must_sync = False
        try:
            self._storage.files.repair()
        except OSError:
            self._records.abandon()  # a crash now may find the commit in the journal after all
        else:
            self._records.undo()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Add records in the block. First cut off the rest of a failed commit; turn OSError into StoreUnavailable."""
        try:
            self._storage.files.repair()
            yield
        except OSError as error:
            raise self._health.refused(error) from error

"""The parts of the queue, which are opened and closed together, and whose changes are committed together.

    `Records` (pictures and labels) ─┐
    `TaskTable` (in a TinyDB storage) ─┼─▶ `Changes`: all changes are durable, or none is made
    `DeliverySchedule`, `TaskIndex` (memory) ─┘

All of it belongs to the store thread, except what `Records` says.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, get_args

from camiohookd.errors import StoreUnavailable
from camiohookd.queue.changes import Changes
from camiohookd.queue.compaction import Compaction
from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.health import StoreHealth
from camiohookd.queue.index import TaskIndex
from camiohookd.queue.records import Records
from camiohookd.queue.state_folder import StateFolder
from camiohookd.queue.task_table import TaskTable
from camiohookd.storage.documents import Document
from camiohookd.storage.progress import Progress
from camiohookd.storage.quarantine import Kind, Quarantine
from camiohookd.storage.segments import Place
from camiohookd.storage.tinydb_storage import JournaledStorage
from camiohookd.storage.tinydb_table import JournaledDB
from camiohookd.system.clock import Clock, ElapsedTime, SystemClock
from camiohookd.system.disk import Disk
from camiohookd.system.log_fields import about
from camiohookd.units import plural
from camiohookd.wire.reply import Reply

log = logging.getLogger("camiohookd.queue")


class Usage(NamedTuple):
    """Bytes that the state folder takes and its disk has free; bytes written, events accepted and damaged records set
    aside (by kind) since the start."""

    stored_bytes: int
    free_bytes: int
    written_bytes: int
    accepted: int
    quarantined: dict[str, int]


class QueueStore:
    """The tasks and payloads of a state folder.

    Raises StateFolderError, StateFolderBusy when the folder cannot be used, StoreUnavailable when the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backoff: Callable[[int], float],
        fair: bool,
        clock: Clock | None,
        disk: Disk | None,
        briefly: bool,
    ) -> None:
        self.folder = folder
        self.disk = disk or Disk()
        self.health = StoreHealth()
        self.accepted = 0
        try:
            self._folder = StateFolder(folder, self.disk, briefly=briefly)
        except OSError as error:
            raise self._cannot_open(error) from error
        with self.opening():
            self._open(self._folder.snapshot, DeliverySchedule(backoff), clock or SystemClock(), fair=fair)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Close everything if the block fails."""
        try:
            yield
        except BaseException as error:
            self._folder.close()
            if isinstance(error, OSError):
                raise self._cannot_open(error) from error
            raise

    def _cannot_open(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"the queue in {self.folder} cannot be opened: {error}")

    def _open(self, snapshot: Path, schedule: DeliverySchedule, clock: Clock, *, fair: bool) -> None:
        self.quarantine = Quarantine(self.folder / "quarantine", self.disk)
        self.records = Records(self.folder, self.disk)
        self.schedule = schedule
        self.index = TaskIndex(self.records.payloads, self.records.replies, schedule, fair=fair)
        self.progress = Progress()
        self._db = JournaledDB(
            snapshot,
            self.disk,
            self.quarantine,
            self.index.observe,
            self._keep_old_reply,
            self.progress,
            storage=JournaledStorage,
        )
        self.storage: JournaledStorage = self._db.storage  # type: ignore[assignment]  # it is what was asked for above
        self.table = TaskTable(self._db.table(self._db.default_table_name), self.storage)
        self.compaction = Compaction(self.storage, self.free_bytes)
        if self.storage.brought_up:
            log.warning(
                "moved the labels of %s from the journal to %s, as this version keeps them",
                plural(self.storage.brought_up, "task"),
                self.records.replies.files.folder,
                extra=about("queue_migrated"),
            )
        self.index.fill(self.storage.documents)
        self.elapsed = ElapsedTime(clock, self.storage.notes, self.index.latest_time())
        self.changes = Changes(self.storage, self.table, self.records, schedule, self.elapsed, self.health)

    def _keep_old_reply(self, key: str, document: Document) -> list[int]:
        """Store a reply that version 0.1.0 kept in its task's document. Raises OSError."""
        return list(self.records.add_reply(int(key), document, document["reply"]))

    def close(self, min_free_bytes: int) -> None:
        """Write everything to the snapshot if that leaves `min_free_bytes` free, and unlock the folder."""
        try:
            if self.compaction.may_end_with_one(min_free_bytes):
                self._db.close()
            else:
                log.warning(
                    "the disk has no room to compact the journal at the stop; a later run compacts it",
                    extra=about("compaction_postponed"),
                )
                self.storage.files.close()
            self.records.retire()
        except OSError as error:
            log.warning(
                "cannot close the queue cleanly; the next start recovers it: %s", error, extra=about("queue_not_closed")
            )
        finally:
            self._folder.close()

    def note_stop(self, *, clean: bool) -> None:
        """Note the time, and whether the queue was closed cleanly."""
        self.storage.note({**self.elapsed.notes(), "clean": clean})
        self.table.must_sync = True

    @property
    def was_clean(self) -> bool:
        """Return whether the last run closed the queue cleanly."""
        return bool(self.storage.notes.get("clean", True))

    def note_time(self) -> None:
        """Note the time, from which the clock continues after a crash; part of the next commit."""
        self.storage.note(self.elapsed.notes())

    @property
    def bytes_used(self) -> int:
        """The bytes of the state folder on the disk."""
        files = self.records, self.storage.files, self.quarantine
        return sum(each.bytes_used for each in files)

    def free_bytes(self) -> int:
        """Return the free bytes of the disk. Raises OSError."""
        return self.disk.free_bytes(self.folder)

    def usage(self) -> Usage:
        """Return the queue's use of the disk. Raises OSError."""
        quarantined = {kind: self.quarantine.counts[kind] for kind in get_args(Kind)}
        return Usage(self.bytes_used, self.free_bytes(), self.disk.written, self.accepted, quarantined)

    def keep_reply(self, task_id: int, reply: Reply) -> Place:
        """Add the labels of a task to the records; the next commit makes them durable. Raises StoreUnavailable."""
        with self.changes.writing():
            return self.records.add_reply(task_id, self.storage.documents[str(task_id)], reply)

"""What the queue is made of, opened, changed and committed together.

    segments (payloads), replies ─┐
    storage (a TinyDB table of tasks) ─┼─▶ `commit`: all of it is durable, or none of it has happened
    schedule, index (memory) ─┘

All of it belongs to the store thread; only `read_payload` and `read_reply` may be called from any.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from tinydb.table import Document as TableDocument

from camiohookd.errors import NoSuchTask, StoreUnavailable, WrongState
from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.health import StoreHealth
from camiohookd.queue.index import TaskIndex
from camiohookd.queue.state_folder import StateFolder
from camiohookd.queue.task import State, Task
from camiohookd.storage import payload_record, reply_record
from camiohookd.storage.documents import Document
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.payload_record import StoredPayload
from camiohookd.storage.progress import Progress
from camiohookd.storage.quarantine import Kind, Quarantine
from camiohookd.storage.record import DamagedRecordError
from camiohookd.storage.segments import Place, SegmentFolder, Segments
from camiohookd.storage.tinydb_storage import JournaledStorage
from camiohookd.storage.tinydb_table import JournaledDB
from camiohookd.system.clock import Clock, ElapsedTime, SystemClock
from camiohookd.system.disk import Disk
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
        self._must_sync = False
        try:
            self._folder = StateFolder(folder, self.disk, briefly=briefly)
        except OSError as error:
            raise self._cannot_open(error) from error
        with self.opening():
            self._open(self._folder.snapshot, DeliverySchedule(backoff), clock or SystemClock(), fair=fair)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What fails inside leaves nothing open."""
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
        self.segments = Segments(SegmentFolder(self.folder / "segments", "payloads", payload_record.MAGIC), self.disk)
        self.replies = Segments(SegmentFolder(self.folder / "replies", "replies", reply_record.MAGIC), self.disk)
        self.schedule = schedule
        self.index = TaskIndex(self.segments, self.replies, schedule, fair=fair)
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
        self.table = self._db.table(self._db.default_table_name)
        self.storage: JournaledStorage = self._db.storage  # type: ignore[assignment]  # it is what was asked for above
        if self.storage.brought_up:
            log.warning("moved the labels of %d tasks from the journal to %s, as this version keeps them",
                        self.storage.brought_up, self.replies.files.folder)  # fmt: skip
        self.index.fill(self.storage.documents)
        self.elapsed = ElapsedTime(clock, self.storage.notes, self.index.latest_time())

    def _keep_old_reply(self, key: str, document: Document) -> list[int]:
        """Store a reply that version 0.1.0 kept in its task's document. Raises OSError."""
        return list(self.replies.append(reply_record.encode(int(key), document, document["reply"])))

    def close(self) -> None:
        """Leave everything in the snapshot, and unlock the folder."""
        try:
            self._db.close()
            self.segments.retire()
            self.replies.retire()
        except OSError as error:
            log.warning("the queue could not be tidied up at the end, the next start does it: %s", error)
        finally:
            self._folder.close()

    def note_stop(self, *, clean: bool) -> None:
        """Keep the time, and whether the queue was (until further notice: will have been) left in order."""
        self.storage.note({**self.elapsed.notes(), "clean": clean})
        self._must_sync = True

    @property
    def was_clean(self) -> bool:
        """Return whether the last run left the queue in order."""
        return bool(self.storage.notes.get("clean", True))

    def note_time(self) -> None:
        """Note the time, so that it goes on from here after a crash; part of the next commit."""
        self.storage.note(self.elapsed.notes())

    def take_id(self) -> int:
        """Return an id that no task ever had."""
        return self.storage.take_id()

    def reserve_ids(self, below: int) -> None:
        """Never give out an id smaller than `below` from now on."""
        self.storage.reserve_ids(below)

    def repair(self) -> None:
        """Cut off what a failed commit may have left in the journal. Raises OSError."""
        self.storage.files.repair()

    def wants_compaction(self) -> bool:
        """Return whether the journal is long enough to be replaced by a new snapshot."""
        return self.storage.files.wants_compaction()

    def compaction_fits(self, min_free_bytes: int) -> bool:
        """Return whether a new snapshot leaves `min_free_bytes` free. Raises OSError.

        It is never larger than the old one and all journals together.
        """
        return self.storage.files.is_compacting or self.free_bytes() - self.storage.files.bytes_used >= min_free_bytes

    def compact_step(self) -> bool:
        """Write a part of the next snapshot; return True when it is complete. Raises OSError."""
        return self.storage.compact_step()

    @property
    def last_id(self) -> int:
        """Return the greatest id that was given out, as far as is known."""
        return self.storage.last_id

    @property
    def lost_ids(self) -> LostIds:
        """Return the ids whose tasks may have been in a record that was damaged."""
        return self.storage.lost_ids

    def __contains__(self, task_id: int) -> bool:
        return str(task_id) in self.storage.documents

    @property
    def bytes_used(self) -> int:
        """What the state folder takes on the disk."""
        files = self.segments, self.replies, self.storage.files, self.quarantine
        return sum(each.bytes_used for each in files)

    def usage(self) -> Usage:
        """Return what the queue takes of the disk. Raises OSError."""
        quarantined = {kind: self.quarantine.counts[kind] for kind in get_args(Kind)}
        return Usage(self.bytes_used, self.free_bytes(), self.disk.written, self.accepted, quarantined)

    # Batches

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Verbs called inside wait for `commit`."""
        with self.storage.batch():
            yield

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Within a batch: what is done inside is taken back if it raises."""
        mark = self.storage.mark()
        try:
            yield
        except BaseException:
            self.storage.undo(mark)
            raise

    def commit(self) -> bool:
        """Make everything since the last commit durable, and return whether there was anything.

        Raises StoreUnavailable, and then nothing of it has happened.
        """
        changed = self.storage.has_changes
        try:
            self.segments.sync()
            self.replies.sync()
            # Recovery looks for replies whose task was torn off the journal in the newest segment only.
            self.storage.commit(sync=self._must_sync or self.replies.rolled)
        except OSError as error:
            self.undo()
            raise self.refused(error) from error
        self._must_sync = False
        self.schedule.settle()
        self.segments.settle()
        self.replies.settle()
        if changed:
            self.health.wrote()
        try:
            self.segments.drop_unneeded()
            self.replies.drop_unneeded()
        except OSError as error:
            log.warning("a segment that is no longer needed could not be deleted yet: %s", error)
        return changed

    def undo(self) -> None:
        """Take back everything since the last commit."""
        self.storage.undo()
        self.schedule.undo(self.elapsed.now())
        self._must_sync = False
        try:
            self.storage.files.repair()
        except OSError:
            self.segments.abandon()  # a crash now may find the commit in the journal after all
            self.replies.abandon()
        else:
            self.segments.undo()
            self.replies.undo()

    def refused(self, error: OSError) -> StoreUnavailable:
        """The error to raise where the disk raised `error`."""
        return self.health.refused(error)

    # Tasks

    def get(self, task_id: int) -> Task:
        """Raises NoSuchTask."""
        document = self.table.get(doc_id=task_id)
        if document is None:
            raise NoSuchTask(f"no task {task_id}: it never existed, or it was deleted after its delivery")
        return Task.from_document(str(task_id), document)

    def expect(self, task_id: int, state: State) -> Task:
        """Return a task that must be in `state`. Raises NoSuchTask, WrongState."""
        task = self.get(task_id)
        if task.state is not state:
            raise WrongState(f"task {task_id} is {task.state}, not {state}")
        return task

    def free_bytes(self) -> int:
        """Return the bytes that the disk has free. Raises OSError."""
        return self.disk.free_bytes(self.folder)

    def read_payload(self, task: Task) -> StoredPayload:
        """Return the event of a task as it was stored; any thread may call this. Raises DamagedRecordError, OSError."""
        if task.payload is None:
            raise DamagedRecordError("it was deleted", b"")
        payload = payload_record.decode(self.segments.files.read(task.payload))
        if payload.task_id != int(task.id):
            raise DamagedRecordError(f"it belongs to task {payload.task_id}", b"")
        return payload

    def read_reply(self, task: Task) -> Reply:
        """Return the labels of a task; any thread may call this. Raises DamagedRecordError, OSError."""
        if task.reply is None:
            raise DamagedRecordError("there are none", b"")
        stored = reply_record.decode(self.replies.files.read(task.reply))
        if stored.task_id != int(task.id):
            raise DamagedRecordError(f"they belong to task {stored.task_id}", b"")
        return stored.reply

    def keep_reply(self, task_id: int, reply: Reply) -> Place:
        """Add the labels of a task to the segments; the next `commit` makes them durable. Raises StoreUnavailable."""
        try:
            self.storage.files.repair()
            return self.replies.append(reply_record.encode(task_id, self.storage.documents[str(task_id)], reply))
        except OSError as error:
            raise self.refused(error) from error

    def insert(self, task_id: int, task: Task) -> None:
        """Add a task. The commit waits for its record alone, from which `rescue` makes a task that a crash tore off."""
        self.table.insert(TableDocument(task.to_document(), task_id))

    def change(self, task_id: int, fields: Document, remove: tuple[str, ...] = (), *, durable: bool = True) -> None:
        """Set `fields` of a task and take those in `remove` away; the commit waits for the disk only if `durable`."""

        def change(document: Any) -> None:
            document.update(fields)
            for name in remove:
                document.pop(name, None)

        self.table.update(change, doc_ids=[task_id])
        self._must_sync |= durable

    def mark_labelled(self, task_id: int, reply: Place, labels: str) -> None:
        """Make a task labelled; its pictures stay. The commit waits for the reply's record alone, as with `insert`."""
        fields = {"state": State.LABELLED.value, "reply": list(reply), "labels": labels}
        self.change(task_id, fields, remove=("in_hand", "suspect", "strikes"), durable=False)

    def remove(self, task_id: int) -> None:
        self.table.remove(doc_ids=[task_id])
        self._must_sync = True

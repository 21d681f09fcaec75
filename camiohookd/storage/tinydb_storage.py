"""TinyDB on a snapshot and a journal, so that a change costs only itself and survives a power cut.

    JournaledTable: what changed? ─▶ apply ─▶ documents (in memory) and lines for the journal
                                     commit ─▶ one write and fdatasync of all lines, or all changes are undone
                                     compact_step ─▶ a new journal, a new snapshot step by step, old journals go

All of it belongs to one thread, the store thread.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.storages import Storage

from camiohookd.storage import journal, snapshot
from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.journal import Live, Note
from camiohookd.storage.loading import StoredTable
from camiohookd.storage.lost_ids import spans
from camiohookd.storage.quarantine import Quarantine
from camiohookd.system.disk import AppendFile, Disk, make_durable

Change = tuple[str, Document | None, Document | None]
"""A document's id, and what it was before and is after."""

Observer = Callable[[str, Document | None, Document | None], None]

STEP_BYTES = 256 * 1024
"""What one step of a compaction may write (and one document more)."""

MIN_JOURNAL_BYTES = 4 * 1024 * 1024
GROWTH = 2
"""A compaction starts when the journal is `GROWTH` times as long as the snapshot was, and at least `MIN_JOURNAL_BYTES`
long: so that all compactions together write at most half as much again as the journal."""

MAX_UNSYNCED = 100
"""Changes that may wait for a sync: what a power cut takes of the journal, and recovery looks for in the payloads."""

log = logging.getLogger("camiohookd.queue")


class JournaledStorage(Storage):
    """A TinyDB storage of one table.

    `documents` is the live state and is only changed by `apply`; `notes` are facts about the whole, kept in the
    journal. `observer` is told of every change, undone ones included; `damaged` says that opening set something aside,
    and `lost_ids` whose documents may have been in it.
    """

    def __init__(self, path: Path, disk: Disk, quarantine: Quarantine, observer: Observer | None = None) -> None:
        self._path = path
        self._folder = path.parent
        self._disk = disk
        self._observer = observer or (lambda *_: None)
        self._pending: list[tuple[bytes, Change | None]] = []
        self._unsynced: list[bytes] = []  # committed, but a failed sync would take them away again
        self._batch = False
        self._committed = 0
        self._writer: snapshot.SnapshotWriter | None = None
        self._open(StoredTable(path, quarantine))

    def _open(self, stored: StoredTable) -> None:
        self.documents, self.notes = stored.documents, stored.notes
        self.damaged, self.lost_ids = stored.damaged, stored.lost_ids
        self._snapshot_bytes = stored.snapshot_bytes
        self._numbers = stored.numbers or [1]
        self._journal = self._open_last_journal(stored.tail) if stored.numbers else self._begin_first_journal()
        self._older_bytes = stored.older_bytes
        self._next_id: int = self.notes["next_id"]
        for key, document in self.documents.items():
            self._observer(key, None, document)

    def _begin_first_journal(self) -> AppendFile:
        return journal.create(self._disk, self._folder, 1, [Note(self.notes)])

    def _open_last_journal(self, tail: bytes) -> AppendFile:
        for number in self._numbers:
            # The last process may have been killed before it had synced what was read.
            make_durable(self._disk, journal.path_of(self._folder, number))
        last = AppendFile(self._disk, journal.path_of(self._folder, self._numbers[-1]))
        if tail:
            log.warning("cut a torn tail of %d bytes off %s: power or process went away while it was written",
                        len(tail), last.path)  # fmt: skip
            last.cut(last.length - len(tail))
        return last

    # TinyDB's own interface

    def read(self) -> dict[str, Documents]:  # type: ignore[override]  # a mapping is all that TinyDB needs
        """The live documents; not to be changed by the caller."""
        return {TinyDB.default_table_name: self.documents}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace everything, as TinyDB does when tables are dropped; costs as much as all the documents."""
        wanted = data.get(TinyDB.default_table_name, {})
        changes: list[Change] = [(key, doc, None) for key, doc in self.documents.items() if key not in wanted]
        changes += [(key, self.documents.get(key), dict(doc)) for key, doc in wanted.items()]
        self.apply(changes)

    def close(self) -> None:
        """Leave everything in the snapshot and one empty journal. Raises OSError."""
        self.compact()
        self._journal.close()

    # changes

    def take_id(self) -> int:
        """An id that no document ever had."""
        self._next_id += 1
        return self._next_id - 1

    @property
    def last_id(self) -> int:
        """The greatest id that was given out, as far as is known."""
        return self._next_id - 1

    def reserve_ids(self, below: int) -> None:
        """Never give out an id smaller than `below` from now on."""
        self._next_id = max(self._next_id, below)

    def apply(self, changes: list[Change]) -> None:
        """Make changes in memory; outside of a `batch` they are committed at once, or undone and OSError raised."""
        changes = [(key, before, after) for key, before, after in changes if before != after]
        # All are encoded before the first is made: what is not JSON changes nothing.
        lines = [journal.encode(journal.difference(*change)) for change in changes]
        for line, change in zip(lines, changes, strict=True):
            self._pending.append((line, change))
            self._put(*change)
            self.reserve_ids(int(change[0]) + 1)
        if not self._batch:
            self.commit()

    def note(self, facts: Document) -> None:
        """Change facts about the whole; part of the next commit."""
        self.notes |= facts
        self._pending.append((journal.encode(Note(facts)), None))

    def _put(self, key: str, before: Document | None, after: Document | None) -> None:
        if after is None:
            del self.documents[key]
        else:
            self.documents[key] = after
        self._observer(key, before, after)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Changes made inside wait for `commit`."""
        self._batch = True
        try:
            yield
        finally:
            self._batch = False

    def mark(self) -> int:
        """A place to `undo` back to, as far as it is not committed by then."""
        return self._committed + len(self._pending)

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._pending)

    def undo(self, mark: int = 0) -> None:
        """Take back the changes since `mark`."""
        first = max(0, mark - self._committed)
        for _, change in reversed(self._pending[first:]):
            if change is not None:
                key, before, after = change
                self._put(key, after, before)
        del self._pending[first:]

    def repair(self) -> None:
        """See that nothing of a commit that failed can ever be read. Raises OSError while the disk still refuses."""
        if self._journal.repair() and self._unsynced:
            self._journal.append(b"".join(self._unsynced))

    def commit(self, sync: bool = True) -> None:
        """Write all waiting changes, durably unless `sync` is false and few are not yet.

        Raises OSError, and then has undone them.
        """
        lines = [line for line, _ in self._pending]
        sync = sync or len(self._unsynced) + len(lines) > MAX_UNSYNCED
        try:
            self.repair()
            if lines:
                self._journal.append(b"".join(lines))
            if sync:
                self._journal.sync()
        except OSError:
            self.undo()
            raise
        self._unsynced = [] if sync else self._unsynced + lines
        self._committed += len(self._pending)
        self._pending.clear()

    # compaction

    @property
    def bytes_used(self) -> int:
        """What snapshot and journals take on the disk."""
        return self._snapshot_bytes + self._older_bytes + self._journal.length

    def wants_compaction(self) -> bool:
        long = self._journal.length > max(MIN_JOURNAL_BYTES, GROWTH * self._snapshot_bytes)
        return long or self.damaged or len(self._numbers) > 1

    def compact_step(self, limit: int = STEP_BYTES) -> bool:
        """Write about `limit` bytes of the next snapshot; True when it is complete. After an OSError it begins anew."""
        if self._writer is None:
            self._begin_compaction()
            return False
        try:
            if not self._writer.step(limit):
                return False
        except OSError:
            self._abort_compaction()
            raise
        self._writer = None
        self._snapshot_bytes = self._path.stat().st_size
        self.damaged = False
        self._drop_old_journals()
        return True

    def _begin_compaction(self) -> None:
        self.repair()
        self._journal.sync()
        self._unsynced.clear()
        number = self._numbers[-1] + 1
        note = Note(self.notes | {"next_id": self._next_id})
        live = Live(spans(sorted(map(int, self.documents))))
        fresh = journal.create(self._disk, self._folder, number, [note, live])
        self._journal.close()
        self._older_bytes += self._journal.length
        self._journal = fresh
        self._numbers.append(number)
        self._writer = snapshot.SnapshotWriter(self._disk, self._path, self.documents)

    def _drop_old_journals(self) -> None:
        # Oldest first, each gone for good before the next: what a crash leaves is then without a gap, and may be
        # replayed over the new snapshot without changing it.
        while len(self._numbers) > 1:
            self._disk.unlink(journal.path_of(self._folder, self._numbers[0]))
            self._disk.sync_folder(self._folder)
            del self._numbers[0]
        self._older_bytes = 0

    def compact(self) -> None:
        """A whole compaction at once. Raises OSError."""
        self._abort_compaction()
        while not self.compact_step():
            pass

    def _abort_compaction(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

"""A TinyDB storage with a snapshot and a journal: it writes only changes, and they survive a power cut.

    JournaledTable: changes ─▶ apply ─▶ documents (in memory) and lines for the journal
                               commit ─▶ one write and fdatasync of all lines, or all changes are undone

Belongs to the store thread.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.storages import Storage

from camiohookd.storage import journal
from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.journal import Note
from camiohookd.storage.loading import StoredTable
from camiohookd.storage.old_documents import BringUp, KeepReply, no_replies
from camiohookd.storage.progress import Progress
from camiohookd.storage.quarantine import Quarantine
from camiohookd.storage.table_files import TableFiles
from camiohookd.system.disk import Disk

Change = tuple[str, Document | None, Document | None]
"""A document's id, and what it was before and is after."""

Observer = Callable[[int, Document | None, Document | None], None]
"""Called with a document's id, and with its contents before and after a change."""

STEP_BYTES = 256 * 1024
"""What one step of a compaction may write (and one document more)."""


class JournaledStorage(Storage):
    """A TinyDB storage of one table.

    `documents` is the live state, which only `apply` changes; `notes` are facts about the whole queue, in the journal.
    It calls `observer` for every later change, undone ones included. `keep_reply` stores the replies that version 0.1.0
    kept in the documents. `lost_ids` are the ids whose documents may be in what opening set aside.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        quarantine: Quarantine,
        observer: Observer = lambda *_: None,
        keep_reply: KeepReply = no_replies,
        progress: Progress | None = None,
    ) -> None:
        self._observer = observer
        self._pending: list[tuple[bytes, Change | None]] = []
        self._batch = False
        self._committed = 0
        bring_up = BringUp(keep_reply)
        stored = StoredTable(path, disk, quarantine, bring_up, progress or Progress())
        self.documents, self.notes, self.lost_ids = stored.documents, stored.notes, stored.lost_ids
        self.brought_up = bring_up.count
        self._next_id: int = self.notes["next_id"]
        self.files = TableFiles(path, disk, stored, must_compact=stored.damaged or bring_up.count > 0)

    # TinyDB's own interface

    def read(self) -> dict[str, Documents]:  # type: ignore[override]  # a mapping is all that TinyDB needs
        """Return the live documents; the caller must not change them."""
        return {TinyDB.default_table_name: self.documents}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace everything, as TinyDB does when tables are dropped. This writes all documents."""
        wanted = data.get(TinyDB.default_table_name, {})
        changes: list[Change] = [(key, doc, None) for key, doc in self.documents.items() if key not in wanted]
        changes += [(key, self.documents.get(key), dict(doc)) for key, doc in wanted.items()]
        self.apply(changes)

    def close(self) -> None:
        """Write everything to the snapshot, leave one empty journal, and close. Raises OSError."""
        self.compact()
        self.files.close()

    # Changes

    def take_id(self) -> int:
        """Return an id that no document ever had."""
        self._next_id += 1
        return self._next_id - 1

    @property
    def last_id(self) -> int:
        """The greatest id known to have been assigned."""
        return self._next_id - 1

    def reserve_ids(self, below: int) -> None:
        """Assign only ids from `below` on from now on."""
        self._next_id = max(self._next_id, below)

    def apply(self, changes: list[Change]) -> None:
        """Make changes in memory. Outside of a `batch`, commit them at once, or undo them and raise OSError."""
        changes = [(key, before, after) for key, before, after in changes if before != after]
        # Encode all before making the first: a value that is not JSON then changes nothing.
        lines = [journal.encode(journal.difference(*change)) for change in changes]
        for line, change in zip(lines, changes, strict=True):
            self._pending.append((line, change))
            self._put(*change)
            self.reserve_ids(int(change[0]) + 1)
        if not self._batch:
            self.commit()

    def note(self, facts: Document) -> None:
        """Change facts about the whole queue, as part of the next commit."""
        self.notes |= facts
        self._pending.append((journal.encode(Note(facts)), None))

    def _put(self, key: str, before: Document | None, after: Document | None) -> None:
        number = int(key)  # one object for the documents and for what the observer keeps
        if after is None:
            self.documents.remove(number)
        else:
            self.documents.put(number, after)
        self._observer(number, before, after)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep the changes made in the block waiting for `commit`."""
        self._batch = True
        try:
            yield
        finally:
            self._batch = False

    def mark(self) -> int:
        """Return a mark for `undo`. It cannot undo changes that are committed by then."""
        return self._committed + len(self._pending)

    @property
    def has_changes(self) -> bool:
        """Return whether there is anything to commit."""
        return bool(self._pending)

    def undo(self, mark: int = 0) -> None:
        """Undo the changes since `mark`."""
        first = max(0, mark - self._committed)
        for _, change in reversed(self._pending[first:]):
            if change is not None:
                key, before, after = change
                self._put(key, after, before)
        del self._pending[first:]

    def commit(self, sync: bool = True) -> None:
        """Write all waiting changes. Sync, unless `sync` is false and few bytes are unsynced.

        Raises OSError after undoing them.
        """
        try:
            self.files.append([line for line, _ in self._pending], sync=sync)
        except OSError:
            self.undo()
            raise
        self._committed += len(self._pending)
        self._pending.clear()

    def compact_step(self, limit: int = STEP_BYTES) -> bool:
        """Write about `limit` bytes of the next snapshot; True once it is complete. Start again after an OSError."""
        return self.files.compact_step(lambda: self.notes | {"next_id": self._next_id}, limit)

    def compact(self) -> None:
        """Do a whole compaction at once. Raises OSError."""
        self.files.abort_compaction()
        while not self.compact_step():
            pass

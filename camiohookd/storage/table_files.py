"""The files of a table: a snapshot, and the journals of later changes.

    append ─▶ the last journal             compact_step ─▶ a new journal, a new snapshot in steps, delete old journals
                                                           (after a failed compaction: its journal is used again)

Belongs to the store thread.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from camiohookd.storage import journal
from camiohookd.storage.documents import Document
from camiohookd.storage.journal import LiveIds, Note
from camiohookd.storage.loading import StoredTable
from camiohookd.storage.lost_ids import spans
from camiohookd.storage.snapshot import SnapshotWriter
from camiohookd.system.disk import AppendFile, Disk, make_durable
from camiohookd.system.log_fields import about
from camiohookd.units import plural

MIN_JOURNAL_BYTES = 4 * 1024 * 1024
GROWTH = 2
"""A compaction starts when the journal is `GROWTH` times as long as the snapshot was, and at least `MIN_JOURNAL_BYTES`
long: so that all compactions together write at most half as much again as the journal."""

MAX_UNSYNCED = 100
"""Changes that may wait for a sync. A power cut can lose them from the journal; recovery finds them in the segments."""

log = logging.getLogger("camiohookd.queue")


class TableFiles:
    """The files that `stored` was read from. `must_compact` is whether only a compaction can repair or convert them."""

    def __init__(self, path: Path, disk: Disk, stored: StoredTable, *, must_compact: bool) -> None:
        self._path = path
        self._folder = path.parent
        self._disk = disk
        self._documents = stored.documents
        self._unsynced: list[bytes] = []  # committed, but lost if the next sync fails
        self._writer: SnapshotWriter | None = None
        self._snapshot_bytes = stored.snapshot_bytes
        self._older = dict(stored.older_journals)
        self._number = stored.last_number or 1
        self.must_compact = must_compact
        # Whether the next compaction needs no new journal: after a failed one, the last journal starts early enough.
        # A journal that is damaged or in an older format must be replaced.
        self._may_go_on = bool(self._older) and stored.last_is_sound
        self._goes_on = False
        self._journal = (
            self._open_last_journal(stored.good_length)
            if stored.last_number
            else journal.create(self._disk, self._folder, 1, [Note(stored.notes)])
        )

    def _open_last_journal(self, good_length: int) -> AppendFile:
        for number in (*self._older, self._number):
            # The last process may have been killed before it synced these files.
            make_durable(self._disk, journal.path_of(self._folder, number))
        last = AppendFile(self._disk, journal.path_of(self._folder, self._number))
        if last.length > good_length:
            log.warning("cut a torn tail of %s off %s: the power or the process failed during a write",
                        plural(last.length - good_length, "byte"), last.path, extra=about("torn_tail_cut"))  # fmt: skip
            last.cut(good_length)
        return last

    def close(self) -> None:
        self._journal.close()

    def append(self, lines: list[bytes], *, sync: bool) -> None:
        """Add lines to the journal. Sync, unless `sync` is false and few bytes are unsynced. Raises OSError."""
        sync = sync or len(self._unsynced) + len(lines) > MAX_UNSYNCED
        self.repair()
        if lines:
            self._journal.append(b"".join(lines))
        if sync:
            self._journal.sync()
        self._unsynced = [] if sync else self._unsynced + lines

    def repair(self) -> None:
        """Make sure that no part of a failed `append` is ever read. Raises OSError while the disk still fails."""
        if self._journal.repair() and self._unsynced:
            self._journal.append(b"".join(self._unsynced))

    @property
    def bytes_used(self) -> int:
        """The bytes of snapshot and journals on the disk."""
        return self._snapshot_bytes + sum(self._older.values()) + self._journal.length

    # Compaction

    @property
    def is_compacting(self) -> bool:
        """Return whether a snapshot is being written."""
        return self._writer is not None

    def wants_compaction(self) -> bool:
        """Return whether the journal is long, or a file must be repaired or converted."""
        long = self._journal.length > max(MIN_JOURNAL_BYTES, GROWTH * self._snapshot_bytes)
        return long or self.must_compact or bool(self._older)

    def compact_step(self, notes: Callable[[], Document], limit: int) -> bool:
        """Write about `limit` bytes of the next snapshot; True once it is complete. After an OSError, start again.

        `notes` returns the facts for the start of a new journal. Any number of failed compactions in a row add one
        journal.
        """
        if self._writer is None:
            self._begin_compaction(notes())
            return False
        try:
            if not self._writer.step(limit):
                return False
        except OSError:
            self.abort_compaction()
            raise
        finally:  # the snapshot may be in place already, if a later step failed
            self._snapshot_bytes = self._path.stat().st_size if self._path.exists() else 0
        self._writer = None
        self.append(
            [journal.encode(Note(notes()))], sync=True
        )  # a journal that another compaction began has older ones
        self.must_compact = False
        self._drop_old_journals()
        return True

    def _begin_compaction(self, notes: Document) -> None:
        self.repair()
        self._journal.sync()
        self._unsynced.clear()
        self._goes_on = self._may_go_on
        if not self._goes_on:
            self._begin_journal(notes)
        self._writer = SnapshotWriter(self._disk, self._path, self._documents)

    def _begin_journal(self, notes: Document) -> None:
        live = LiveIds(spans(self._documents.ascending_ids()))
        fresh = journal.create(self._disk, self._folder, self._number + 1, [Note(notes), live])
        self._journal.close()
        self._older[self._number] = self._journal.length
        self._journal, self._number = fresh, self._number + 1
        self._may_go_on = True

    def _drop_old_journals(self) -> None:
        # Delete the oldest first, each durably before the next. A crash then leaves journals without a gap, and
        # replaying them over the new snapshot does not change it.
        for number in sorted(self._older):
            self._disk.unlink(journal.path_of(self._folder, number))
            self._older[number] = 0
            self._disk.sync_folder(self._folder)
            del self._older[number]
        self._may_go_on = False

    def abort_compaction(self) -> None:
        """Give up the snapshot that is being written. Raises OSError."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

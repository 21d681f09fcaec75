"""What the snapshot and the journals of a table hold: read as far as they are whole, the rest set aside.

    snapshot ─▶ documents ◀─ the journals' records, oldest first

The files are read in pieces, so that opening takes the memory of the documents and little more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from camiohookd.storage import journal, snapshot
from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.line_reader import read_lines
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.old_documents import BringUp
from camiohookd.storage.progress import Progress
from camiohookd.storage.quarantine import Kind, Quarantine
from camiohookd.system.disk import Disk

Lines = Iterator[tuple[int, bytes]]


class StoredTable:
    """Reads the files beside the snapshot `path` when it is made. Raises OSError.

    `notes` are facts about the whole; `damaged` says that something was set aside, and `lost_ids` whose documents may
    have been in it. `numbers` are those of the journals, `good_length` is the end of the last whole line of the last
    one, and `older_bytes` is what all the others take.
    """

    def __init__(self, path: Path, disk: Disk, quarantine: Quarantine, bring_up: BringUp, progress: Progress) -> None:
        self._path = path
        self._disk = disk
        self._quarantine = quarantine
        self._bring_up = bring_up
        self._progress = progress
        self.documents = Documents()
        self.notes: Document = {}
        self.lost_ids = LostIds()
        self.damaged = False
        self.numbers = journal.numbers(path.parent)
        self.snapshot_bytes = self.older_bytes = self.good_length = 0
        self._read_snapshot()
        self.notes["next_id"] = self.documents.greatest_id() + 1
        for number in self.numbers:
            self._read_journal(number)

    def _read_snapshot(self) -> None:
        if not self._path.exists():
            if self.numbers and self.numbers[0] > 1:  # the first journal goes when the first snapshot is there
                with self._reading("snapshot", self._path) as (_, damaged):
                    damaged(0, b"")
                self.lost_ids.damage()
            return
        self.snapshot_bytes = self._path.stat().st_size
        with self._reading("snapshot", self._path) as (lines, damaged):
            for key, document in snapshot.parse(lines, self.lost_ids, damaged):
                self.documents.set_encoded(key, self._bring_up.encoded(key, document))

    def _read_journal(self, number: int) -> None:
        path = journal.path_of(self._path.parent, number)
        is_last = number == self.numbers[-1]
        with self._reading("journal", path) as (lines, damaged):
            scan = journal.Scan(lines, self.lost_ids, damaged)
            journal.replay(scan, self.documents, self.notes, self._bring_up)
            if scan.tail and not is_last:  # a torn tail is the end of the journal that was written last
                damaged(path.stat().st_size - len(scan.tail), scan.tail)
                self.lost_ids.damage()
        self.good_length = scan.good_length
        self.older_bytes += 0 if is_last else path.stat().st_size

    @contextmanager
    def _reading(self, kind: Kind, path: Path) -> Iterator[tuple[Lines, Callable[[int, bytes], None]]]:
        """Yield the lines of a file, and what is to be told of those that are damaged."""
        with self._quarantine.collecting(kind, path.name) as damage:

            def missed(offset: int, length: int) -> None:
                damage.miss(offset, length)
                self.lost_ids.damage()

            lines = read_lines(self._disk, path, self._progress, missed)
            yield lines, damage.add
        self.damaged = self.damaged or damage.stretches > 0

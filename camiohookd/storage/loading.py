"""Load a table from its snapshot and journals. Set damaged parts aside.

    snapshot ─▶ documents ◀─ the journals' records, oldest first

It reads the files in pieces, so that opening takes little more memory than the documents.
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
    """The state in the snapshot `path` and the journals beside it, which the constructor reads. Raises OSError.

    `notes` are facts about the whole queue. `damaged` is whether something was set aside; `lost_ids` are the ids whose
    documents may have been in it. `last_number` is the number of the last journal (0 if there is none), `good_length`
    the end of its last whole line, and `last_is_sound` whether everything before is whole and in today's format.
    `older_journals` holds the lengths of all other journals in bytes, by number, oldest first.
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
        self._is_whole = self.last_is_sound = True
        self.older_journals: dict[int, int] = {}
        self.snapshot_bytes = self.good_length = 0
        numbers = journal.numbers(path.parent)
        self.last_number = max(numbers, default=0)
        self._read_snapshot(numbers)
        self.notes["next_id"] = self.documents.greatest_id() + 1
        for number in numbers:
            self._read_journal(number)

    def _read_snapshot(self, numbers: list[int]) -> None:
        if not self._path.exists():
            if numbers and numbers[0] > 1:  # the first journal is deleted once the first snapshot exists
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
        is_last, brought_up = number == self.last_number, self._bring_up.count
        with self._reading("journal", path) as (lines, damaged):
            scan = journal.Scan(lines, self.lost_ids, damaged)
            journal.replay(scan, self.documents, self.notes, self._bring_up)
            if scan.tail and not is_last:  # only the journal that was written last can end in a torn line
                damaged(path.stat().st_size - len(scan.tail), scan.tail)
                self.lost_ids.damage()
        self.good_length = scan.good_length
        self.last_is_sound = self._is_whole and self._bring_up.count == brought_up
        if not is_last:
            self.older_journals[number] = path.stat().st_size

    @contextmanager
    def _reading(self, kind: Kind, path: Path) -> Iterator[tuple[Lines, Callable[[int, bytes], None]]]:
        """Yield the lines of a file, and a function to report damaged ones."""
        with self._quarantine.collecting(kind, path.name) as damage:

            def missed(offset: int, length: int) -> None:
                damage.miss(offset, length)
                self.lost_ids.damage()

            lines = read_lines(self._disk, path, self._progress, missed)
            yield lines, damage.add
        self._is_whole = damage.stretches == 0
        self.damaged = self.damaged or not self._is_whole

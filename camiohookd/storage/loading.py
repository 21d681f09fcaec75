"""What the snapshot and the journals of a table hold: read as far as they are whole, the rest set aside.

snapshot ─▶ documents ◀─ the journals' records, oldest first
"""

from pathlib import Path

from camiohookd.storage import journal, snapshot
from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.quarantine import Kind, Quarantine


class StoredTable:
    """Reads the files beside the snapshot `path` when it is made. Raises OSError.

    `notes` are facts about the whole; `damaged` says that something was set aside, and `lost_ids` whose documents may
    have been in it. `numbers` are those of the journals, `tail` is the torn end of the last one, and `older_bytes` is
    what all the others take.
    """

    def __init__(self, path: Path, quarantine: Quarantine) -> None:
        self._path = path
        self._quarantine = quarantine
        self.documents = Documents()
        self.notes: Document = {}
        self.lost_ids = LostIds()
        self.damaged = False
        self.numbers = journal.numbers(path.parent)
        self.snapshot_bytes = self.older_bytes = 0
        self.tail = b""
        self._read_snapshot()
        self.notes["next_id"] = max(map(int, self.documents), default=0) + 1
        for number in self.numbers:
            self._read_journal(number)

    def _read_snapshot(self) -> None:
        if not self._path.exists():
            if self.numbers and self.numbers[0] > 1:  # the first journal goes when the first snapshot is there
                self._set_aside("snapshot", f"{self._path.name}-missing", b"")
                self.lost_ids.damage()
            return
        data = self._path.read_bytes()
        self.snapshot_bytes = len(data)
        self.documents, damaged = snapshot.parse(data, self.lost_ids)
        for offset, line in damaged:
            self._set_aside("snapshot", f"{self._path.name}@{offset}", line)

    def _read_journal(self, number: int) -> None:
        path = journal.path_of(self._path.parent, number)
        data = path.read_bytes()
        scan = journal.Scan(data, self.lost_ids)
        journal.replay(scan, self.documents, self.notes)
        for offset, line in scan.damaged:
            self._set_aside("journal", f"{path.name}@{offset}", line)
        self.tail = data[scan.good_length :]
        is_last = number == self.numbers[-1]
        self.older_bytes += 0 if is_last else len(data)
        # A torn tail is the beginning of a line: what has an end, or stands in a journal that was left, was damaged.
        if b"\n" in self.tail or (self.tail and not is_last):
            self._set_aside("journal", f"{path.name}@{scan.good_length}", self.tail)
            self.lost_ids.damage()

    def _set_aside(self, kind: Kind, origin: str, data: bytes) -> None:
        self.damaged = True
        self._quarantine.set_aside(kind, origin, data)

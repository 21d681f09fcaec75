"""The records of the tasks, in segments: an event's pictures, and its labels.

Belongs to the store thread; only `read_payload` and `read_reply` may be called from any.
"""

from pathlib import Path

from camiohookd.queue.task import Task
from camiohookd.storage import payload_record, reply_record
from camiohookd.storage.documents import Document
from camiohookd.storage.payload_record import StoredPayload
from camiohookd.storage.record import DamagedRecordError
from camiohookd.storage.segments import Place, SegmentFolder, Segments
from camiohookd.system.disk import Disk
from camiohookd.wire.reply import Reply


class Records:
    """The records in the state folder `folder`. All methods raise OSError."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.payloads = Segments(SegmentFolder(folder / "segments", "payloads", payload_record.MAGIC), disk)
        self.replies = Segments(SegmentFolder(folder / "replies", "replies", reply_record.MAGIC), disk)

    @property
    def bytes_used(self) -> int:
        """The bytes of the records on the disk."""
        return self.payloads.bytes_used + self.replies.bytes_used

    def read_payload(self, task: Task) -> StoredPayload:
        """Return the event of a task as it was stored; any thread may call this. Raises DamagedRecordError, OSError."""
        if task.payload is None:
            raise DamagedRecordError("it was deleted", b"")
        payload = payload_record.decode(self.payloads.files.read(task.payload))
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

    def add_reply(self, task_id: int, document: Document, reply: Reply) -> Place:
        """Add the labels of a task, which `document` describes; `sync` makes them durable."""
        return self.replies.append(reply_record.encode(task_id, document, reply))

    def sync(self) -> None:
        """Make the added records durable."""
        self.payloads.sync()
        self.replies.sync()

    def settle(self) -> None:
        """Keep the added records: `undo` no longer removes them."""
        self.payloads.settle()
        self.replies.settle()

    def undo(self) -> None:
        """Remove the records added since `settle`."""
        self.payloads.undo()
        self.replies.undo()

    def abandon(self) -> None:
        """Leave the records added since `settle` in their files, and add no more to these files."""
        self.payloads.abandon()
        self.replies.abandon()

    def drop_unneeded(self) -> None:
        """Delete the segments that no task needs."""
        self.payloads.drop_unneeded()
        self.replies.drop_unneeded()

    def retire(self) -> None:
        """Close the files, and delete the segments that no task needs."""
        self.payloads.retire()
        self.replies.retire()

"""Find, add, change and remove tasks in a TinyDB table.

Belongs to the store thread. Nothing is durable before `Changes.commit`.
"""

from typing import Any

from tinydb.table import Document as TableDocument
from tinydb.table import Table

from camiohookd.errors import NoSuchTask, WrongState
from camiohookd.queue.task import State, Task
from camiohookd.storage.documents import Document
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.segments import Place
from camiohookd.storage.tinydb_storage import JournaledStorage


class TaskTable:
    """The tasks in `tinydb`, whose storage is `storage`.

    `must_sync`: a change since the last commit must be durable before the commit ends.
    """

    def __init__(self, tinydb: Table, storage: JournaledStorage) -> None:
        self.tinydb = tinydb
        self.must_sync = False
        self._storage = storage

    def __contains__(self, task_id: int) -> bool:
        return str(task_id) in self._storage.documents

    def get(self, task_id: int) -> Task:
        """Return a task. Raises NoSuchTask."""
        document = self.tinydb.get(doc_id=task_id)
        if document is None:
            raise NoSuchTask(f"no task {task_id}: it never existed, or it was deleted after its delivery")
        return Task.from_document(str(task_id), document)

    def expect(self, task_id: int, state: State) -> Task:
        """Return a task that must be in `state`. Raises NoSuchTask, WrongState."""
        task = self.get(task_id)
        if task.state is not state:
            raise WrongState(f"task {task_id} is {task.state}, not {state}")
        return task

    def document(self, task_id: int) -> Document | None:
        """Return the stored document of a task, None if there is none. Do not change it."""
        return self._storage.documents.get(str(task_id))

    def insert(self, task_id: int, task: Task) -> None:
        """Add a task. The commit waits only for its record, from which `rescue` restores it after a crash."""
        self.tinydb.insert(TableDocument(task.to_document(), task_id))

    def change(self, task_id: int, fields: Document, remove: tuple[str, ...] = (), *, durable: bool = True) -> None:
        """Set `fields` of a task and remove those in `remove`. The commit waits for the disk only if `durable`."""

        def change(document: Any) -> None:
            document.update(fields)
            for name in remove:
                document.pop(name, None)

        self.tinydb.update(change, doc_ids=[task_id])
        self.must_sync |= durable

    def mark_labelled(self, task_id: int, reply: Place, labels: str) -> None:
        """Make a task labeled; its pictures stay. The commit waits only for the reply's record, as with `insert`."""
        fields = {"state": State.LABELLED.value, "reply": list(reply), "labels": labels}
        self.change(task_id, fields, remove=("in_hand", "suspect", "strikes"), durable=False)

    def remove(self, task_id: int) -> None:
        """Remove a task."""
        self.tinydb.remove(doc_ids=[task_id])
        self.must_sync = True

    # Ids

    def take_id(self) -> int:
        """Return an id that no task ever had."""
        return self._storage.take_id()

    def reserve_ids(self, below: int) -> None:
        """Assign only ids from `below` on from now on."""
        self._storage.reserve_ids(below)

    @property
    def last_id(self) -> int:
        """The greatest id known to have been assigned."""
        return self._storage.last_id

    @property
    def lost_ids(self) -> LostIds:
        """Return the ids whose tasks may have been in a record that was damaged."""
        return self._storage.lost_ids

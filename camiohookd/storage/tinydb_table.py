"""A TinyDB table whose updates write only the changed documents. TinyDB's queries work on it unchanged."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from tinydb import TinyDB
from tinydb.table import Table

from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.tinydb_storage import Change, JournaledStorage


class JournaledTable(Table):
    """A table on a `JournaledStorage`: every operation passes only its changes to the storage, not all documents."""

    _storage: JournaledStorage

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        tracked = _TrackedDocuments(self._storage.documents)
        updater(tracked)
        self._storage.apply(tracked.changes())
        self.clear_cache()

    def _get_next_id(self) -> int:
        return self._storage.take_id()


class JournaledDB(TinyDB):
    """``JournaledDB(path, disk, quarantine, observer, storage=JournaledStorage)``."""

    table_class = JournaledTable


class _TrackedDocuments(MutableMapping[int, Document]):
    """The documents in the form that TinyDB's updaters need; records which ones it has returned."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._touched: dict[str, Document | None] = {}

    def __getitem__(self, doc_id: int) -> Document:
        key = str(doc_id)
        if key not in self._touched:
            self._touched[key] = self._documents[key]
        document = self._touched[key]
        if document is None:
            raise KeyError(doc_id)
        return document

    def __setitem__(self, doc_id: int, document: Document) -> None:
        self._touched[str(doc_id)] = document

    def __delitem__(self, doc_id: int) -> None:
        if doc_id not in self:
            raise KeyError(doc_id)
        self._touched[str(doc_id)] = None

    def clear(self) -> None:
        self._touched = dict.fromkeys(self._documents)

    def __contains__(self, doc_id: object) -> bool:
        key = str(doc_id)
        return self._touched[key] is not None if key in self._touched else key in self._documents

    def __iter__(self) -> Iterator[int]:
        known = [key for key in self._documents if self._touched.get(key, True) is not None]
        added = [key for key in self._touched if key not in self._documents and self._touched[key] is not None]
        return iter([int(key) for key in known + added])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def changes(self) -> list[Change]:
        return [(key, self._documents.get(key), after) for key, after in self._touched.items()]

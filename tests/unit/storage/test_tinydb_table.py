"""Compare every operation of the table with a plain TinyDB in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydb import TinyDB, where
from tinydb.operations import delete, increment
from tinydb.storages import MemoryStorage
from tinydb.table import Document, Table

from camiohookd.storage.quarantine import Quarantine
from camiohookd.storage.tinydb_storage import JournaledStorage
from camiohookd.storage.tinydb_table import JournaledDB
from tests.support.fault_disk import CountingDisk

Operation = Callable[[Table], Any]

numbers = st.integers(0, 3)
documents = st.fixed_dictionaries({"n": numbers}, optional={"text": st.text(max_size=3), "list": st.lists(numbers)})
conditions = st.one_of(
    numbers.map(lambda n: where("n") == n),
    numbers.map(lambda n: where("n") >= n),
    st.text(max_size=1).map(lambda text: where("text").search(text, flags=0) if text.isalnum() else where("n") < 2),
    numbers.map(lambda n: where("list").any([n])),
)
ids = st.integers(1, 12)
operations = st.one_of(
    documents.map(lambda doc: lambda table: table.insert(doc)),
    st.lists(documents, max_size=3).map(lambda docs: lambda table: table.insert_multiple(docs)),
    st.tuples(documents, conditions).map(lambda pair: lambda table: table.update(*pair)),
    st.tuples(documents, st.lists(ids, unique=True, max_size=3)).map(
        lambda pair: lambda table: table.update(pair[0], doc_ids=pair[1])
    ),
    conditions.map(lambda cond: lambda table: table.update(increment("n"), cond)),
    conditions.map(lambda cond: lambda table: table.update(delete("n"), cond & where("n").exists())),
    st.tuples(documents, conditions).map(lambda pair: lambda table: table.update_multiple([pair])),
    st.tuples(documents, conditions).map(lambda pair: lambda table: table.upsert(*pair)),
    st.tuples(documents, ids).map(lambda pair: lambda table: table.upsert(Document(*pair))),
    conditions.map(lambda cond: lambda table: table.remove(cond)),
    st.lists(ids, unique=True, max_size=3).map(lambda some: lambda table: table.remove(doc_ids=some)),
    conditions.map(lambda cond: lambda table: sorted(doc.doc_id for doc in table.search(cond))),
    conditions.map(lambda cond: lambda table: table.count(cond)),
    conditions.map(lambda cond: lambda table: table.contains(cond)),
    ids.map(lambda doc_id: lambda table: table.get(doc_id=doc_id)),
    st.just(lambda table: table.truncate()),
)


def open_db(folder: Path) -> tuple[JournaledDB, CountingDisk]:
    disk = CountingDisk()
    quarantine = Quarantine(folder / "quarantine", disk)
    return JournaledDB(folder / "queue.json", disk, quarantine, storage=JournaledStorage), disk


def table_of(db: TinyDB) -> Table:
    return db.table(db.default_table_name)


def content(table: Table) -> dict[int, dict[str, Any]]:
    return {document.doc_id: dict(document) for document in table}


@settings(deadline=None)
@given(script=st.lists(operations, max_size=12))
def test_every_operation_equals_tinydbs_and_survives_a_crash(
    tmp_path_factory: pytest.TempPathFactory, script: list[Operation]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    ours, disk = open_db(folder)
    plain = TinyDB(storage=MemoryStorage)
    try:
        for operation in script:
            # Plain TinyDB assigns the ids of removed documents again. This table never does, so align the ids first.
            table_of(plain)._next_id = table_of(ours).storage._next_id  # type: ignore[attr-defined]  # a private attribute of TinyDB
            assert operation(table_of(ours)) == operation(table_of(plain))
            assert content(table_of(ours)) == content(table_of(plain))
        again, second_disk = open_db(folder)
        second_disk.die()
        assert content(table_of(again)) == content(table_of(plain))
    finally:
        disk.die()


def test_dropped_tables_stay_dropped(tmp_path: Path) -> None:
    db, disk = open_db(tmp_path)
    table_of(db).insert_multiple([{"n": 1}, {"n": 2}])
    db.drop_tables()
    assert content(table_of(db)) == {}
    db.table(db.default_table_name).insert({"n": 3})
    disk.die()
    again, second_disk = open_db(tmp_path)
    second_disk.die()
    assert list(content(table_of(again)).values()) == [{"n": 3}]


def test_a_failing_updater_changes_nothing(tmp_path: Path) -> None:
    db, disk = open_db(tmp_path)
    table = table_of(db)
    table.insert_multiple([{"n": 1}, {"text": "no n"}])
    with pytest.raises(KeyError):
        table.update(increment("n"))
    disk.die()
    assert [dict(document) for document in table] == [{"n": 1}, {"text": "no n"}]


def test_a_change_of_one_document_writes_one_line(tmp_path: Path) -> None:
    db, disk = open_db(tmp_path)
    table = table_of(db)
    table.insert_multiple({"n": number} for number in range(1000))
    before = disk.written
    table.update({"n": 7}, doc_ids=[500])
    assert disk.written - before == len(b'00000000 ["set","500",{"n":7},[]]\n')
    disk.die()


def test_does_not_assign_an_id_that_the_caller_has_chosen(tmp_path: Path) -> None:
    db, disk = open_db(tmp_path)
    table = table_of(db)
    table.insert(Document({"n": 1}, 3))
    assert table.insert_multiple([{"n": 2}, {"n": 3}]) == [4, 5]
    disk.die()

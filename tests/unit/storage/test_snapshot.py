"""The snapshot: TinyDB can read it, it is written in steps, and a damaged line loses only its own document."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinydb import TinyDB

from camiohookd.storage import snapshot
from camiohookd.storage.documents import Documents
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.snapshot import SnapshotWriter, encode_line, write_all
from tests.support.fault_disk import CountingDisk
from tests.support.lines import lines_of

Table = dict[str, dict[str, Any]]

Damaged = list[tuple[int, bytes]]


def parse(data: bytes) -> tuple[Documents, Damaged]:
    """Return the documents that are whole, and the damaged lines."""
    documents, damaged = Documents(), Damaged()
    for key, document in snapshot.parse(lines_of(data), LostIds(), lambda *each: damaged.append(each)):
        documents.set_encoded(key, document)
    return documents, damaged


FEW = Documents({str(number): {"state": "pending", "camera": f"c{number}\r\u2028"} for number in (1, 2, 10)})

texts = st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(0, 9) | st.lists(st.floats(0, 1)))
tables = st.dictionaries(st.integers(1, 999).map(str), texts.filter(bool), max_size=5)


@given(tables)
def test_tinydb_opens_a_snapshot_and_finds_every_document(
    tmp_path_factory: pytest.TempPathFactory, table: Table
) -> None:
    path = tmp_path_factory.mktemp("state") / "queue.json"
    write_all(CountingDisk(), path, Documents(table))
    documents, damaged = parse(path.read_bytes())
    assert (dict(documents), damaged) == (table, [])
    with TinyDB(path) as db:
        found = {str(document.doc_id): {k: v for k, v in document.items() if k != "crc32"} for document in db}
    assert found == table


@given(st.data())
def test_a_damaged_byte_loses_only_its_own_document(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("state") / "queue.json"
    write_all(CountingDisk(), path, FEW)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    separators = (ord("\n"), ord(","))
    was_separator = content[place] in separators
    content[place] ^= data.draw(st.integers(1, 255))
    found, damaged = parse(bytes(content))
    assert all(found[key] == FEW[key] for key in found)
    assert len(found) >= len(FEW) - (2 if was_separator else 1)
    assert len(found) == len(FEW) or damaged


def test_detects_a_snapshot_that_is_cut_off(tmp_path: Path, disk: CountingDisk) -> None:
    write_all(disk, tmp_path / "queue.json", FEW)
    content = (tmp_path / "queue.json").read_bytes()
    for length in range(len(content)):
        found, damaged = parse(content[:length])
        assert damaged, length
        assert all(found[key] == FEW[key] for key in found)


def test_a_step_writes_no_more_than_its_limit_and_one_document(tmp_path: Path, disk: CountingDisk) -> None:
    documents = Documents({str(number): {"text": "x" * (number % 50)} for number in range(300)})
    longest = max(len(encode_line(key, documents.encoded(key) or b"")) for key in documents)
    writer = SnapshotWriter(disk, tmp_path / "queue.json", documents)
    complete = False
    while not complete:
        before = disk.written
        complete = writer.step(1000)
        assert disk.written - before <= 1000 + longest + 20
    assert disk.calls["write"] > 10
    assert parse((tmp_path / "queue.json").read_bytes())[0] == documents


def test_documents_may_change_and_be_removed_between_steps(tmp_path: Path, disk: CountingDisk) -> None:
    documents = Documents({str(number): {"v": "old"} for number in range(20)})
    writer = SnapshotWriter(disk, tmp_path / "queue.json", documents)
    writer.step(100)
    documents["1"], documents["19"] = {"v": "new"}, {"v": "new"}
    del documents["18"]
    while not writer.step(100):
        pass
    found, damaged = parse((tmp_path / "queue.json").read_bytes())
    assert not damaged
    assert found["19"] == {"v": "new"}
    assert set(documents) <= set(found) <= set(documents) | {"18"}


@pytest.mark.parametrize("call", ["write", "sync", "rename", "sync_folder"])
def test_a_failed_snapshot_is_removed_and_the_old_one_stays(tmp_path: Path, disk: CountingDisk, call: str) -> None:
    path = tmp_path / "queue.json"
    write_all(disk, path, FEW)
    writer = SnapshotWriter(disk, path, Documents({"1": {"v": "new"}}))
    disk.fails = lambda name, _: OSError("refused") if name == call else None
    with pytest.raises(OSError, match="refused"):
        writer.step(1000)
    writer.abort()
    assert [file.name for file in tmp_path.iterdir()] == ["queue.json"]
    assert parse(path.read_bytes())[0] == ({"1": {"v": "new"}} if call == "sync_folder" else FEW)

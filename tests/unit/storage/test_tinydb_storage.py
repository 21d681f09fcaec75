"""The storage under the table: committed changes survive, failed commits change nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camiohookd.storage import table_files
from camiohookd.storage.quarantine import Quarantine
from camiohookd.storage.table_files import MAX_UNSYNCED, MIN_JOURNAL_BYTES
from camiohookd.storage.tinydb_storage import STEP_BYTES, Change, JournaledStorage
from tests.support.fault_disk import CountingDisk

Open = Callable[[Path], JournaledStorage]


@pytest.fixture
def open_storage(disk: CountingDisk) -> Open:
    def opened(folder: Path) -> JournaledStorage:
        folder.mkdir(exist_ok=True)
        return JournaledStorage(folder / "queue.json", disk, Quarantine(folder / "quarantine", disk))

    return opened


def insert(key: str, **fields: object) -> Change:
    return key, None, fields


def test_committed_documents_survive_a_crash(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    storage.apply([insert("1", state="pending"), insert("2", state="pending")])
    storage.apply([("1", {"state": "pending"}, {"state": "done"}), ("2", {"state": "pending"}, None)])
    assert open_storage(tmp_path).documents == {"1": {"state": "done"}}


def test_a_batch_needs_one_write_and_one_sync(tmp_path: Path, disk: CountingDisk, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    disk.calls.clear()
    with storage.batch():
        for number in range(50):
            storage.apply([insert(str(number), state="pending")])
        storage.commit()
    assert disk.calls == {"write": 1, "sync": 1}


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_failed_commit_changes_nothing_and_the_next_one_succeeds(
    tmp_path: Path, disk: CountingDisk, open_storage: Open, call: str
) -> None:
    told: list[str] = []
    storage = open_storage(tmp_path)
    storage.apply([insert("1", state="pending")])
    storage._observer = lambda key, before, after: told.append(f"{key}: {before} -> {after}")
    disk.fails = lambda name, _: OSError("full") if name == call else None
    with pytest.raises(OSError, match="full"):
        storage.apply([("1", {"state": "pending"}, {"state": "done"}), insert("2")])
    assert storage.documents == {"1": {"state": "pending"}}
    assert told[2:] == ["2: {} -> None", "1: {'state': 'done'} -> {'state': 'pending'}"]
    disk.fails = lambda *_: None
    storage.apply([insert("3", state="late")])
    assert open_storage(tmp_path).documents == {"1": {"state": "pending"}, "3": {"state": "late"}}


def test_undoes_changes_since_a_mark(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    with storage.batch():
        storage.apply([insert("1", a=1)])
        mark = storage.mark()
        storage.apply([("1", {"a": 1}, {"a": 2}), insert("2")])
        storage.undo(mark)
        storage.commit()
    assert storage.documents == open_storage(tmp_path).documents == {"1": {"a": 1}}


def test_a_value_that_is_not_json_changes_nothing(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    with pytest.raises(TypeError):
        storage.apply([insert("1", a=1), insert("2", a=object())])
    assert storage.documents == {}
    storage.apply([insert("3")])
    assert open_storage(tmp_path).documents == {"3": {}}


@pytest.mark.parametrize("clean", [True, False])
def test_never_assigns_an_id_twice(tmp_path: Path, open_storage: Open, clean: bool) -> None:
    storage = open_storage(tmp_path)
    last = max(storage.take_id() for _ in range(3))
    storage.apply([insert(str(last))])
    storage.apply([(str(last), {}, None)])
    if clean:
        storage.close()
    for _ in range(2):  # the second time, only the snapshot or the notes in its journal hold the highest id
        storage = open_storage(tmp_path)
        assert storage.take_id() > last
        storage.compact()


def test_notes_survive_a_crash_and_a_compaction(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    storage.note({"elapsed": 1.0, "boot": "a"})
    storage.commit()
    storage.compact()
    storage.note({"elapsed": 2.0})
    storage.commit()
    assert open_storage(tmp_path).notes.items() >= {"elapsed": 2.0, "boot": "a"}.items()


def test_cuts_off_a_torn_tail_and_keeps_later_records(
    tmp_path: Path, open_storage: Open, caplog: pytest.LogCaptureFixture
) -> None:
    storage = open_storage(tmp_path)
    storage.apply([insert("1", a=1)])
    storage.apply([insert("2", a=2)])
    path = tmp_path / "queue.journal-00000001"
    path.write_bytes(path.read_bytes()[:-5])
    storage = open_storage(tmp_path)
    assert "cut a torn tail" in caplog.text
    storage.apply([insert("3", a=3)])
    assert open_storage(tmp_path).documents == {"1": {"a": 1}, "3": {"a": 3}}
    assert not (tmp_path / "quarantine").exists()


def test_sets_a_damaged_line_aside_and_loses_nothing_else(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    for key in "123":
        storage.apply([insert(key, text="x" * 50)])
    path = tmp_path / "queue.journal-00000001"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"xxx", b"xyx", 1)
    path.write_bytes(b"".join(lines))
    storage = open_storage(tmp_path)
    assert set(storage.documents) == {"1", "3"}
    assert storage.files.must_compact
    framed = b"@%d %d\n%b\n" % (len(lines[0] + lines[1]), len(lines[2]), lines[2])
    assert [file.read_bytes() for file in (tmp_path / "quarantine").iterdir()] == [framed]


def test_a_crash_after_any_step_of_a_compaction_loses_no_change(
    tmp_path: Path, disk: CountingDisk, open_storage: Open
) -> None:
    folder = tmp_path / "state"
    storage = open_storage(folder)
    for number in range(1, 40):
        storage.apply([insert(str(number), text="x" * 30)])
    complete, steps = False, 0
    while not complete:
        complete = storage.compact_step(200)
        steps += 1
        storage.apply([(str(steps), storage.documents[str(steps)], {"step": steps})])
        storage.apply([(str(40 - steps), storage.documents[str(40 - steps)], None)])
        storage.apply([insert(str(100 + steps))])
        copied = tmp_path / f"crash-{steps}"
        shutil.copytree(folder, copied)
        assert open_storage(copied).documents == storage.documents
    assert steps > 5
    assert [file.name for file in sorted(folder.iterdir())] == ["queue.journal-00000002", "queue.json"]


@pytest.mark.parametrize("call", ["open", "write", "sync", "rename", "sync_folder", "unlink"])
def test_a_compaction_failed_by_the_disk_loses_nothing_and_can_be_repeated(
    tmp_path: Path, disk: CountingDisk, open_storage: Open, call: str
) -> None:
    storage = open_storage(tmp_path)
    for number in range(1, 40):
        storage.apply([insert(str(number), text="x" * 30)])
    for refused in range(1, 30):
        countdown = iter(range(refused - 1, -1, -1))
        disk.fails = lambda name, _, left=countdown: (  # type: ignore[misc]  # a default binds the loop's value
            OSError("refused") if name == call and next(left, 1) == 0 else None
        )
        try:
            storage.compact()
        except OSError:
            disk.fails = lambda *_: None
            storage.apply([("1", storage.documents["1"], {"refused": refused})])
            assert open_storage(tmp_path).documents == storage.documents
        else:
            break
    disk.fails = lambda *_: None
    storage.compact()
    assert open_storage(tmp_path).documents == storage.documents
    assert not storage.files.wants_compaction()


def test_a_compaction_is_due_when_the_journal_is_larger_than_the_snapshot(
    tmp_path: Path, open_storage: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 10_000)
    storage = open_storage(tmp_path)
    sizes = []
    for number in range(1, 2000):
        storage.apply([insert(str(number), text="x" * 50)])
        if storage.files.wants_compaction():
            sizes.append(storage.files.bytes_used)
            storage.compact()
    assert sizes == sorted(sizes)
    assert 3 <= len(sizes) <= 6
    assert MIN_JOURNAL_BYTES >= STEP_BYTES


def test_bytes_used_equals_the_size_of_the_files(tmp_path: Path, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    for number in range(1, 100):
        storage.apply([insert(str(number), text="x" * 50)])
        if number in (40, 60):
            storage.compact()
    used = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert storage.files.bytes_used == used
    assert open_storage(tmp_path).files.bytes_used == used


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_commit_without_sync_survives_a_later_failed_commit(
    tmp_path: Path, disk: CountingDisk, open_storage: Open, call: str
) -> None:
    storage = open_storage(tmp_path)
    storage.apply([insert("1", in_hand=False)])
    with storage.batch():
        storage.apply([("1", {"in_hand": False}, {"in_hand": True})])
        storage.commit(sync=False)
    disk.fails = lambda name, _: OSError("refused") if name == call else None
    with pytest.raises(OSError, match="refused"):
        storage.apply([insert("2")])
    disk.fails = lambda *_: None
    storage.files.repair()
    assert open_storage(tmp_path).documents == {"1": {"in_hand": True}}


def test_bounds_the_bytes_committed_without_a_sync(tmp_path: Path, disk: CountingDisk, open_storage: Open) -> None:
    storage = open_storage(tmp_path)
    disk.calls.clear()
    with storage.batch():
        for number in range(2 * MAX_UNSYNCED + 2):
            storage.apply([insert(str(number), state="pending")])
            storage.commit(sync=False)
    assert disk.calls["sync"] == 2

"""Damage to any byte loses only the record that contains it, and is reported."""

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tinydb import TinyDB

from camiohookd.errors import StateFolderError
from camiohookd.queue.task import Cause, State, Task
from camiohookd.storage import segments, table_files
from camiohookd.storage.record import DamagedRecordError
from tests.faults.crashes import Folder
from tests.faults.exploring import build, recover_twice
from tests.faults.model import Driver, Ledger, damage, digest_of, event, kill, open_queue, see_all

JOURNAL, SNAPSHOT = "queue.journal-00000002", "queue.json"

Damage = Callable[[bytes, int], bytes]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 700)
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 1 << 20)


def _flip(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


def _zero(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes(len(data[offset : offset + 16])) + data[offset + 16 :]


def _remove(data: bytes, offset: int) -> bytes:
    return data[:offset] + data[offset + 5 :]


def _insert(data: bytes, offset: int) -> bytes:
    return data[:offset] + b"\n{}\n" + data[offset:]


WAYS: list[tuple[Damage, int]] = [(_flip, 1), (_zero, 16), (_remove, 5), (_insert, 16)]
"""A change of the bytes at an offset, and the number of bytes that it changes."""

each_way = pytest.mark.parametrize(("way", "length"), WAYS, ids=[way.__name__.strip("_") for way, _ in WAYS])


class _Whole:
    """A state folder with tasks of every kind in its snapshot and journal, and with forgotten ones."""

    def __init__(self, folder: Path) -> None:
        driver = Driver(folder)
        driver.put("gone 1", "a", "b", "gone 2", "c", "d")
        driver.fail("b", "410")
        driver.labelled("c", "d", "gone 1")
        driver.done("c")
        driver.drop("gone 1")
        driver.drop("gone 2")
        while not driver.queue.store.storage.compact_step():
            pass
        driver.put("e", "gone 3")
        driver.put("f", "g", "h")
        driver.labelled("e", "f")
        driver.retry("e")
        driver.done("f")
        driver.fail("g", "it answered 404")
        driver.drop("gone 3")
        driver.put("i")
        self.tasks = see_all(driver.queue)
        tasks = [driver.queue.get(int(task_id)) for task_id, _ in self.tasks.values()]
        self.places = {task.id: task.payload for task in tasks}
        self.replies = {task.id: task.reply for task in tasks}
        kill(driver.queue)
        self.ledger: Ledger = driver.ledger
        self.files: Folder = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "lock"
        }

    def touched(self, name: str, start: int, end: int) -> set[str]:
        """Return the ids of the tasks whose records contain any of the bytes `start` to `end` of a file."""
        if name.startswith(("segments/", "replies/")):
            number = int(Path(name).stem)
            places = self.places if name.startswith("segments/") else self.replies
            return {
                task_id
                for task_id, place in places.items()
                if place and place.segment == number and place.offset < end and start < place.offset + place.length
            }
        data = self.files[name]
        # The newline before a line counts as part of it: without it, two lines become one.
        first = data.rfind(b"\n", 0, max(0, start)) + 1
        last = data.find(b"\n", end) + 1 or len(data)
        lines = data[first:last].splitlines()
        return {found[1].decode() for line in lines if (found := re.search(rb'^(?:.{9}\[".{3}",)?"(\d+)"', line))}


@pytest.fixture
def whole(memory_folder: Path) -> _Whole:
    return _Whole(memory_folder / "whole")


def _problems(whole: _Whole, folder: Path, touched: set[str]) -> list[str]:
    """Recover, and return the problems, except those that damage to the `touched` tasks allows."""
    recovered = recover_twice(folder)
    problems = list(recovered.problems)
    for digest in whole.tasks.keys() | recovered.tasks.keys():
        task_id, seen = whole.tasks.get(digest, ("", None))
        found = recovered.tasks.get(digest, ("", None))
        if (task_id or found[0]) not in touched and found != (task_id, seen):
            problems.append(f"task {task_id or found[0]} is not touched and was {seen}, is {found}")
        if task_id in touched and (whole.places[task_id] or whole.replies[task_id]) and found[1] is None:
            problems.append(f"task {task_id} is gone, although the record of its pictures or labels is there")
    return problems


@each_way
@pytest.mark.parametrize("name", [JOURNAL, SNAPSHOT])
def test_damage_to_journal_and_snapshot_loses_only_the_damaged_record(
    name: str,
    way: Damage,
    length: int,
    whole: _Whole,
    memory_folder: Path,
    long_run: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, data = memory_folder / "damaged", whole.files[name]
    for offset in range(0, len(data), 1 if long_run else 19):
        damaged = way(data, offset)
        build(folder, whole.files | {name: damaged})
        caplog.clear()
        problems = _problems(whole, folder, whole.touched(name, offset, offset + length))
        assert not problems, f"{way.__name__} at {offset} of {name}: {problems}"
        reported = [each for each in caplog.messages if "set aside" in each or "torn tail" in each]
        harmless = damaged.replace(b",", b"").replace(b"\n", b"") == data.replace(b",", b"").replace(b"\n", b"")
        assert reported or harmless, f"{way.__name__} at {offset} of {name}"


@each_way
def test_damage_to_a_segment_affects_only_its_own_task(
    way: Damage, length: int, whole: _Whole, memory_folder: Path, long_run: bool
) -> None:
    folder = memory_folder / "damaged"
    for name in [name for name in whole.files if name.startswith(("segments/", "replies/"))]:
        data = whole.files[name]
        for offset in range(0, len(data), 1 if long_run else 53):
            build(folder, whole.files | {name: way(data, offset)})
            shifts = way in (_remove, _insert)
            touched = whole.touched(name, offset, len(data) if shifts else offset + length)
            problems = _problems(whole, folder, touched)
            assert not problems, f"{way.__name__} at {offset} of {name}: {problems}"


def test_reading_a_damaged_payload_reports_it_and_returns_the_bytes(whole: _Whole, memory_folder: Path) -> None:
    folder = memory_folder / "whole"
    place = whole.places["2"]
    assert place
    path = folder / "segments" / f"{place.segment:08d}.payloads"
    path.write_bytes(_flip(path.read_bytes(), place.offset + place.length - 1))
    queue = open_queue(folder)
    with pytest.raises(DamagedRecordError) as caught:
        queue.read_payload(queue.get(2))
    assert len(caught.value.data) == place.length
    assert queue.read_payload(queue.get(3)).task_id == 3
    kill(queue)


@pytest.mark.parametrize("name", [JOURNAL, SNAPSHOT, "segments/00000001.payloads", "replies/00000001.replies"])
def test_a_file_cut_at_any_byte_loses_only_the_records_after_it(
    name: str, whole: _Whole, memory_folder: Path, long_run: bool
) -> None:
    folder, data = memory_folder / "cut", whole.files[name]
    for length in range(0, len(data), 1 if long_run else 19):
        build(folder, whole.files | {name: data[:length]})
        problems = _problems(whole, folder, whole.touched(name, length, len(data)))
        assert not problems, f"{name} cut to {length} of {len(data)} bytes: {problems}"


def test_a_lost_file_loses_only_its_own_records(whole: _Whole, memory_folder: Path) -> None:
    folder = memory_folder / "lost"
    for name, data in whole.files.items():
        build(folder, {other: data for other, data in whole.files.items() if other != name})
        recovered = recover_twice(folder)
        assert not recovered.problems
        touched = whole.touched(name, 0, len(data))
        lost = [each for digest, each in whole.tasks.items() if recovered.tasks.get(digest) != each]
        assert {task_id for task_id, _ in lost} <= touched, name
        waiting = {digest for digest, (_, seen) in whole.tasks.items() if seen and seen[0] in ("pending", "labelled")}
        assert waiting <= recovered.tasks.keys(), name


def test_ignores_foreign_files_in_the_folder(whole: _Whole, memory_folder: Path) -> None:
    folder = memory_folder / "littered"
    rubbish = os.urandom(300)
    names = ["queue.json.new", "format.new", "queue.journal-7", "queue.journal-00000099", "notes.txt", ".hidden"]
    names += ["segments/00000044.payloads", "segments/readme", "quarantine/photo.jpg", "quarantine/000001-journal-x"]
    build(folder, whole.files | dict.fromkeys(names, rubbish))
    for name in ("segments/00000045.payloads", "quarantine/000000-folder", "queue.journal-folder"):
        (folder / name).mkdir()
    assert not _problems(whole, folder, set())


def test_counts_and_logs_damaged_bytes_and_keeps_a_copy(
    whole: _Whole, memory_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = memory_folder / "whole"
    data = whole.files[JOURNAL]
    start = data.index(b'"put","11"') - 10
    line = data[start : data.index(b"\n", start) + 1]
    damage(folder / JOURNAL, b'"put","11"')
    queue = open_queue(folder)
    assert queue.store.quarantine.counts == {"journal": 1}
    [path] = queue.store.quarantine.files()
    framed = b"@%d %d\n%b\n" % (start, len(line), line.replace(b'"put","11"', bytes(10)))
    assert path.read_bytes() == framed
    assert queue.store.quarantine.bytes_used == len(framed)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(path) in record.message
    kill(queue)


def test_sets_damage_aside_once_and_then_compacts_it_away(whole: _Whole, memory_folder: Path) -> None:
    folder = memory_folder / "whole"
    damage(folder / JOURNAL, b'"put","11"')
    open_queue(folder).close()
    queue = open_queue(folder)
    assert len(queue.store.quarantine.files()) == 1
    assert not queue.store.quarantine.counts
    kill(queue)


def test_refuses_a_newer_format_and_changes_nothing(whole: _Whole, memory_folder: Path) -> None:
    folder = memory_folder / "newer"
    files = whole.files | {"format": b"4\n"}
    build(folder, files)
    with pytest.raises(StateFolderError, match="has format 4, written by a newer camiohookd"):
        open_queue(folder)
    assert {name: (folder / name).read_bytes() for name in files} == files


def test_refuses_a_folder_in_use_and_names_the_process_that_uses_it(whole: _Whole, memory_folder: Path) -> None:
    queue = open_queue(memory_folder / "whole")
    with pytest.raises(StateFolderError, match=rf"in use by another camiohookd \(process {os.getpid()}\)"):
        open_queue(memory_folder / "whole")
    queue.close()
    open_queue(memory_folder / "whole").close()


def test_migrates_format_1_with_all_its_tasks(memory_folder: Path) -> None:
    folder = memory_folder / "old"
    folder.mkdir()
    tasks = [Task(state=State.FAILED, digest=digest_of(f"{n}"), cause=Cause.REFUSED, reason=f"{n}") for n in range(5)]
    with TinyDB(folder / "queue.json") as db:
        for task in tasks:
            db.insert(task.to_document())
    queue = open_queue(folder)
    assert {digest: task_id for digest, (task_id, _) in see_all(queue).items()} == {
        task.digest: str(number) for number, task in enumerate(tasks, 1)
    }
    with queue.batch():
        assert queue.put(event("new")).id == "6"
        queue.commit()
    queue.close()
    assert (folder / "format").read_text() == "3\n"


def test_migrates_an_empty_queue_of_format_1(memory_folder: Path) -> None:
    folder = memory_folder / "old"
    folder.mkdir()
    TinyDB(folder / "queue.json").close()
    queue = open_queue(folder)
    assert see_all(queue) == {}
    queue.close()


@pytest.mark.parametrize("text", ["{", "[]", '{"_default": []}', json.dumps({"_default": {"1": {"state": "odd"}}})])
def test_refuses_a_snapshot_of_unknown_format_and_changes_nothing(text: str, memory_folder: Path) -> None:
    folder = memory_folder / "odd"
    folder.mkdir()
    (folder / "queue.json").write_text(text)
    with pytest.raises(StateFolderError, match="is not plain TinyDB JSON, format 1"):
        open_queue(folder)
    assert (folder / "queue.json").read_text() == text

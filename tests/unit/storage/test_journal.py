"""The journal: its lines, what is lost by damage, and the result of a replay."""

import zlib
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.storage import journal
from camiohookd.storage.documents import Documents
from camiohookd.storage.journal import Del, LiveIds, Note, Put, Set
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.old_documents import BringUp, no_replies
from tests.support.fault_disk import CountingDisk
from tests.support.lines import lines_of


def put(key: str, document: dict[str, Any]) -> Put:
    return Put(key, msgspec.Raw(msgspec.json.encode(document)))


RECORDS: list[journal.Record] = [
    Note({"elapsed": 1.5}),
    LiveIds([(1, 3), (5, 5)]),
    put("1", {"state": "pending", "camera": "a\nb\u2028"}),
    Set("1", {"state": "done"}, ["reply"]),
    Set("1", {"state": "failed"}),
]
LINES = [journal.encode(record) for record in RECORDS]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)
keys = st.sampled_from(["1", "2", "3"])
records = st.one_of(
    st.builds(put, keys, documents),
    st.builds(Set, keys, documents, st.lists(st.sampled_from("abcd"), max_size=2)),
    st.builds(Del, keys),
    st.builds(Note, documents),
)


def scanned(data: bytes) -> tuple[list[journal.Record], list[tuple[int, bytes]], int]:
    """Return the records, the damaged lines, and the offset at which the good ones end."""
    damaged: list[tuple[int, bytes]] = []
    scan = journal.Scan(lines_of(data), LostIds(), lambda *each: damaged.append(each))
    return list(scan), damaged, scan.good_length


def replay(script: list[journal.Record], documents: Documents, notes: dict[str, Any]) -> None:
    journal.replay(script, documents, notes, BringUp(no_replies))


@given(st.lists(records))
def test_reads_records_in_the_order_written(written: list[journal.Record]) -> None:
    data = b"".join(journal.encode(record) for record in written)
    twice = [[record] * (2 if isinstance(record, Del) else 1) for record in written]
    assert scanned(data) == (list(chain(*twice)), [], len(data))


def test_a_line_holds_crc32_and_json_and_a_removal_is_written_twice() -> None:
    assert journal.encode(put("1", {"a": 1})) == b'e804cc83 ["put","1",{"a":1}]\n'
    assert journal.encode(Del("1")) == 2 * b'7d8d85c4 ["del","1"]\n'


@pytest.mark.parametrize("length", range(sum(map(len, LINES)) + 1))
def test_a_journal_torn_at_any_byte_keeps_the_lines_before(length: int) -> None:
    ends = [sum(map(len, LINES[:count])) for count in range(len(LINES) + 1)]
    whole = max(count for count, end in enumerate(ends) if end <= length)
    assert scanned(b"".join(LINES)[:length]) == (RECORDS[:whole], [], ends[whole])


@given(st.integers(0, sum(map(len, LINES)) - 1), st.integers(1, 255))
def test_a_damaged_byte_loses_only_its_own_line(place: int, flip: int) -> None:
    data = bytearray(b"".join(LINES))
    was_newline = data[place] == ord("\n")
    data[place] ^= flip
    hit = bytes(data[:place]).count(b"\n")
    lost = {hit, hit + 1} if was_newline else {hit}
    assert scanned(bytes(data))[0] == [record for index, record in enumerate(RECORDS) if index not in lost]


def test_returns_the_positions_of_damaged_lines_before_a_good_one() -> None:
    rotten = b"00000000 rotten\n"
    _, damaged, _ = scanned(LINES[0] + rotten + rotten + LINES[1])
    assert damaged == [(len(LINES[0]), rotten), (len(LINES[0]) + len(rotten), rotten)]


@pytest.mark.parametrize(
    "text",
    ['["put","1",[]]', '["put","x",{}]', '["set","-1",{},[]]', '["del",1]', '["note",{"next_id":"7"}]', '["odd"]'],
)
def test_a_line_of_unknown_form_is_damaged_even_with_a_correct_checksum(text: str) -> None:
    line = b"%08x %b\n" % (zlib.crc32(text.encode()), text.encode())
    assert scanned(line + LINES[0]) == (RECORDS[:1], [(0, line)], len(line + LINES[0]))


@given(st.lists(records), documents)
def test_replaying_twice_changes_nothing(script: list[journal.Record], before: dict[str, Any]) -> None:
    once = Documents({"1": before})
    notes: dict[str, Any] = {}
    replay(script, once, notes)
    twice, twice_notes = Documents(once), dict(notes)
    replay(script, twice, twice_notes)
    assert (twice, twice_notes) == (once, notes)


@given(st.none() | documents, st.none() | documents)
def test_applying_the_difference_turns_one_document_into_the_other(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    state = Documents({} if before is None else {"1": before})
    replay([journal.difference("1", before, after)], state, {})
    assert state == ({} if after is None else {"1": after})


def test_the_difference_names_only_what_changed() -> None:
    before, after = {"state": "pending", "camera": "front", "in_hand": True}, {"state": "labelled", "camera": "front"}
    assert journal.difference("7", before, after) == Set("7", {"state": "labelled"}, ["in_hand"])


def test_remembers_the_id_of_a_removed_document() -> None:
    notes: dict[str, Any] = {}
    replay([put("7", {}), Del("7")], Documents(), notes)
    assert notes == {"next_id": 8}


def test_finds_journals_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("queue.journal-00000010", "queue.journal-00000009", "queue.json", "queue.journal-x", "lock"):
        (tmp_path / name).touch()
    assert journal.numbers(tmp_path) == [9, 10]


@pytest.mark.parametrize("call", ["write", "sync", "sync_folder"])
def test_a_failed_start_of_a_journal_leaves_no_partial_file(tmp_path: Path, disk: CountingDisk, call: str) -> None:
    disk.fails = lambda name, _: OSError("full") if name == call else None
    with pytest.raises(OSError, match="full"):
        journal.create(disk, tmp_path, 1, RECORDS[:1])
    assert list(tmp_path.iterdir()) == []


def test_a_new_journal_is_durable_with_its_first_lines(tmp_path: Path, disk: CountingDisk) -> None:
    journal.create(disk, tmp_path, 3, RECORDS[:2])
    assert scanned(journal.path_of(tmp_path, 3).read_bytes())[0] == RECORDS[:2]
    assert disk.syncs["journal"] == disk.calls["sync_folder"] == 1

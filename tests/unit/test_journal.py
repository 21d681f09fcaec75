"""The journal's lines: what damage costs, and what replaying them gives."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd import journal
from tests.queue_fixtures import CountingDisk

RECORDS: list[journal.Record] = [
    ["note", {"elapsed": 1.5}],
    ["put", "1", {"state": "pending", "camera": "a\nb\u2028"}],
    ["set", "1", {"state": "done"}, ["reply"]],
    ["del", "1"],
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
    st.tuples(st.just("put"), keys, documents),
    st.tuples(st.just("set"), keys, documents),
    st.tuples(st.just("set"), keys, documents, st.lists(st.sampled_from("abcd"), max_size=2)),
    st.tuples(st.just("del"), keys),
    st.tuples(st.just("note"), documents),
).map(list)


def copy(value: Any) -> Any:
    return journal.scan(journal.encode(["copy", value])).records[0][1]


@given(st.lists(records))
def test_what_was_written_is_read_again_in_order(written: list[journal.Record]) -> None:
    data = b"".join(journal.encode(record) for record in written)
    assert journal.scan(data) == journal.Scan(records=written, damaged=[], good_length=len(data))


def test_a_line_is_its_crc32_and_its_json() -> None:
    assert journal.encode(["del", "1"]) == b'7d8d85c4 ["del","1"]\n'


@pytest.mark.parametrize("length", range(sum(map(len, LINES)) + 1))
def test_a_journal_torn_at_any_byte_keeps_the_lines_before(length: int) -> None:
    ends = [sum(map(len, LINES[:count])) for count in range(len(LINES) + 1)]
    whole = max(count for count, end in enumerate(ends) if end <= length)
    found = journal.scan(b"".join(LINES)[:length])
    assert found == journal.Scan(RECORDS[:whole], [], ends[whole])


@given(st.integers(0, sum(map(len, LINES)) - 1), st.integers(1, 255))
def test_a_damaged_byte_costs_only_its_own_line(place: int, flip: int) -> None:
    data = bytearray(b"".join(LINES))
    was_newline = data[place] == ord("\n")
    data[place] ^= flip
    hit = bytes(data[:place]).count(b"\n")
    lost = {hit, hit + 1} if was_newline else {hit}
    found = journal.scan(bytes(data))
    assert found.records == [record for index, record in enumerate(RECORDS) if index not in lost]


def test_damaged_lines_before_a_good_one_are_told_with_their_place() -> None:
    rotten = b"00000000 rotten\n"
    found = journal.scan(LINES[0] + rotten + rotten + LINES[1])
    assert found.damaged == [(len(LINES[0]), rotten), (len(LINES[0]) + len(rotten), rotten)]


@given(st.lists(records), documents)
def test_replaying_twice_changes_nothing(script: list[journal.Record], before: dict[str, Any]) -> None:
    once: dict[str, Any] = {"1": copy(before)}
    notes: dict[str, Any] = {}
    journal.replay(copy(script), once, notes)
    twice, twice_notes = copy(once), copy(notes)
    journal.replay(copy(script), twice, twice_notes)
    assert (twice, twice_notes) == (once, notes)


@given(st.none() | documents, st.none() | documents)
def test_the_difference_of_two_documents_turns_one_into_the_other(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    state = {} if before is None else {"1": copy(before)}
    journal.replay([copy(journal.difference("1", before, after))], state, {})
    assert state == ({} if after is None else {"1": after})


def test_the_difference_names_only_what_changed() -> None:
    before, after = {"state": "pending", "camera": "front", "in_hand": True}, {"state": "labelled", "camera": "front"}
    assert journal.difference("7", before, after) == ["set", "7", {"state": "labelled"}, ["in_hand"]]


def test_a_number_that_a_document_had_is_remembered_when_the_document_is_gone() -> None:
    notes: dict[str, Any] = {}
    journal.replay([["put", "7", {}], ["del", "7"]], {}, notes)
    assert notes == {"next_id": 8}


def test_journals_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("queue.journal-00000010", "queue.journal-00000009", "queue.json", "queue.journal-x", "lock"):
        (tmp_path / name).touch()
    assert journal.numbers(tmp_path) == [9, 10]


@pytest.mark.parametrize("call", ["write", "sync", "sync_folder"])
def test_a_journal_that_cannot_be_begun_leaves_no_half_of_one(tmp_path: Path, disk: CountingDisk, call: str) -> None:
    disk.fails = lambda name, _: OSError("full") if name == call else None
    with pytest.raises(OSError, match="full"):
        journal.create(disk, tmp_path, 1, {"elapsed": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_new_journal_begins_with_the_notes(tmp_path: Path, disk: CountingDisk) -> None:
    journal.create(disk, tmp_path, 3, {"elapsed": 1.0})
    assert journal.scan(journal.path_of(tmp_path, 3).read_bytes()).records == [["note", {"elapsed": 1.0}]]
    assert disk.syncs["journal"] == disk.calls["sync_folder"] == 1

"""Compare `Documents` with a plain dictionary of dictionaries."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.storage.documents import Documents

ids = st.sampled_from(["1", "2", "3"])
documents = st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.integers(0, 9) | st.none(), max_size=3)


@given(st.lists(st.tuples(ids, st.none() | documents)))
def test_documents_equal_a_plain_dictionary(script: list[tuple[str, dict[str, Any] | None]]) -> None:
    ours, plain = Documents(), dict[str, dict[str, Any]]()
    for key, document in script:
        if document is None:
            assert ours.pop(key, None) == plain.pop(key, None)
        else:
            ours[key] = plain[key] = document
    assert (dict(ours), len(ours), list(ours)) == (plain, len(plain), sorted(plain))
    assert ours == plain


def test_changing_a_returned_document_does_not_change_the_stored_one() -> None:
    ours = Documents({"1": {"state": "pending", "list": [1]}})
    ours["1"]["list"].append(2)
    assert ours["1"] == {"state": "pending", "list": [1]}


def test_json_is_stored_and_returned_unchanged() -> None:
    ours = Documents()
    ours.set_encoded("1", b'{"a" : 1}')
    assert (ours["1"], ours.encoded("1"), ours.encoded("2")) == ({"a": 1}, b'{"a" : 1}', None)


texts = st.text(max_size=9).map(msgspec.json.encode)
changes = st.tuples(st.integers(0, 3000).map(str), st.none() | texts)


@given(st.lists(changes, max_size=400))
def test_packed_documents_equal_a_plain_dictionary(script: list[tuple[str, bytes | None]]) -> None:
    ours, plain = Documents(), dict[str, bytes]()
    for key, line in script:
        if line is None:
            ours.pop(key, None)
            plain.pop(key, None)
        else:
            ours.set_encoded(key, line)
            plain[key] = line
    ids = sorted(map(int, plain))
    assert list(ours.all_encoded()) == [(number, plain[str(number)]) for number in ids]
    assert (ours.ascending_ids(), ours.greatest_id(), len(ours)) == (ids, max(ids, default=0), len(ids))
    assert {key: ours.encoded(key) for key, _ in script} == {key: plain.get(key) for key, _ in script}
    assert all((key in ours) == (key in plain) for key, _ in script)


def test_the_greatest_id_is_found_behind_blocks_that_became_empty() -> None:
    ours = Documents({str(number): {} for number in range(5000)})
    for number in range(7, 5000):
        ours.remove(number)
    assert (ours.greatest_id(), ours.ascending_ids()) == (6, list(range(7)))


def test_ten_thousand_documents_take_little_memory() -> None:
    ours = Documents()
    tracemalloc.start()
    for number in range(10_000):
        ours.put(number, {"digest": f"{hash((number,)):032x}", "state": "done", "camera": "front", "ended": number / 7})
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 80 * 10_000


def test_refuses_values_that_are_not_json_and_changes_nothing() -> None:
    ours = Documents({"1": {}})
    with pytest.raises(TypeError):
        ours["1"] = {"a": object()}
    assert ours == {"1": {}}

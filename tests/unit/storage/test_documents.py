"""Compare `Documents` with a plain dictionary of dictionaries."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.storage import documents as documents_module
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
    assert (dict(ours), len(ours), list(ours)) == (plain, len(plain), list(plain))
    assert ours == plain


def test_changing_a_returned_document_does_not_change_the_stored_one() -> None:
    ours = Documents({"1": {"state": "pending", "list": [1]}})
    ours["1"]["list"].append(2)
    assert ours["1"] == {"state": "pending", "list": [1]}


def test_json_is_stored_and_returned_unchanged() -> None:
    ours = Documents()
    ours.set_encoded("1", b'{"a" : 1}')
    assert (ours["1"], ours.encoded("1"), ours.encoded("2")) == ({"a": 1}, b'{"a" : 1}', None)


@given(st.lists(st.sampled_from([*(text for text, _ in documents_module._SHORT), b'"', b"a", b",", b"\xc3\xa9"])))
def test_every_json_is_stored_and_returned_unchanged(parts: list[bytes]) -> None:
    ours = Documents()
    ours.set_encoded("1", b"".join(parts))
    assert ours.encoded("1") == b"".join(parts)
    assert list(ours.all_encoded()) == [(1, b"".join(parts))]


def test_the_bytes_that_stand_for_names_cannot_be_in_json() -> None:
    codes = b"".join(code for _, code in documents_module._SHORT)
    assert len(set(codes)) == len(documents_module._SHORT)
    for code in codes:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(b'{"a": "%c"}' % code)
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(b'{"a": %c1}' % code)


def test_refuses_values_that_are_not_json_and_changes_nothing() -> None:
    ours = Documents({"1": {}})
    with pytest.raises(TypeError):
        ours["1"] = {"a": object()}
    assert ours == {"1": {}}

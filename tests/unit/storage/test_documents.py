"""Compare `Documents` with a plain dictionary of dictionaries."""

from typing import Any

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


def test_refuses_values_that_are_not_json_and_changes_nothing() -> None:
    ours = Documents({"1": {}})
    with pytest.raises(TypeError):
        ours["1"] = {"a": object()}
    assert ours == {"1": {}}

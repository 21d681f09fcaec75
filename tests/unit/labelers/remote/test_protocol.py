"""The protocol's messages: what is sent, and that nothing a server sends does more than be refused."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camiohookd.errors import ModelError
from camiohookd.labelers.remote.contract import Wanted, fit
from camiohookd.labelers.remote.protocol import HEAD_LENGTH, Identity, answer, error_text, request
from camiohookd.labelers.remote.tensors import files
from camiohookd.labelers.remote.unusable import Unusable

ASKED = Identity("1", "m", "")
WANTED = Wanted("images", (None, 3, 8, 8), {"scores": (None, None, 2)})


def test_the_binary_form_is_a_json_head_and_little_endian_bytes() -> None:
    value = np.arange(6, dtype=np.float32).reshape(1, 6)
    body = request("7", {"x": value, "files": files([b"ab", b""])}, ["y"], binary=True)
    length = int(body.headers[HEAD_LENGTH])
    assert json.loads(body.data[:length]) == {
        "id": "7",
        "inputs": [
            {"name": "x", "shape": [1, 6], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
            {"name": "files", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        "parameters": {"binary_data_output": True},
    }
    assert body.data[length:] == value.astype("<f4").tobytes() + struct.pack("<I2sI", 2, b"ab", 0)


def test_the_json_form_has_flat_numbers_and_files_as_base64() -> None:
    body = request("7", {"x": np.array([[1, 2]], np.uint8), "files": files([b"ab"])}, ["y"], binary=False)
    assert json.loads(body.data)["inputs"] == [
        {"name": "x", "shape": [1, 2], "datatype": "UINT8", "data": [1, 2]},
        {
            "name": "files",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"content_type": "base64"},
            "data": ["YWI="],
        },
    ]


@pytest.mark.parametrize(
    ("values", "text"),
    [([1, 255], b"[1,255]"), ([1, 0.5], b"[1.0,0.5]"), ([1e30, 1], b"[1.0000000150474662e30,1.0]")],
)
def test_whole_numbers_are_short_in_json(values: list[float], text: bytes) -> None:
    body = request("7", {"x": np.array(values, np.float32)}, ["y"], binary=False)
    assert b'"datatype":"FP32","data":' + text in body.data


def test_an_answer_may_mix_forms_nest_its_numbers_and_leave_out_what_is_optional() -> None:
    raw = {"name": "b", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": 4}}
    plain = {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1]], "parameters": None}
    head = json.dumps({"outputs": [raw, plain, plain | {"name": "unwanted"}]}).encode()
    found = answer(head + np.array([1, 2], "<f2").tobytes(), str(len(head)), ASKED, ["a", "b"])
    assert list(found.outputs) == ["a", "b"]
    assert np.array_equal(found.outputs["a"], [[0.5, 1]])
    assert np.array_equal(found.outputs["b"], [1, 2])
    assert found.version == ""


RIGHT = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"datatype": "INT32"}, "of the type INT32, expected FP32 or FP16 or FP64"),
        ({"datatype": "BOOL", "data": [True, False]}, "of the type BOOL, expected"),
        ({"datatype": "BYTES", "data": ["0.5", "1"]}, "of the type BYTES, expected numbers"),
        ({"data": ["0.5", "1"]}, "sent no numbers for output 'y'"),
        ({"data": [True, False]}, "sent no numbers for output 'y'"),
        ({"data": [None, None]}, "sent no numbers for output 'y'"),
        ({"data": 1, "shape": []}, "sent no numbers for output 'y'"),
        ({"data": [[0.5], [1]]}, "whose number of values does not fit its shape [1, 2]"),
        ({"data": [[0.5], []]}, "sent no numbers for output 'y'"),
        ({"data": [[[[[[[[[[1]]]]]]]]]], "shape": [1] * 10}, "sent no numbers for output 'y'"),
        ({"shape": [1] * 98 + [2]}, "does not fit its shape [1, 1, 1, 1, 1, 1, 1, 1]"),
        ({"shape": [0, 2**70], "data": []}, "whose number of values does not fit its shape [0, "),
        ({"shape": [0, 2**62, 2**62], "data": []}, "whose number of values does not fit its shape [0, "),
    ],
)
def test_values_that_are_not_as_described_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Unusable) as refused:
        answer(json.dumps({"outputs": [RIGHT | change]}).encode(), None, ASKED, ["y"])
    assert said in str(refused.value)


@pytest.mark.parametrize("datatype", ["INT32", "INT16"])
def test_bytes_of_another_type_are_refused_and_those_of_unwanted_outputs_passed_over(datatype: str) -> None:
    described = [{"name": name, "shape": [2], "parameters": {"binary_data_size": 8}} for name in ("x", "y")]
    head = json.dumps(
        {"outputs": [described[0] | {"datatype": datatype}, described[1] | {"datatype": "FP32"}]}
    ).encode()
    data = head + bytes(8) + np.array([1, 2], "<f4").tobytes()
    assert np.array_equal(answer(data, str(len(head)), ASKED, ["y"]).outputs["y"], [1, 2])
    with pytest.raises(Unusable, match=f"'x' of the type {datatype}"):
        answer(data, str(len(head)), ASKED, ["x"])


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1, 2"])
def test_a_head_of_impossible_length_is_refused(length: str) -> None:
    with pytest.raises(Unusable, match=f"sent a wrong {HEAD_LENGTH}"):
        answer(b'{"outputs": []}', length, ASKED, ["y"])


def test_what_a_server_says_is_shown_in_one_short_line_without_control_characters() -> None:
    name = "\x1b[31m\n" * 10_000
    told = json.dumps({"outputs": [RIGHT | {"name": name, "data": [None]}]}).encode()
    with pytest.raises(Unusable) as refused:
        answer(told, None, ASKED, [name])
    assert len(str(refused.value)) < 300
    assert error_text(b'{"error": "\\u001b[31mred\\u0007\\u202e\\u0000 alert"}') == "[31mred alert"
    assert error_text(b'{"detail": [{"msg": "no"}], "error": null}') == '[{"msg": "no"}]'


SOME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OUTPUT = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["y", "z"]),
        "datatype": st.sampled_from(["FP32", "FP16", "INT64", "UINT8", "BOOL", "BYTES", "FP8"]),
        "shape": st.lists(st.integers(-1, 3) | st.integers(), max_size=3),
    },
    optional={
        "data": SOME_JSON | st.lists(st.floats(width=64) | st.integers(), max_size=6),
        "parameters": st.none() | st.fixed_dictionaries({"binary_data_size": st.integers(-2, 20) | SOME_JSON}),
    },
)


@given(st.lists(OUTPUT, max_size=3), st.binary(max_size=24), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_answer_is_read_or_refused(outputs: list[dict[str, Any]], tail: bytes, binary: bool) -> None:
    head = json.dumps({"outputs": outputs}).encode()
    try:
        found = answer(head + (tail if binary else b""), str(len(head)) if binary else None, ASKED, ["y"])
    except Unusable as refused:
        assert "\n" not in str(refused)
        return
    value = found.outputs["y"]
    [shape] = [each["shape"] for each in outputs if each["name"] == "y"][-1:]
    assert (len(value) == np.prod(shape)) if isinstance(value, list) else (list(value.shape) == shape)


@given(
    st.binary(max_size=60) | SOME_JSON.map(lambda value: json.dumps(value).encode()), st.text(max_size=4) | st.none()
)
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, length: str | None) -> None:
    with pytest.raises(Unusable):
        answer(data, length, ASKED, ["y"])
    assert "\n" not in error_text(data)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"outputs": [{"data": ' + b"[" * 100_000, b'{"error":' * 50_000],
    ids=["list", "data", "dict"],
)
def test_deep_nesting_is_refused(data: bytes) -> None:
    with pytest.raises(Unusable, match="does not follow the protocol"):
        answer(data, None, ASKED, ["y"])
    assert error_text(data) == ""
    with pytest.raises(ModelError):
        fit(data, WANTED)


@pytest.mark.parametrize("numbers", ["1e39", "1e999", "-1e39"])
def test_numbers_that_are_too_large_become_infinite_and_are_found_later(numbers: str) -> None:
    data = f'{{"outputs": [{{"name": "y", "datatype": "FP32", "shape": [1], "data": [{numbers}]}}]}}'.encode()
    try:
        found = answer(data, None, ASKED, ["y"]).outputs["y"]
    except Unusable:
        return
    assert not np.isfinite(found).any()


@given(st.binary(max_size=60) | SOME_JSON.map(lambda value: json.dumps({"inputs": value, "outputs": value}).encode()))
@settings(max_examples=40, deadline=None)
def test_any_metadata_fits_or_is_refused(data: bytes) -> None:
    try:
        found = fit(data, WANTED)
    except ModelError as refused:
        assert "\n" not in str(refused)
    else:
        assert set(found.outputs) == {"scores"}


def test_the_only_output_may_have_any_name() -> None:
    told = {
        "inputs": [{"name": "images", "datatype": "FP16", "shape": [-1, 3, 8, 8]}],
        "outputs": [{"name": "output0", "datatype": "FP32", "shape": [-1, 5, 2]}],
    }
    found = fit(json.dumps(told).encode(), WANTED)
    assert found.outputs == {"scores": "output0"}
    assert found.kind == np.float16

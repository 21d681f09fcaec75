"""Give a model's graph other outputs: what it computes in between, such as the features of its backbone.

A graph computes only what its outputs need, so a graph that ends at the features runs without the rest of the model.
ONNX Runtime adds no outputs, and the package `onnx` is large: the few fields are read and written here. The numbers of
the fields are those of onnx.proto3 (ONNX IR version 3 and later), the encoding is that of Protocol Buffers:
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from camiohookd.errors import ModelError

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_VALUE_NAME = 1

_LENGTH = 2
_MAX_VARINT_BYTES = 10


class _Field(NamedTuple):
    """A field of a message: its number, its contents, and all its bytes with the key in front."""

    number: int
    contents: memoryview
    whole: memoryview


class GraphNode(NamedTuple):
    """An operation of a graph and the names of the tensors that it takes and makes."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graph_nodes(model: bytes) -> list[GraphNode]:
    """Return the operations of the main graph, in their order. Raises ModelError."""
    return [
        _node(field.contents)
        for part in _fields(memoryview(model))
        if part.number == _MODEL_GRAPH
        for field in _fields(part.contents)
        if field.number == _GRAPH_NODE
    ]


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """Return the model with the tensors `names` as its only outputs. Raises ModelError."""
    parts = []
    for part in _fields(memoryview(model)):
        if part.number == _MODEL_GRAPH:
            kept = [field.whole for field in _fields(part.contents) if field.number != _GRAPH_OUTPUT]
            added = [_written(_GRAPH_OUTPUT, _written(_VALUE_NAME, name.encode())) for name in names]
            parts.append(_written(_MODEL_GRAPH, b"".join([*kept, *added])))
        else:
            parts.append(bytes(part.whole))
    return b"".join(parts)


def _node(data: memoryview) -> GraphNode:
    inputs, outputs, operation = [], [], ""
    for field in _fields(data):
        match field.number:
            case 1:  # input
                inputs.append(_text(field))
            case 2:  # output
                outputs.append(_text(field))
            case 4:  # op_type
                operation = _text(field)
    return GraphNode(operation, tuple(inputs), tuple(outputs))


def _text(field: _Field) -> str:
    return bytes(field.contents).decode(errors="replace")


def _fields(data: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        contents = at
        match key & 7:
            case 0:  # a varint
                _, at = _varint(data, at)
            case 1:  # eight bytes
                at += 8
            case 2:  # a length and as many bytes
                length, contents = _varint(data, at)
                at = contents + length
            case 5:  # four bytes
                at += 4
            case other:
                raise ModelError(f"the model's file is damaged: a field has the unknown type {other}")
        if at > len(data):
            raise ModelError("the model's file is damaged: a field ends behind the end of the file")
        yield _Field(key >> 3, data[contents:at], data[start:at])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at`, 7 bits a byte with the lowest first, and where it ends."""
    value = 0
    for nth, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * nth)
        if byte < 0x80:
            return value, at + nth + 1
    raise ModelError("the model's file is damaged: a number has no end")


def _written(number: int, contents: bytes) -> bytes:
    return _varint_bytes(number << 3 | _LENGTH) + _varint_bytes(len(contents)) + contents


def _varint_bytes(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)

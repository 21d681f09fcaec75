"""Give a model's graph other outputs: what it computes in between, such as the features of its backbone.

A graph computes only what its outputs need, so a graph that ends at the features runs without the rest of the model.
ONNX Runtime adds no outputs. The numbers of the fields are those of https://github.com/onnx/onnx, `onnx/onnx.proto`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.protobuf import Field, NotAMessage, fields, message

_GRAPH = 7  # of ModelProto
_NODE, _OUTPUT = 1, 12  # of GraphProto
_NAME_OF_VALUE = 1  # of ValueInfoProto
_INPUTS_OF_NODE, _OUTPUTS_OF_NODE, _TYPE_OF_NODE = 1, 2, 4  # of NodeProto

_DAMAGED = "the model's file is damaged: it is not an ONNX file, or it is cut off"


class GraphNode(NamedTuple):
    """An operation of a graph and the names of the tensors that it takes and makes."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graph_nodes(model: bytes) -> list[GraphNode]:
    """Return the operations of the main graph, in their order. Raises ModelError."""
    try:
        graphs = [part.data for part in fields(memoryview(model)) if part.number == _GRAPH]
        return [_node(field.data) for graph in graphs for field in fields(graph) if field.number == _NODE]
    except NotAMessage as error:
        raise ModelError(_DAMAGED) from error


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """Return the model with the tensors `names` as its only outputs. Raises ModelError."""
    try:
        parts = [
            message(_GRAPH, _with_outputs(part.data, names)) if part.number == _GRAPH else part.whole
            for part in fields(memoryview(model))
        ]
    except NotAMessage as error:
        raise ModelError(_DAMAGED) from error
    return b"".join(parts)


def _with_outputs(graph: memoryview, names: Sequence[str]) -> bytes:
    kept = (field.whole for field in fields(graph) if field.number != _OUTPUT)
    return b"".join([*kept, *(message(_OUTPUT, message(_NAME_OF_VALUE, name.encode())) for name in names)])


def _node(data: memoryview) -> GraphNode:
    found = list(fields(data))
    return GraphNode(
        next((_text(field) for field in found if field.number == _TYPE_OF_NODE), ""),
        tuple(_text(field) for field in found if field.number == _INPUTS_OF_NODE),
        tuple(_text(field) for field in found if field.number == _OUTPUTS_OF_NODE),
    )


def _text(field: Field) -> str:
    return bytes(field.data).decode(errors="replace")

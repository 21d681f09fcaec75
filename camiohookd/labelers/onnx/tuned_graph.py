"""Change a quantized model's graph so that a processor needs less time for it; what it finds differs by rounding only.

    bytes ─▶ float32 ─▶ scaled ─▶ quantized, so bytes again ─▶ the network      as in the file
    bytes ─────────────────────────────────────────────────▶ the network      as it runs

The quantized values of a picture are usually its own bytes, or one more or less, as rounding falls. Then the graph can
take the bytes: its input gets another name, the type uint8 and the layout NHWC. Besides, each `Sum` of two tensors
becomes an `Add`, because ONNX Runtime adds quantized tensors only there.

The numbers of the fields are those of https://github.com/onnx/onnx, `onnx/onnx.proto`; the operations are described in
https://onnx.ai/onnx/operators/.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.model import Input, ModelDescription
from camiohookd.labelers.onnx.graph_outputs import GraphNode, graph_nodes, with_outputs
from camiohookd.labelers.onnx.protobuf import fields, message, varint
from camiohookd.labelers.onnx.runner import Node
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tensors import tensor

VERSION = 1
"""The version of these changes. A cached graph of another version is not used."""

_AS_BYTES = " as bytes"
_ZERO_POINT = "zero point of the bytes"

_GRAPH = 7  # of ModelProto
_NODE, _INITIALIZER, _INPUT = 1, 5, 11  # of GraphProto
_INPUTS_OF_NODE, _OUTPUTS_OF_NODE, _TYPE_OF_NODE, _ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
_NAME_OF_ATTRIBUTE, _INTS, _TYPE_OF_ATTRIBUTE, _IS_INTS = 1, 8, 20, 7  # of AttributeProto
_DATA_TYPE, _NAME_OF_TENSOR, _RAW_DATA, _UINT8 = 2, 8, 9, 2  # of TensorProto
_NAME_OF_VALUE, _TYPE, _TENSOR_TYPE, _ELEMENT, _SHAPE = 1, 2, 1, 1, 2  # of ValueInfoProto, TypeProto
_DIM, _DIM_VALUE, _DIM_PARAM = 1, 1, 2  # of TensorShapeProto


class _Beginning(NamedTuple):
    """The operations that quantize a picture, by number, their result, and the operations that read it.

    `batch` is the length of the first axis or its name. The bytes stand for their difference from `zero_point`.
    """

    numbers: frozenset[int]
    quantized: str
    readers: frozenset[int]
    batch: int | str
    zero_point: int


def tuned(model: bytes, description: ModelDescription, name: str) -> bytes:
    """Return the model's bytes, changed as far as its graph allows; `name` is its name in logs."""
    try:
        nodes = graph_nodes(model)
        beginning = _beginning(model, nodes, description, name)
    except ModelError:
        return model  # ONNX Runtime reports the error when it loads it
    parts = (
        message(_GRAPH, b"".join(_changed(part.data, nodes, beginning, description.input)))
        if part.number == _GRAPH
        else part.whole
        for part in fields(memoryview(model))
    )
    return b"".join(parts)


def as_it_runs(description: ModelDescription, inputs: Sequence[Node]) -> ModelDescription:
    """Return the description of a graph that runs with these `inputs`: the same one, unless it takes bytes."""
    name = description.input.name + _AS_BYTES
    if all(each.name != name for each in inputs):
        return description
    none, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    taken = structs.replace(description.input, name=name, layout="NHWC", range="0..255", mean=none, std=one)
    return structs.replace(description, input=taken)


def _beginning(model: bytes, nodes: Sequence[GraphNode], description: ModelDescription, name: str) -> _Beginning | None:
    """Return how the graph begins; None unless its quantized values are nearly the bytes of the picture."""
    wanted = description.input
    chain = list(_chain(nodes, wanted.name))
    last = nodes[chain[-1]] if chain else None
    if wanted.layout != "NCHW" or last is None or last.operation != "QuantizeLinear" or len(last.inputs) < 3:
        return None
    quantized = last.outputs[0]
    readers = frozenset(_readers(nodes, quantized))
    if any(nodes[nth].operation != "DequantizeLinear" for nth in readers):
        return None
    count = 3 * wanted.width * wanted.height
    random = np.frombuffer(os.urandom(count), np.uint8)  # the package has no numpy.random
    noise: NDArray[np.uint8] = random.reshape(wanted.height, wanted.width, 3)
    session = open_session(with_outputs(model, [quantized, last.inputs[2]]), name)
    batch = next(each.shape[0] for each in session.inputs if each.name == wanted.name)
    try:
        pictures = [Image.fromarray(noise)] * (batch if isinstance(batch, int) else 1)
        found, zero_point = session.run([quantized, last.inputs[2]], {wanted.name: tensor(pictures, wanted)})
    except LabelingError:  # it has other inputs, or takes another type
        return None
    given = noise if wanted.color_order == "RGB" else noise[:, :, ::-1]
    more: NDArray[np.int16] = found.astype(np.int16) - given.transpose(2, 0, 1)
    usual = int(np.median(more))
    if found.dtype != np.uint8 or int(np.ptp(more)) > 1 or abs(usual) > 1:
        return None
    return _Beginning(frozenset(chain), quantized, readers, batch or "batch", int(zero_point.item()) - usual)


def _chain(nodes: Sequence[GraphNode], name: str) -> Iterator[int]:
    """Yield the numbers of the operations from a tensor to the first quantization, as long as nothing branches off."""
    while len(readers := _readers(nodes, name)) == 1 and len(nodes[readers[0]].outputs) == 1:
        yield readers[0]
        if nodes[readers[0]].operation == "QuantizeLinear":
            return
        name = nodes[readers[0]].outputs[0]


def _readers(nodes: Sequence[GraphNode], name: str) -> list[int]:
    return [nth for nth, node in enumerate(nodes) if name in node.inputs]


def _changed(
    graph: memoryview, nodes: Sequence[GraphNode], beginning: _Beginning | None, wanted: Input
) -> Iterator[bytes | memoryview]:
    """Yield the fields of the changed GraphProto."""
    number = -1
    if beginning:
        yield message(_NODE, _transposed(wanted.name + _AS_BYTES, beginning.quantized))
        yield message(_INITIALIZER, _scalar(_ZERO_POINT, beginning.zero_point))
    for field in fields(graph):
        number += field.number == _NODE
        if field.number == _NODE and nodes[number].operation == "Sum" and len(nodes[number].inputs) == 2:
            yield message(_NODE, _replaced(field.data, _TYPE_OF_NODE, "Sum", "Add"))
        elif field.number == _NODE and beginning and number in beginning.readers:
            yield message(_NODE, _replaced(field.data, _INPUTS_OF_NODE, nodes[number].inputs[2], _ZERO_POINT))
        elif field.number == _NODE and beginning and number in beginning.numbers:
            continue
        elif field.number == _INPUT and beginning and _is_named(field.data, wanted.name):
            yield message(_INPUT, _bytes_input(wanted, beginning.batch))
        else:
            yield field.whole


def _replaced(node: memoryview, number: int, old: str, new: str) -> bytes:
    """Return a NodeProto in which the fields `number` with the text `old` have the text `new`."""
    parts = (
        message(number, new.encode()) if each.number == number and each.data == old.encode() else each.whole
        for each in fields(node)
    )
    return b"".join(parts)


def _transposed(source: str, target: str) -> bytes:
    """Return the NodeProto that makes NCHW of NHWC."""
    order = b"".join(varint(_INTS << 3) + varint(axis) for axis in (0, 3, 1, 2))
    kind = varint(_TYPE_OF_ATTRIBUTE << 3) + varint(_IS_INTS)
    return (
        message(_INPUTS_OF_NODE, source.encode())
        + message(_OUTPUTS_OF_NODE, target.encode())
        + message(_TYPE_OF_NODE, b"Transpose")
        + message(_ATTRIBUTE, message(_NAME_OF_ATTRIBUTE, b"perm") + order + kind)
    )


def _scalar(name: str, value: int) -> bytes:
    """Return the TensorProto of a byte."""
    kind = varint(_DATA_TYPE << 3) + varint(_UINT8)
    return kind + message(_NAME_OF_TENSOR, name.encode()) + message(_RAW_DATA, bytes([value]))


def _bytes_input(wanted: Input, batch: int | str) -> bytes:
    """Return the ValueInfoProto of pictures as bytes."""
    first = message(_DIM_PARAM, batch.encode()) if isinstance(batch, str) else varint(_DIM_VALUE << 3) + varint(batch)
    others = (varint(_DIM_VALUE << 3) + varint(length) for length in (wanted.height, wanted.width, 3))
    shape = b"".join(message(_DIM, each) for each in (first, *others))
    kind = varint(_ELEMENT << 3) + varint(_UINT8) + message(_SHAPE, shape)
    return message(_NAME_OF_VALUE, (wanted.name + _AS_BYTES).encode()) + message(_TYPE, message(_TENSOR_TYPE, kind))


def _is_named(value: memoryview, name: str) -> bool:
    return any(each.number == _NAME_OF_VALUE and each.data == name.encode() for each in fields(value))

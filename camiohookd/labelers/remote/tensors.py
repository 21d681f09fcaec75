"""The values of tensors in the Open Inference Protocol: arrays ─▶ bytes, JSON or bytes ─▶ arrays.

Sources: as in `protocol`.
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np

from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.remote.unusable import Unusable, one_line

BYTES = "BYTES"
_KINDS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "INT8": np.dtype("<i1"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

Shape = tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class Output(msgspec.Struct):
    """One output of an answer, as the JSON part describes it."""

    name: str
    datatype: str
    shape: Shape
    data: Any = None
    parameters: dict[str, Any] | None = None


def files(each: Sequence[bytes]) -> Tensor:
    """Return files as an array of objects, a tensor of the type BYTES."""
    array = np.empty(len(each), object)
    array[:] = each
    return array


def kind_of(datatype: str) -> np.dtype[Any] | None:
    """Return the type of numbers by the protocol's name, None if it is not one of numbers."""
    return _KINDS.get(datatype)


def datatype_of(value: Tensor) -> str:
    """Return the protocol's name of the type of an array."""
    return BYTES if value.dtype == object else _NAMES[value.dtype.newbyteorder("<")]


def raw(value: Tensor) -> bytes:
    """Return the bytes of an array for the binary part of a request."""
    if value.dtype == object:
        return b"".join(part for each in value.ravel() for part in (struct.pack("<I", len(each)), each))
    return np.ascontiguousarray(value).tobytes()


def numbers(value: Tensor) -> list[Any]:
    """Return the values of an array of numbers for JSON.

    Whole ones become integers: the color values of a picture, which are whole for many models, are then written in a
    seventh of the time and are two thirds as long.
    """
    if value.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # what does not fit differs from its value
            whole = value.astype(np.int32)
        if np.array_equal(whole, value):
            value = whole
    found: list[Any] = value.ravel().tolist()
    return found


def from_json(table: Output) -> Tensor | list[bytes]:
    """Return the values of an output in the JSON part; those of the type BYTES as a list. Raises Unusable."""
    if table.datatype == BYTES:
        if not isinstance(table.data, list) or not all(isinstance(each, str) for each in table.data):
            raise Unusable(f"sent no texts for output {table.name!r}")
        texts = [each.encode() for each in table.data]
        if len(texts) != prod(table.shape):
            raise Unusable(_wrong_size(table))
        return texts
    try:
        with np.errstate(all="ignore"):  # what is too large becomes infinite
            values = np.asarray(table.data, _kind(table))
    except (ValueError, TypeError, OverflowError):
        raise Unusable(f"sent no numbers for output {table.name!r}") from None
    if values.size != prod(table.shape):
        raise Unusable(_wrong_size(table))
    return values.reshape(table.shape)


def from_raw(table: Output, data: memoryview) -> Tensor | list[bytes]:
    """Return the values of an output in the binary part; those of the type BYTES as a list. Raises Unusable."""
    if table.datatype == BYTES:
        texts = _texts(table, data)
        if len(texts) != prod(table.shape):
            raise Unusable(_wrong_size(table))
        return texts
    kind = _kind(table)
    if len(data) != prod(table.shape) * kind.itemsize:
        raise Unusable(_wrong_size(table))
    return np.frombuffer(data, kind).reshape(table.shape)


def _texts(table: Output, data: memoryview) -> list[bytes]:
    """Return the texts: each is preceded by its length, four bytes, little-endian. Raises Unusable."""
    texts, place = [], 0
    while place < len(data):
        end = place + 4
        if end > len(data) or (length := struct.unpack_from("<I", data, place)[0]) > len(data) - end:
            raise Unusable(f"sent an incomplete output {table.name!r}")
        texts.append(bytes(data[end : end + length]))
        place = end + length
    return texts


def _kind(table: Output) -> np.dtype[Any]:
    if table.datatype not in _KINDS:
        raise Unusable(f"sent output {table.name!r} of the type {one_line(table.datatype)}, which is not supported")
    return _KINDS[table.datatype]


def _wrong_size(table: Output) -> str:
    return f"sent output {table.name!r} whose number of values does not fit its shape {list(table.shape)}"

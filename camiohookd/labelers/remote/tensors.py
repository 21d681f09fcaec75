"""The values of tensors in the Open Inference Protocol: arrays ─▶ bytes, JSON or bytes ─▶ arrays.

Sources: as in `protocol`.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np

from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.remote.unusable import Unusable, one_line

NOT_READABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""msgspec's exceptions for bytes that are not the expected JSON, and for JSON nested too deeply."""

BYTES = "BYTES"
FLOATS = ("FP32", "FP16", "FP64")
"""The types of numbers that outputs may have."""

_KINDS: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("<u1"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

_MOST_AXES = 8
"""The most axes that are read; no model's output has as many."""

Shape = tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class Parameters(msgspec.Struct):
    """The parameters of an output that are used."""

    binary_data_size: int | None = None


class Described(msgspec.Struct):
    """One output of an answer, as the JSON part describes it."""

    name: str
    datatype: str
    shape: Shape
    parameters: Parameters | None = None

    @property
    def shown(self) -> str:
        """The name for an error."""
        return repr(one_line(self.name))


class Output(Described):
    """An output with a flat list of values, which most servers send. Decoding takes half the time of a nested list."""

    data: list[float | str] | None = None


class UnreadOutput(Described):
    """An output whose values are decoded only if they are used; they may be nested lists."""

    data: msgspec.Raw = msgspec.Raw(b"null")


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


def from_json(table: Output | UnreadOutput) -> Tensor | list[bytes]:
    """Return the values of an output in the JSON part; those of the type BYTES as a list. Raises Unusable."""
    listed = table.data if isinstance(table, Output) else _read(table)
    if table.datatype == BYTES:
        texts = [each.encode() for each in listed or () if isinstance(each, str)]
        if listed is None or len(texts) != len(listed):
            raise Unusable(f"sent no texts for output {table.shown}")
        if len(texts) != prod(table.shape):
            raise Unusable(_wrong_size(table))
        return texts
    kind = _kind(table)
    try:
        values = np.asarray(listed)
    except ValueError:  # lists of different lengths
        values = None
    if values is None or values.dtype.kind != "f":
        raise Unusable(f"sent no numbers for output {table.shown}")
    if values.ndim > 1 and values.shape != table.shape:
        raise Unusable(_wrong_size(table))
    with np.errstate(all="ignore"):  # what is too large becomes infinite
        return _shaped(values.astype(kind), table)


def _read(table: UnreadOutput) -> list[Any] | None:
    """Return the values of an output: a flat list, or one that is nested as its shape says; None if it is neither."""
    depths = (1,) if table.datatype == BYTES else (1, max(1, min(len(table.shape), _MOST_AXES)))
    for depth in depths:
        try:
            found: list[Any] = msgspec.json.decode(table.data, type=_lists(depth))
        except NOT_READABLE:
            continue
        return found
    return None


def from_raw(table: Described, data: memoryview) -> Tensor | list[bytes]:
    """Return the values of an output in the binary part; those of the type BYTES as a list. Raises Unusable."""
    if table.datatype == BYTES:
        texts = _texts(table, data)
        if len(texts) != prod(table.shape):
            raise Unusable(_wrong_size(table))
        return texts
    kind = _kind(table)
    if len(data) % kind.itemsize:
        raise Unusable(_wrong_size(table))
    return _shaped(np.frombuffer(data, kind), table)


def _shaped(values: Tensor, table: Described) -> Tensor:
    if values.size != prod(table.shape):
        raise Unusable(_wrong_size(table))
    try:
        return values.reshape(table.shape)
    except (ValueError, OverflowError):  # more axes than NumPy has, or a length beyond its integers
        raise Unusable(_wrong_size(table)) from None


@lru_cache
def _lists(depth: int) -> Any:
    """Return the type of lists of numbers or texts that are nested so deeply."""
    found: Any = float | str
    for _ in range(depth):
        found = list[found]
    return found


def _texts(table: Described, data: memoryview) -> list[bytes]:
    """Return the texts: each is preceded by its length, four bytes, little-endian. Raises Unusable."""
    texts, place = [], 0
    while place < len(data):
        end = place + 4
        if end > len(data) or (length := struct.unpack_from("<I", data, place)[0]) > len(data) - end:
            raise Unusable(f"sent an incomplete output {table.shown}")
        texts.append(bytes(data[end : end + length]))
        place = end + length
    return texts


def _kind(table: Described) -> np.dtype[Any]:
    if table.datatype not in FLOATS:
        found = one_line(table.datatype)
        raise Unusable(f"sent output {table.shown} of the type {found}, expected {' or '.join(FLOATS)}")
    return _KINDS[table.datatype]


def _wrong_size(table: Described) -> str:
    shape = one_line(list(table.shape[:_MOST_AXES]))
    return f"sent output {table.shown} whose number of values does not fit its shape {shape}"

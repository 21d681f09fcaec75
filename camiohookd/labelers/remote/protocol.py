"""The Open Inference Protocol's messages: tensors ─▶ a request, an answer ─▶ tensors. Nothing here uses the network.

Sources: https://github.com/kserve/open-inference-protocol (``specification/protocol/inference_rest.md``), and for the
binary form https://github.com/triton-inference-server/server (``docs/protocol/extension_binary_data.md``).
"""

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from camiohookd.labelers.onnx.runner import Tensor

HEAD_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON part of a body in the binary form."""

NOT_READABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that is expected, or that nests too deeply."""

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
_MOST_TEXT = 200

Shape = tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class Unusable(Exception):
    """What a server sent cannot be used; the text says why, and begins with a verb: "answered 500"."""


class Body(NamedTuple):
    """The body of a request, and its headers."""

    data: bytes
    headers: Mapping[str, str]


def files(each: Sequence[bytes]) -> Tensor:
    """Return files as an array of objects, a tensor of the type BYTES."""
    array = np.empty(len(each), object)
    array[:] = each
    return array


class Answer(NamedTuple):
    """The tensors of an answer by their name, and the version of the model that made them ("" if it does not say).

    A tensor of the type BYTES is a list of bytes.
    """

    outputs: Mapping[str, "Tensor | list[bytes]"]
    version: str


class Identity(NamedTuple):
    """What an answer has to repeat, if it says it: the request's `id`, the `model`, and its `version` ("": any)."""

    id: str
    model: str
    version: str


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: Shape
    data: Any = None
    parameters: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    outputs: list[_Output] | None = None
    id: str | None = None
    model_name: str | None = None
    model_version: str | int | None = None
    error: Any = None


def request(number: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], *, binary: bool) -> Body:
    """Return a request for the named outputs, with the id `number`: some servers fail without one.

    An array of objects, which are bytes, becomes a tensor of the type BYTES; in JSON they are sent as base64, which a
    parameter says.
    """
    tables, tail = [], []
    for name, value in inputs.items():
        table: dict[str, Any] = {"name": name, "shape": list(value.shape), "datatype": _datatype(value)}
        if binary:
            raw = _raw(value)
            table["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        elif value.dtype == object:
            table["parameters"] = {"content_type": "base64"}
            table["data"] = [b64encode(each).decode() for each in value.ravel()]
        else:
            table["data"] = value.ravel().tolist()
        tables.append(table)
    message: dict[str, Any] = {"id": number, "inputs": tables, "outputs": [{"name": name} for name in outputs]}
    if not binary:
        return Body(msgspec.json.encode(message), {"Content-Type": "application/json"})
    message["parameters"] = {"binary_data_output": True}
    head = msgspec.json.encode(message)
    headers = {"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(head))}
    return Body(b"".join([head, *tail]), headers)


def answer(data: bytes, head_length: str | None, asked: Identity, outputs: Sequence[str]) -> Answer:
    """Return the named `outputs` in the body of an answer; `head_length` is the header `HEAD_LENGTH`.

    Raises Unusable.
    """
    head, tail = _split(data, head_length)
    message = _decoded(head)
    _check_identity(message, asked)
    tables = {table.name: table for table in message.outputs or ()}
    found: dict[str, Tensor | list[bytes]] = {}
    place = 0
    for table in message.outputs or ():
        size = (table.parameters or {}).get("binary_data_size")
        if size is None:
            found[table.name] = _from_json(table)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(tail) - place:
            raise Unusable(f"broke off in output {table.name!r}")
        found[table.name] = _from_raw(table, tail[place : place + size])
        place += size
    if place != len(tail):
        raise Unusable(f"sent {len(tail) - place} bytes more than its outputs have")
    if missing := [name for name in outputs if name not in tables]:
        raise Unusable(f"left out {', '.join(missing)}")
    return Answer({name: found[name] for name in outputs}, str(message.model_version or ""))


def error_text(data: bytes) -> str:
    """Return what the body of an error says, in one line, or ""."""
    try:
        told = msgspec.json.decode(data, type=dict[str, Any])
    except NOT_READABLE:
        return ""
    return _one_line(told.get("error") or told.get("detail") or "")


def _split(data: bytes, head_length: str | None) -> tuple[bytes, memoryview]:
    if head_length is None:
        return data, memoryview(b"")
    if not (head_length.isascii() and head_length.isdigit()) or int(head_length) > len(data):
        raise Unusable(f"sent a wrong {HEAD_LENGTH}, or its answer broke off")
    return data[: int(head_length)], memoryview(data)[int(head_length) :]


def _decoded(head: bytes) -> _Answer:
    try:
        message = msgspec.json.decode(head, type=_Answer)
    except NOT_READABLE as error:
        raise Unusable(f"sent an answer that is not one of this protocol: {error}") from None
    if message.error:
        raise Unusable(f"reported an error: {_one_line(message.error)}")
    return message


def _check_identity(message: _Answer, asked: Identity) -> None:
    if message.id not in (None, "", asked.id):
        raise Unusable("answered another request")
    if message.model_name not in (None, "", asked.model):
        raise Unusable(f"answered with the model {_one_line(message.model_name)!r}, asked was {asked.model!r}")
    if asked.version and message.model_version not in (None, "") and str(message.model_version) != asked.version:
        raise Unusable(f"answered with version {_one_line(message.model_version)}, asked was {asked.version}")


def _from_json(table: _Output) -> Tensor | list[bytes]:
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


def _from_raw(table: _Output, raw: memoryview) -> Tensor | list[bytes]:
    if table.datatype == BYTES:
        texts = _texts(table, raw)
        if len(texts) != prod(table.shape):
            raise Unusable(_wrong_size(table))
        return texts
    kind = _kind(table)
    if len(raw) != prod(table.shape) * kind.itemsize:
        raise Unusable(_wrong_size(table))
    return np.frombuffer(raw, kind).reshape(table.shape)


def _texts(table: _Output, raw: memoryview) -> list[bytes]:
    """Each is its length, four bytes with the lowest first, and then itself."""
    texts, place = [], 0
    while place < len(raw):
        end = place + 4
        if end > len(raw) or (length := struct.unpack_from("<I", raw, place)[0]) > len(raw) - end:
            raise Unusable(f"broke off in output {table.name!r}")
        texts.append(bytes(raw[end : end + length]))
        place = end + length
    return texts


def _kind(table: _Output) -> np.dtype[Any]:
    if table.datatype not in _KINDS:
        raise Unusable(f"sent output {table.name!r} of the type {_one_line(table.datatype)}, which is not supported")
    return _KINDS[table.datatype]


def _wrong_size(table: _Output) -> str:
    return f"sent output {table.name!r} with more or less values than its shape {list(table.shape)} has"


def kind_of(datatype: str) -> np.dtype[Any] | None:
    """Return the type of numbers by the protocol's name, None if it is not one of numbers."""
    return _KINDS.get(datatype)


def _datatype(value: Tensor) -> str:
    return BYTES if value.dtype == object else _NAMES[value.dtype.newbyteorder("<")]


def _raw(value: Tensor) -> bytes:
    if value.dtype == object:
        return b"".join(part for each in value.ravel() for part in (struct.pack("<I", len(each)), each))
    return np.ascontiguousarray(value).tobytes()


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_MOST_TEXT]

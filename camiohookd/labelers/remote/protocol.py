"""The Open Inference Protocol's messages: tensors ─▶ a request, an answer ─▶ tensors. Nothing here uses the network.

Sources: https://github.com/kserve/open-inference-protocol (``specification/protocol/inference_rest.md``), and for the
binary form https://github.com/triton-inference-server/server (``docs/protocol/extension_binary_data.md``).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.remote.tensors import (
    BYTES,
    NOT_READABLE,
    Output,
    UnreadOutput,
    datatype_of,
    from_json,
    from_raw,
    numbers,
    raw,
)
from camiohookd.labelers.remote.unusable import Unusable, one_line

HEAD_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON part of a body in the binary form."""

UNCOUNTED, MOST_VALUES, MOST_OBJECTS = 8 << 20, 1 << 22, 100_000
"""JSON of at most `UNCOUNTED` bytes is always read; longer JSON only with at most so many values and objects, because
decoding takes up to 20 times its length in memory."""

Each = TypeVar("Each")

_MOST_SHOWN = 1000
_MOST_DIGITS = 19


class Body(NamedTuple):
    """The body of a request, and its headers."""

    data: bytes
    headers: Mapping[str, str]


class InferenceResponse(NamedTuple):
    """The tensors of an answer by their name, and the version of the model that made them ("" if it does not say).

    A tensor of the type BYTES is a list of bytes. `binary` says that the answer came in the binary form.
    """

    outputs: Mapping[str, "Tensor | list[bytes]"]
    version: str
    binary: bool


class Identity(NamedTuple):
    """What an answer has to repeat, if it says it: the request's `id`, the `model`, and its `version` ("": any)."""

    id: str
    model: str
    version: str


class _Answer(msgspec.Struct, Generic[Each]):
    outputs: list[Each] | None = None
    id: str | None = None
    model_name: str | None = None
    model_version: str | int | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Error(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"null")
    detail: msgspec.Raw = msgspec.Raw(b"null")


def request(number: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], *, binary: bool) -> Body:
    """Return a request for the named outputs, with the id `number`: some servers fail without one.

    An array of objects, which are bytes, becomes a tensor of the type BYTES; in JSON they are sent as base64, which a
    parameter says.
    """
    tables, tail = [], []
    for name, value in inputs.items():
        table: dict[str, Any] = {"name": name, "shape": list(value.shape), "datatype": datatype_of(value)}
        if binary:
            data = raw(value)
            table["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        elif value.dtype == object:
            table["parameters"] = {"content_type": "base64"}
            table["data"] = [b64encode(each).decode() for each in value.ravel()]
        else:
            table["data"] = numbers(value)
        tables.append(table)
    message: dict[str, Any] = {"id": number, "inputs": tables, "outputs": [{"name": name} for name in outputs]}
    if not binary:
        return Body(msgspec.json.encode(message), {"Content-Type": "application/json"})
    # Triton and KServe answer a named output in JSON, which is several times slower, unless that output itself asks for
    # bytes. Other servers read the request's parameter only.
    message["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    message["parameters"] = {"binary_data_output": True}
    head = msgspec.json.encode(message)
    headers = {"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(head))}
    return Body(b"".join([head, *tail]), headers)


def answer(
    data: bytes, head_length: str | None, asked: Identity, outputs: Sequence[str], *, texts: bool = False
) -> InferenceResponse:
    """Return the named `outputs` in the body of an answer; `head_length` is the header `HEAD_LENGTH`.

    They have to be of the type BYTES if `texts`, else numbers. What else the server sends is not read. Raises Unusable.
    """
    head, tail = _split(data, head_length)
    message = _decoded(head)
    _check_identity(message, asked)
    found: dict[str, Tensor | list[bytes]] = {}
    place = 0
    for table in message.outputs or ():
        size = table.parameters.binary_data_size if table.parameters else None
        if size is not None and not 0 <= size <= len(tail) - place:
            raise Unusable(f"sent an incomplete output {table.shown}")
        if table.name in outputs:
            if table.name in found:
                raise Unusable(f"sent output {table.shown} twice")
            if texts != (table.datatype == BYTES):
                expected = "texts" if texts else "numbers"
                raise Unusable(f"sent output {table.shown} of the type {one_line(table.datatype)}, expected {expected}")
            found[table.name] = from_json(table) if size is None else from_raw(table, tail[place : place + size])
        place += size or 0
    if place != len(tail):
        raise Unusable(f"sent {len(tail) - place} bytes more than its outputs have")
    if missing := [name for name in outputs if name not in found]:
        raise Unusable(f"sent no output {', '.join(missing)}")
    return InferenceResponse(
        {name: found[name] for name in outputs}, str(message.model_version or ""), head_length is not None
    )


def error_text(data: bytes) -> str:
    """Return what the body of an error says, in one line, or ""."""
    try:
        told = msgspec.json.decode(data, type=_Error)
    except NOT_READABLE:
        return ""
    return _plain(told.error) or _plain(told.detail)


def too_large(data: bytes) -> bool:
    """Return whether a text of JSON has more values than are read; it takes time to count, so only a long one can."""
    return len(data) > UNCOUNTED and (data.count(b",") > MOST_VALUES or data.count(b"{") > MOST_OBJECTS)


def _plain(value: msgspec.Raw) -> str:
    """Return a value that says what is wrong, in one line, or "" for one that says nothing."""
    text = bytes(value)
    if text in (b"null", b"false", b'""'):
        return ""
    try:
        return one_line(msgspec.json.decode(text, type=str))
    except NOT_READABLE:
        return one_line(text[:_MOST_SHOWN].decode("utf-8", "replace"))


def _split(data: bytes, head_length: str | None) -> tuple[bytes, memoryview]:
    if head_length is None:
        return data, memoryview(b"")
    digits = head_length.isascii() and head_length.isdigit() and len(head_length) <= _MOST_DIGITS
    if not digits or int(head_length) > len(data):
        raise Unusable(f"sent a wrong {HEAD_LENGTH}, or an incomplete answer")
    return data[: int(head_length)], memoryview(data)[int(head_length) :]


def _decoded(head: bytes) -> _Answer[Output] | _Answer[UnreadOutput]:
    if too_large(head):
        raise Unusable("sent an answer with too many values")
    message: _Answer[Output] | _Answer[UnreadOutput]
    try:
        try:
            message = msgspec.json.decode(head, type=_Answer[Output])
        except msgspec.ValidationError:
            message = msgspec.json.decode(head, type=_Answer[UnreadOutput])
    except NOT_READABLE as error:
        raise Unusable(f"sent an answer that does not follow the protocol: {one_line(error)}") from None
    if told := _plain(message.error):
        raise Unusable(f"reported an error: {told}")
    return message


def _check_identity(message: _Answer[Any], asked: Identity) -> None:
    if message.id not in (None, "", asked.id):
        raise Unusable("answered another request")
    if message.model_name not in (None, "", asked.model):
        raise Unusable(f"answered with the model {one_line(message.model_name)!r}, expected {asked.model!r}")
    if asked.version and message.model_version not in (None, "") and str(message.model_version) != asked.version:
        raise Unusable(f"answered with version {one_line(message.model_version)}, expected {asked.version}")

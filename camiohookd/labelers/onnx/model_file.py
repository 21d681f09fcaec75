"""Change a model's file without running it: parts of an ONNX file are replaced, all others stay byte for byte.

    file ─▶ `read_whole`  its bytes, with the weights that it keeps in files beside it
         ─▶ `stripped`    without constants that are also listed as inputs: ONNX Runtime is slower with them
         ─▶ `resized`     with another width and height

The numbers of the fields are those of https://github.com/onnx/onnx, `onnx/onnx.proto`.
"""

from collections.abc import Mapping
from pathlib import Path

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.protobuf import NotAMessage, fields, message, varint
from camiohookd.system.permissions import reason

MAX_BYTES = 2**31 - 1
"""The most that a protobuf message, and so an ONNX file, may hold."""

_IR_VERSION, _GRAPH = 1, 7  # of ModelProto
_FREE_INITIALIZERS = 4  # the IR version from which a constant need not be an input, too
_INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 5, 11, 12, 13  # of GraphProto
_NAME_OF_TENSOR, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 8, 9, 13, 14  # of TensorProto
_NAME_OF_VALUE, _TYPE = 1, 2  # of ValueInfoProto
_TENSOR_TYPE, _ELEMENT, _SHAPE = 1, 1, 2  # of TypeProto, TypeProto.Tensor
_DIM, _DIM_VALUE, _DIM_PARAM = 1, 1, 2  # of TensorShapeProto, Dimension
_EXTERNAL = 1  # TensorProto.DataLocation


def read_whole(file: Path) -> bytes:
    """Return the bytes of a model's file; include the weights that it keeps in files beside it.

    Raises ModelError.
    """
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{file}: the file has {size / 1e9:.1f} GB; no ONNX file has more than 2 GB")
        return _with_external_data(file.read_bytes(), file)
    except OSError as error:
        raise ModelError(f"cannot read {file}: {reason(error, file)}") from error


def stripped(model: bytes) -> bytes:
    """Return the model without those inputs that have a value in the file: they are constants, not inputs.

    Files of the oldest form must list them as inputs, and ONNX Runtime takes them for constants there.
    """
    try:
        graph = _graph(model)
        if _ir_version(model) < _FREE_INITIALIZERS:
            return model
        names = {_text(field.data, _NAME_OF_TENSOR) for field in fields(graph) if field.number == _INITIALIZER}
        if not any(_text(field.data, _NAME_OF_VALUE) in names for field in fields(graph) if field.number == _INPUT):
            return model
        kept = (
            field.whole
            for field in fields(graph)
            if field.number != _INPUT or _text(field.data, _NAME_OF_VALUE) not in names
        )
        return _with_graph(model, b"".join(kept))
    except NotAMessage:
        return model  # ONNX Runtime reports the error when it loads it


def resized(model: bytes, name: str, shape: tuple[int, ...], free: Mapping[int, str]) -> bytes:
    """Return the model with the `shape` for its input `name`; axes in `free` stay open and have that name.

    All other shapes in the file are opened, because they follow from the input's. Whether the graph works with the
    shape is known when it runs.
    """
    parts: list[bytes | memoryview] = []
    try:
        for field in fields(_graph(model)):
            if field.number == _VALUE_INFO:
                continue
            if field.number == _INPUT and _text(field.data, _NAME_OF_VALUE) == name:
                dims = [free.get(axis, length) for axis, length in enumerate(shape)]
                parts.append(message(_INPUT, _value_info(field.data, dims)))
            elif field.number == _OUTPUT:
                rank = len(_dims(field.data))
                names = [f"{_text(field.data, _NAME_OF_VALUE)} axis {axis}" for axis in range(rank)]
                parts.append(message(_OUTPUT, _value_info(field.data, names)))
            else:
                parts.append(field.whole)
        return _with_graph(model, b"".join(parts))
    except NotAMessage:
        return model


def _with_external_data(model: bytes, file: Path) -> bytes:
    """Put the weights of tensors that are in other files into the model. Raises ModelError, OSError."""
    try:
        graph = _graph(model)
        outside = [field for field in fields(graph) if field.number == _INITIALIZER and _is_external(field.data)]
        if not outside:
            return model
        total = len(model) + sum(int(_external(field.data).get("length", "0")) for field in outside)
        if total > MAX_BYTES:
            raise ModelError(f"{file}: the model has {total / 1e9:.1f} GB; at most 2 GB are supported")
        parts = [
            message(_INITIALIZER, _inlined(field.data, file)) if field in outside else field.whole
            for field in fields(graph)
        ]
        return _with_graph(model, b"".join(parts))
    except ValueError:  # not a protobuf message, or text in place of a number
        return model  # ONNX Runtime reports the error when it loads it


def _is_external(tensor: memoryview) -> bool:
    return any(field.number == _DATA_LOCATION and field.value == _EXTERNAL for field in fields(tensor))


def _external(tensor: memoryview) -> dict[str, str]:
    """Return `location`, `offset` and `length` of a tensor's weights."""
    entries = [field.data for field in fields(tensor) if field.number == _EXTERNAL_DATA]
    return {_text(entry, 1): _text(entry, 2) for entry in entries}


def _inlined(tensor: memoryview, file: Path) -> bytes:
    where = _external(tensor)
    beside = file.parent / where.get("location", "")
    if beside.resolve().parent != file.parent.resolve():
        raise ModelError(
            f"{file}: its weights are in {where.get('location')!r}, outside its folder; put both into one folder"
        )
    try:
        with beside.open("rb") as stream:
            stream.seek(int(where.get("offset", "0")))
            data = stream.read(int(where["length"]) if "length" in where else -1)
    except OSError as error:
        raise ModelError(f"{file}: its weights are in {beside.name}, which cannot be read: {error.strerror}") from error
    if len(data) < int(where.get("length", "0")):
        raise ModelError(f"{file}: its weights are in {beside.name}, which is too short: copy the file again")
    kept = [field.whole for field in fields(tensor) if field.number not in (_EXTERNAL_DATA, _DATA_LOCATION, _RAW_DATA)]
    return b"".join([*kept, message(_RAW_DATA, data)])


def _graph(model: bytes) -> memoryview:
    for field in fields(memoryview(model)):
        if field.number == _GRAPH:
            return field.data
    raise NotAMessage


def _ir_version(model: bytes) -> int:
    versions = [each.value for each in fields(memoryview(model)) if each.number == _IR_VERSION]
    return versions[0] if versions and isinstance(versions[0], int) else 0


def _with_graph(model: bytes, graph: bytes) -> bytes:
    parts = (message(_GRAPH, graph) if field.number == _GRAPH else field.whole for field in fields(memoryview(model)))
    return b"".join(parts)


def _value_info(value: memoryview, dims: list[int | str] | list[str]) -> bytes:
    """Return the ValueInfoProto with other dimensions."""
    shape = b"".join(message(_DIM, _dimension(each)) for each in dims)
    tensor = next((field.data for field in fields(_type(value)) if field.number == _TENSOR_TYPE), memoryview(b""))
    kept = b"".join(field.whole for field in fields(tensor) if field.number == _ELEMENT)
    kind = message(_TENSOR_TYPE, kept + message(_SHAPE, shape))
    name = _text(value, _NAME_OF_VALUE).encode()
    return message(_NAME_OF_VALUE, name) + message(_TYPE, kind)


def _dimension(length: int | str) -> bytes:
    if isinstance(length, str):
        return message(_DIM_PARAM, length.encode())
    return varint(_DIM_VALUE << 3) + varint(length)


def _type(value: memoryview) -> memoryview:
    return next((field.data for field in fields(value) if field.number == _TYPE), memoryview(b""))


def _dims(value: memoryview) -> list[memoryview]:
    tensor = next((field.data for field in fields(_type(value)) if field.number == _TENSOR_TYPE), memoryview(b""))
    shape = next((field.data for field in fields(tensor) if field.number == _SHAPE), memoryview(b""))
    return [field.data for field in fields(shape) if field.number == _DIM]


def _text(message: memoryview, number: int) -> str:
    for field in fields(message):
        if field.number == number:
            return bytes(field.data).decode(errors="replace")
    return ""

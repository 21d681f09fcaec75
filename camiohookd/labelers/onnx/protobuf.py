"""Read and write the fields of a protobuf message: https://protobuf.dev/programming-guides/encoding/.

An ONNX file is one such message. The library `onnx` would take 20 MB more in the package for the few fields that are
needed.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Field(NamedTuple):
    """One field of a message: `value` is a number or bytes, `whole` the field as it is in the file."""

    number: int
    value: int | memoryview
    whole: memoryview

    @property
    def data(self) -> memoryview:
        if isinstance(self.value, int):
            raise NotAMessage
        return self.value


class NotAMessage(ValueError):
    """The bytes are not a protobuf message."""


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message. Its form: https://protobuf.dev/programming-guides/encoding/."""
    start = 0
    while start < len(message):
        key, at = _read_varint(message, start)
        match key & 7:
            case 0:
                number, end = _read_varint(message, at)
                yield Field(key >> 3, number, message[start:end])
            case 2:
                length, at = _read_varint(message, at)
                end = at + length
                if end > len(message):
                    raise NotAMessage
                yield Field(key >> 3, message[at:end], message[start:end])
            case 1 | 5 as kind:
                end = at + (8 if kind == 1 else 4)
                if end > len(message):
                    raise NotAMessage
                yield Field(key >> 3, message[at:end], message[start:end])
            case _:
                raise NotAMessage
        start = end


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise NotAMessage


def varint(number: int) -> bytes:
    """Return a number as it is written: 7 bits a byte, the lowest first."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def message(number: int, data: bytes) -> bytes:
    """Return the field `number` with a message, text or bytes in it."""
    return varint(number << 3 | 2) + varint(len(data)) + data

"""Decodes JSON into plain values: with msgspec, or with a slower reader if only msgspec refuses the text.

Valid JSON may contain what msgspec refuses: a number beyond every float, an integer of thousands of digits, an escape
that is half of a surrogate pair (RFC 8259, sections 6 and 8.2). In a field that is not used, such a value must not make
the event unusable. The number becomes a `msgspec.Raw` that is written as a string of its digits; the text keeps its
half pairs, which cannot be written, until `mend` replaces them.
"""

import codecs
import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from camiohookd.errors import PayloadError

LONGEST_INTEGER = 4000  # digits; msgspec and Python take up to 4300

HALF_PAIR = re.compile("[\ud800-\udfff]")

_JSON_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}

_MSGSPEC_PLACE = re.compile(r"\(byte ([0-9]+)\)")

# A string, also one without an end; then some of them with what is between, so that a search takes a fraction of a ms.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_SOME_STRINGS = re.compile(rb'(?:[^"]++|"(?:[^"\\]|\\.)*+"?){1,2000}', re.DOTALL)

_decoder = msgspec.json.Decoder()


def decode(body: bytes | bytearray, place: Callable[[int], int] = lambda offset: offset) -> Any:
    """Return the value of a UTF-8 JSON text, with or without a byte order mark.

    Errors name `place(offset)` for the byte `offset` of the text.

    Raises `PayloadError` if it is not JSON, and RecursionError if it is nested too deep.
    """
    has_mark = body.startswith(codecs.BOM_UTF8)  # removeprefix copies a bytearray
    text = body.removeprefix(codecs.BOM_UTF8) if has_mark else body
    try:
        return _decoder.decode(text)
    except UnicodeDecodeError:
        raise not_json("it is not UTF-8") from None
    except msgspec.DecodeError as refusal:
        before = len(codecs.BOM_UTF8) if has_mark else 0
        return _decode_tolerantly(text, str(refusal), lambda offset: place(offset + before))


def has_more_values(text: bytes, limit: int) -> bool:
    """Return whether a JSON text holds more than `limit` values (an empty list or object counts as two).

    A value takes up to fifty times its bytes once it is decoded, and decoding lets no other thread work. So they are
    counted in the text: by its commas and opening brackets, without those in strings if there are many.
    """
    return _values(text) > limit and _values(_without_strings(text)) > limit


def brackets(text: bytes | bytearray) -> int:
    """Return the number of opening brackets in a JSON text: no value is nested deeper than that."""
    return text.count(b"[") + text.count(b"{")


def _values(text: bytes | bytearray) -> int:
    return 1 + text.count(b",") + brackets(text)


def _without_strings(text: bytes) -> bytearray:
    bare = bytearray()
    start = 0
    while (some := _SOME_STRINGS.match(text, start)) is not None:
        bare += _STRING.sub(b"", some[0])
        start = some.end()
    return bare


def kind_of(value: Any) -> str:
    """Return what JSON calls a decoded value, for messages."""
    return _JSON_NAMES.get(type(value), "a number")


def mend(value: Any) -> Any:
    """Return a decoded value with `mend_text` applied to all its texts, including the names of members."""
    match value:
        case str():
            return mend_text(value)
        case list():
            return [mend(one) for one in value]
        case dict():
            return {mend_text(name): mend(one) for name, one in value.items()}
    return value


def mend_text(text: str) -> str:
    """Return `text` with U+FFFD instead of every half of a surrogate pair."""
    return HALF_PAIR.sub("\N{REPLACEMENT CHARACTER}", text)


def _decode_tolerantly(body: bytes | bytearray, refusal: str, place: Callable[[int], int]) -> Any:
    try:
        return json.loads(body.decode(), parse_float=_float, parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError:
        raise not_json("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise not_json(_reason(refusal, error, place)) from None


def _float(digits: str) -> float | msgspec.Raw:
    number = float(digits)
    return number if math.isfinite(number) else _as_text(digits)


def _integer(digits: str) -> int | msgspec.Raw:
    return int(digits) if len(digits) <= LONGEST_INTEGER else _as_text(digits)


def _constant(name: str) -> Any:
    raise not_json(f"{name} is not a JSON number")


def _as_text(digits: str) -> msgspec.Raw:
    return msgspec.Raw(f'"{digits}"'.encode())


def _reason(refusal: str, error: json.JSONDecodeError, place: Callable[[int], int]) -> str:
    """Say what is wrong and where, in msgspec's words if it names the byte."""
    left = error.doc[error.pos :].rstrip()
    if error.msg.startswith("Unterminated") or any(word.startswith(left) for word in ("true", "false", "null", "-")):
        return f"it ends too early, at byte {place(len(error.doc.encode()))}"
    if found := _MSGSPEC_PLACE.search(refusal):
        return f"{refusal[: found.start()].removeprefix('JSON is malformed: ')}(byte {place(int(found[1]))})"
    return f"{error.msg} (byte {place(len(error.doc[: error.pos].encode()))})"


def not_json(reason: str) -> PayloadError:
    """Return the error for a body that is not JSON because of `reason`."""
    return PayloadError("not_json", f"the body is not JSON: {reason}")

"""Cuts the base64 of the pictures out of a posted body, so that what is left is small before it is decoded.

    body ─▶ `cut_pictures` ─▶ `CutBody`: `json`, with a mark instead of each long text ─▶ `json_body.decode`
                                         `texts`, still bytes of the body, decoded one at a time

JSON takes up to fifty times its bytes as Python objects, and decoding it holds the interpreter's lock. An event is
nearly all pictures, so everything else is limited to a few hundred kilobytes here, by searching the bytes alone.

In valid JSON, ``"image_b64"`` followed by a colon and not preceded by a backslash is always the name of a member:
inside a string its quotes would be escaped. If the JSON is not valid, what is left of it is not valid either.
"""

import codecs
import re
import secrets
from collections.abc import Collection, Sequence

import pybase64
from xxhash import xxh3_128_hexdigest

from camiohookd.errors import PayloadError
from camiohookd.units import size
from camiohookd.wire import json_body
from camiohookd.wire.json_body import not_json

SHORTEST_CUT = 256  # bytes; a shorter text costs less where it is

_NAME = b'"image_b64"'
_VALUE = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*"')
_QUOTE, _BACKSLASH = b'"', b"\\"
_BLANKS = b" \t\r\n"
_PIECE = 1024 * 1024
# Part of an ASCII string that ends between two escapes (RFC 8259, section 7).
_WHOLE_ESCAPES = re.compile(rb"(?:[^\\]{1,64}|\\u[0-9A-Fa-f]{4}|\\[^u]){1,4096}")
# Part of a string, ended by its closing quote or because it is long enough: no other thread can work during a match.
_STRING_PART = re.compile(rb'(?:[^"\\]{1,64}|\\.){1,4096}', re.DOTALL)
_NO_LETTER = b"?"
_HIGH_BYTES_OUT = bytes(range(0x80)) + _NO_LETTER * 0x80
# Random, so that no sender can write a text that is taken for a mark.
_MARK = f"picture {secrets.token_hex(8)} "


class PictureText:
    """The value of an ``image_b64``: `raw` are the bytes between its quotes in the body."""

    __slots__ = ("raw",)

    def __init__(self, raw: memoryview) -> None:
        self.raw = raw

    def plain(self, max_length: int) -> bytes | None:
        """Return the decoded bytes if this is strict base64 of at most `max_length` characters, otherwise None."""
        if len(self.raw) > max_length:
            return None
        try:
            return pybase64.b64decode(self.raw, validate=True)
        except ValueError:
            return None

    def text(self) -> str:
        """Return the string, with question marks for what is not ASCII and therefore not base64.

        Raises `PayloadError` if it is not the content of a JSON string.
        """
        raw = _ascii(self.raw)
        letters = bytearray()
        start = 0
        while start < len(raw):
            some = _WHOLE_ESCAPES.match(raw, start)
            if some is None:
                raise not_json("a string holds an escape that JSON does not have")
            letters += _letters(some[0])
            start = some.end()
        return letters.decode("ascii")


class CutBody:
    """A body in two parts: `json`, which is small, and the `texts` cut out of it.

    `digest` identifies the whole body (32 hex digits). `pieces` are what is left around the texts.
    """

    def __init__(self, digest: str, texts: Sequence[PictureText], pieces: Sequence[bytes | memoryview]) -> None:
        self.digest = digest
        self.texts = texts
        self._pieces = pieces
        parts: list[bytes | memoryview] = []
        for index, piece in enumerate(pieces[:-1]):
            parts += (piece, _mark(index))
        self.json = b"".join([*parts, pieces[-1]])

    def is_blank(self) -> bool:
        """Return whether the body is empty but for blanks and a byte order mark."""
        return not (self.texts or self.json.removeprefix(codecs.BOM_UTF8).strip(_BLANKS))

    def text_of(self, value: object) -> int | None:
        """Return which of the `texts` the decoded `value` replaces, None for any other value."""
        return int(value.removeprefix(_MARK)) if isinstance(value, str) and value.startswith(_MARK) else None

    def place(self, offset: int) -> int:
        """Return the offset in the body of the byte at `offset` in `json`."""
        at, cut = 0, 0
        for index, text in enumerate(self.texts):
            at += len(self._pieces[index]) + len(_mark(index))
            if offset < at:
                break
            cut += len(text.raw) - len(_mark(index))
        return offset + cut

    def restore(self, pictures: Collection[int], max_bytes: int) -> "CutBody":
        """Return the same body with only the texts `pictures` cut out. Raises `PayloadError` as `cut_pictures`."""
        pieces: list[bytes] = [bytes(self._pieces[0])]
        texts: list[PictureText] = []
        for index, text in enumerate(self.texts):
            if index in pictures:
                texts.append(text)
                pieces.append(bytes(self._pieces[index + 1]))
            elif len(self.json) + len(text.raw) > max_bytes:
                raise _too_much_json(max_bytes)
            else:
                pieces[-1] = b"".join([pieces[-1], text.raw, self._pieces[index + 1]])
        restored = CutBody(self.digest, texts, pieces)
        if len(restored.json) > max_bytes:
            raise _too_much_json(max_bytes)
        return restored


def cut_pictures(body: bytes | bytearray, max_bytes: int, shortest: int = SHORTEST_CUT) -> CutBody:
    """Cut the texts named ``image_b64`` of at least `shortest` bytes out of the JSON text `body`.

    Raises `PayloadError` if more than `max_bytes` bytes are left, or if such a text has no end.
    """
    view = memoryview(body)
    texts: list[PictureText] = []
    pieces: list[memoryview] = []
    kept, end, found = 0, 0, _find(body, _NAME, 0)
    while found >= 0:
        stop = found + len(_NAME)
        value = _VALUE.match(body, stop)
        if value is not None and body[found - 1 : found] != _BACKSLASH:
            start = value.end()
            stop = _end_of_string(body, start)
            if stop - start >= shortest:
                pieces.append(view[end:start])
                texts.append(PictureText(view[start:stop]))
                kept, end = kept + start - end, stop
        if kept + stop - end > max_bytes:
            raise _too_much_json(max_bytes)
        found = _find(body, _NAME, stop)
    pieces.append(view[end:])
    if kept + len(pieces[-1]) > max_bytes:
        pieces[-1] = _without_blanks(pieces[-1], body, max_bytes - kept, max_bytes)
    return CutBody(xxh3_128_hexdigest(body), texts, pieces)


def _mark(index: int) -> bytes:
    return f"{_MARK}{index}".encode()


def _find(body: bytes | bytearray, text: bytes, start: int, end: int | None = None) -> int:
    """Return the first offset from `start` on at which `text` is found, -1 if there is none before `end`.

    The search is done in pieces: no other thread can work during one.
    """
    end = len(body) if end is None else end
    if end - start <= _PIECE:
        return body.find(text, start, end)
    for at in range(start, end, _PIECE):
        found = body.find(text, at, min(at + _PIECE + len(text) - 1, end))
        if found >= 0:
            return found
    return -1


def _end_of_string(body: bytes | bytearray, start: int) -> int:
    """Return the offset of the closing quote of the string that begins at `start`."""
    quote = _find(body, _QUOTE, start)
    if quote >= 0 and body[quote - 1 : quote] == _BACKSLASH:  # otherwise nothing escapes it
        at = _find(body, _BACKSLASH, start, quote)
        while (some := _STRING_PART.match(body, at)) is not None:
            at = some.end()
        quote = at if body[at : at + 1] == _QUOTE else -1
    if quote < 0:
        raise not_json(f"it ends too early, at byte {len(body)}")
    return quote


def _without_blanks(rest: memoryview, body: bytes | bytearray, room: int, max_bytes: int) -> memoryview:
    """Return `rest`, the end of `body`, without trailing blanks. Raises `PayloadError` if it has over `room` bytes."""
    if body[:_PIECE].lstrip(codecs.BOM_UTF8).lstrip(_BLANKS)[:1] not in (b"", b"{", b"["):
        raise not_json("it does not begin with { (byte 0)")
    end = len(rest)
    while end > room:
        piece = bytes(rest[max(room, end - _PIECE) : end])
        text = piece.rstrip(_BLANKS)
        if text:
            raise _too_much_json(max_bytes)
        end -= len(piece)
    return rest[:end]


def _ascii(raw: memoryview) -> bytearray:
    """Return `raw` with question marks for what is not ASCII. Raises `PayloadError` if it is not UTF-8."""
    text = bytearray()
    is_ascii = True
    for start in range(0, len(raw), _PIECE):
        piece = bytes(raw[start : start + _PIECE])
        is_ascii = is_ascii and piece.isascii()
        text += piece if is_ascii else piece.translate(_HIGH_BYTES_OUT)
    if not is_ascii:
        _check_utf8(raw)
    return text


def _check_utf8(raw: memoryview) -> None:
    """Raise `PayloadError` if `raw` is not UTF-8. Checks it in pieces, since the text may take four times its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(raw), _PIECE):
            decoder.decode(raw[start : start + _PIECE], final=start + _PIECE >= len(raw))
    except UnicodeDecodeError:
        raise not_json("it is not UTF-8") from None


def _letters(raw: bytes) -> bytes:
    """Return the text of a part of a JSON string, in ASCII."""
    text: str = json_body.decode(b'"' + raw + b'"')
    return text.encode("ascii", "replace")


def _too_much_json(max_bytes: int) -> PayloadError:
    return PayloadError(
        "too_large", f"the event holds more than {size(max_bytes)} beside its pictures (hook.max_json_bytes)"
    )

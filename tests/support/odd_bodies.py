"""Bodies from a sender with a right key that are large, or need much memory when they are read."""

from collections.abc import Callable
from typing import NamedTuple

SIZE = 32 * 1024 * 1024 - 1024
_IMAGE = b'{"callback_url": "http://127.0.0.1:1/odd", "images": [{"timestamp": "2017", "image_b64": "%b"}]}'
_EMOJI = "\N{GRINNING FACE}".encode()


class Odd(NamedTuple):
    """`make` returns a body, `answer` is the status and code of its answer.

    That of "escapes" is the one of a duplicate: post it once before.
    """

    make: Callable[[], bytes]
    answer: tuple[int, str]


def filled(head: bytes, some: bytes, tail: bytes, size: int = SIZE) -> bytes:
    """Return `head` and `tail` with as many `some` between them as `size` bytes allow."""
    return head + some * ((size - len(head) - len(tail)) // len(some)) + tail


_TOO_LARGE = (400, "too_large")
ODD: dict[str, Odd] = {
    "objects": Odd(lambda: filled(b'{"a":[', b'{"":0},', b"0]}"), _TOO_LARGE),
    "lists": Odd(lambda: filled(b'{"a":[', b"[],", b"0]}"), _TOO_LARGE),
    "numbers": Odd(lambda: filled(b'{"a":[', b"1e999,", b"0]}"), _TOO_LARGE),
    "text": Odd(lambda: filled(b'{"a":"', _EMOJI, b'"}'), _TOO_LARGE),
    "names": Odd(lambda: filled(b"", b'{"image_b64":"",', b""), _TOO_LARGE),
    "400 kB of lists": Odd(lambda: filled(b'{"a":[', b"[],", b"0]}", 400_000), _TOO_LARGE),
    "400 kB of numbers": Odd(lambda: filled(b'{"a":[', b"1e999,", b"0]}", 400_000), _TOO_LARGE),
    "emoji": Odd(lambda: _IMAGE % filled(b"", _EMOJI, b""), (400, "no_usable_picture")),
    "blanks": Odd(lambda: _IMAGE % filled(b"", b"AB? ", b"", 26_000_000), (400, "no_usable_picture")),
    "backslashes": Odd(lambda: _IMAGE % filled(b"", rb"\\", b"", 4_000_000), (400, "no_usable_picture")),
    "quotes": Odd(lambda: _IMAGE % filled(b"", rb"\"", b"", 4_000_000), (400, "no_usable_picture")),
    "escapes": Odd(lambda: _IMAGE % filled(b"", rb"\u0041", b""), (200, "duplicate")),
}

"""The images of a posted event: each is a `Picture`, or is `Rejected`, which does not affect the others.

A timestamp is an opaque key: one that is not an ISO 8601 time is kept as it is, and one of the event's warnings names
them all. An image whose timestamp cannot be sent back byte for byte is rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pybase64

from camiohookd.pictures.file_kind import other_kind
from camiohookd.wire import json_body
from camiohookd.wire.cut_body import PictureText

MAX_TEXT = 200

_DATA_URL = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
_BLANKS = " \t\n\v\f\r\x1c\x1d\x1e\x1f"  # the ASCII characters at which str.split splits
_OTHER_BLANK = re.compile(f"[{_BLANKS.removeprefix(' ')}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Picture:
    """One usable image of an event: `data` is the file's bytes, `timestamp` its opaque key, echoed back as it came."""

    timestamp: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """One image of an event that could not be used, and why; `field` is e.g. ``images[2].image_b64``."""

    field: str
    reason: str


def sort_images(
    images: list[Any], max_base64: int, warnings: list[str]
) -> tuple[tuple[Picture, ...], tuple[Rejected, ...]]:
    """Separate images that can be used from those that cannot; add sentences about what is ignored to `warnings`.

    `max_base64` is the most characters of an image.
    """
    pictures: list[Picture] = []
    rejected: list[Rejected] = []
    no_times: list[str] = []
    for index, image in enumerate(images):
        found = _picture(f"images[{index}]", image, max_base64)
        if isinstance(found, Picture):
            pictures.append(found)
            if not _is_time(found.timestamp):
                no_times.append(f"images[{index}].timestamp")
            warnings.extend(_image_warnings(f"images[{index}]", image))
        else:
            rejected.append(found)
    if no_times:
        warnings.insert(0, _about_timestamps(no_times))
    return tuple(pictures), tuple(rejected)


def _picture(field: str, image: Any, max_base64: int) -> Picture | Rejected:
    if not isinstance(image, dict):
        return Rejected(field, f"it is {json_body.kind_of(image)}, not an object")
    if reason := _odd_timestamp(image.get("timestamp")):
        return Rejected(f"{field}.timestamp", reason)
    text = image.get("image_b64")
    if text is None:
        return Rejected(f"{field}.image_b64", "it is missing")
    if isinstance(text, PictureText):
        if data := text.plain(max_base64):
            return Picture(image["timestamp"], data)
        text = text.text()
    if not isinstance(text, str):
        return Rejected(f"{field}.image_b64", f"it is {json_body.kind_of(text)}, not a string")
    if len(text) > max_base64:
        return Rejected(f"{field}.image_b64", f"it is too long: {len(text):,} characters, allowed are {max_base64:,}")
    data = _decode_base64(text)
    if data is None:
        kind = other_kind(text[:1024].encode(errors="replace"))
        return Rejected(f"{field}.image_b64", f"it is not base64 but {kind}" if kind else "it is not base64")
    if not data:
        return Rejected(f"{field}.image_b64", "it is empty")
    return Picture(image["timestamp"], data)


def _odd_timestamp(timestamp: Any) -> str | None:
    if timestamp is None:
        return "it is missing"
    if not isinstance(timestamp, str):
        return f"it is {json_body.kind_of(timestamp)}, not a string"
    if not timestamp:
        return "it is empty"
    if len(timestamp) > MAX_TEXT:
        return f"it is longer than {MAX_TEXT} characters"
    if _CONTROL.search(timestamp):
        return "it contains control characters"
    if json_body.HALF_PAIR.search(timestamp):
        return "it contains half of a surrogate pair, which cannot be sent back"
    return None


def _decode_base64(text: str) -> bytes | None:
    """Decode base64 in the forms that senders use; None if it is not base64."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        repaired = _plain_base64(text)
    try:
        return None if repaired == text else pybase64.b64decode(repaired, validate=True)
    except ValueError:
        return None


def _plain_base64(text: str) -> str:
    """Return the same base64 without a ``data:`` prefix and blanks, in the plain alphabet and with its padding.

    A ``data:`` URL is that of RFC 2397. MIME breaks base64 into lines (RFC 2045, section 6.8), web forms turn ``+``
    into a blank, the URL-safe alphabet has ``-`` and ``_`` (RFC 4648, section 5), and some leave the padding out
    (section 3.2).
    """
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
    text = text.strip()
    if " " in text and _has_blanks_for_pluses(text):
        text = text.replace(" ", "+")
    text = _without_blanks(text)
    if ("-" in text or "_" in text) and "+" not in text and "/" not in text:
        text = text.translate(_URL_SAFE)
    return text + "=" * (-len(text) % 4)


def _without_blanks(text: str) -> str:
    """Return `text` without blanks. `split` makes an object of each piece, and a large text may have millions."""
    if not text.isascii():
        return "".join(text.split())  # it is not base64, and a short one: see `PictureText.text`
    return text.encode("ascii").translate(None, _BLANKS.encode("ascii")).decode("ascii")


def _has_blanks_for_pluses(text: str) -> bool:
    """Return whether the blanks were plus signs: only then is the length right, or they are at irregular places."""
    if len(text) % 4 or _OTHER_BLANK.search(text):
        return False
    blanks, first = text.count(" "), text.index(" ")
    is_regular = text[first :: first + 1][:blanks] == " " * blanks
    return (len(text) - blanks) % 4 != 0 or not is_regular


def _image_warnings(field: str, image: dict[str, Any]) -> Iterator[str]:
    if not isinstance(image.get("type", ""), str):
        yield f"{field}.type is {json_body.kind_of(image['type'])}, not a string; it is ignored"
    if "size" in image and not _is_size(image["size"]):
        yield f"{field}.size is not [width, height] in pixels; it is ignored"


def _is_time(timestamp: str) -> bool:
    try:
        datetime.fromisoformat(timestamp)
    except ValueError:
        return False
    return True


def _about_timestamps(fields: list[str]) -> str:
    if len(fields) == 1:
        return f"{fields[0]} is not an ISO 8601 time; it is used as it is"
    return f"{fields[0]} and {len(fields) - 1} more are not ISO 8601 times; they are used as they are"


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)

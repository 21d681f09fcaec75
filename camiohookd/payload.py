"""The wire types of Camio's hook contract: an event as it comes in, a reply as it goes out.

A body goes through `parse_event` once: JSON → the required fields, checked → each image either a `Picture` or a
`Rejected` → `Event`. Nothing further inward sees the JSON. `encode_reply` is the way back.

A timestamp is an opaque key: one that is not an ISO 8601 time is kept as it came, and one line of the event's warnings
is about all of them. One that could not be echoed byte for byte costs its picture.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import pybase64
from xxhash import xxh3_128_hexdigest

from camiohookd import jsonbody
from camiohookd.errors import MalformedUrl, PayloadError
from camiohookd.urls import check_url

MAX_TEXT = 200
MAX_REST_BYTES = 1_000_000
MAX_SENTENCES = 10

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_JSON_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Limits:
    """What an event may be: how many images, how deep its JSON is nested, how many bytes a picture's file has."""

    max_images: int = 1000
    max_depth: int = 64
    max_picture_bytes: int = 20_000_000

    @property
    def max_base64(self) -> int:
        """Characters: 4 for 3 bytes, and a line end of two after 76 of them, as MIME breaks it (RFC 2045, 6.8)."""
        characters = -(-self.max_picture_bytes // 3) * 4
        return characters - (-characters // 76) * 2


USUAL_LIMITS = Limits()


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


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded and validated event.

    `rest` is the payload as it came, without the images' base64, and can be written as JSON; `digest` names the body
    (32 hex digits); `warnings` are sentences about what was ignored or replaced.
    """

    callback_url: str
    camera: str | None
    user_id: str | None
    pictures: tuple[Picture, ...]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]
    rest: dict[str, Any]
    digest: str


class Label(msgspec.Struct, frozen=True):
    """`probability` 0..1; `polygon` as (x, y) fractions of the image, (0, 0) the bottom-left corner, y up."""

    probability: float
    polygon: tuple[tuple[float, float], ...] = ()


ImageLabels = dict[str, dict[str, Label]]
"""timestamp → label → `Label`: the form ``labels_format = "image"``."""

LabelsFormat = Literal["image", "event"]


class Reply(msgspec.Struct, frozen=True):
    """What is posted back: labels by image, or (the older form) a flat list for the whole event."""

    labels: ImageLabels | list[str]
    status: Literal["success"] = "success"


def parse_event(body: bytes | bytearray, limits: Limits = USUAL_LIMITS) -> Event:
    """Decode and check one posted event.

    Whatever is wrong with one image costs only that image (`Event.rejected`); an optional field of a wrong type is
    ignored (`Event.warnings`). Raises `PayloadError` if the event as a whole cannot be used, and nothing else.
    """
    payload = _decode_object(body, limits.max_depth)
    callback_url = _callback_url(payload)
    warnings: list[str] = []
    images = _images(payload, limits.max_images)
    pictures, rejected = _sort_images(images, limits.max_base64, warnings)
    if not pictures:
        reasons = "; ".join(_bounded([f"{one.field}: {one.reason}" for one in rejected]))
        raise PayloadError("no_usable_picture", f"no image of the event can be used: {reasons}", rejected[0].field)
    camera = _optional_text(payload, "camera", warnings)
    user_id = _optional_text(payload, "user_id", warnings)
    rest = _rest(payload, images, limits.max_depth, warnings)
    return Event(
        callback_url=callback_url,
        camera=camera,
        user_id=user_id,
        pictures=pictures,
        rejected=rejected,
        warnings=_bounded(warnings),
        rest=rest,
        # 128 bits: no two events meet by chance. Who would forge one has the key, and can post anything anyway.
        digest=xxh3_128_hexdigest(body),
    )


def encode_reply(reply: Reply) -> bytes:
    """Return `reply` as compact JSON, in the form of the contract's section 2; ``polygon`` is always there."""
    return _encoder.encode({"status": reply.status, "labels": reply.labels})


def _decode_object(body: bytes | bytearray, max_depth: int) -> dict[str, Any]:
    try:
        payload = jsonbody.decode(body)
    except RecursionError:
        raise _too_deep(max_depth) from None
    if not isinstance(payload, dict):
        raise PayloadError("not_an_object", f"the body is {_json_name(payload)}, not a JSON object")
    return payload


def _callback_url(payload: dict[str, Any]) -> str:
    field = "callback_url"
    url = payload.get(field)
    if url is None:
        raise PayloadError("missing", "callback_url is missing", field)
    if not isinstance(url, str):
        raise PayloadError("wrong_type", f"callback_url is {_json_name(url)}, not a string", field)
    try:
        check_url(url)
    except MalformedUrl as reason:
        raise PayloadError("malformed_url", f"callback_url cannot be used: {reason}", field) from None
    return url


def _images(payload: dict[str, Any], max_images: int) -> list[Any]:
    field = "images"
    images = payload.get(field)
    if images is None:
        raise PayloadError("missing", "images is missing", field)
    if not isinstance(images, list):
        raise PayloadError("wrong_type", f"images is {_json_name(images)}, not a list", field)
    if not images:
        raise PayloadError("empty", "images is empty", field)
    if len(images) > max_images:
        message = f"the event holds {len(images)} images, more than the limit of {max_images}"
        raise PayloadError("too_many_images", message, field)
    return images


def _sort_images(
    images: list[Any], max_base64: int, warnings: list[str]
) -> tuple[tuple[Picture, ...], tuple[Rejected, ...]]:
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
        return Rejected(field, f"it is {_json_name(image)}, not an object")
    if reason := _odd_timestamp(image.get("timestamp")):
        return Rejected(f"{field}.timestamp", reason)
    text = image.get("image_b64")
    if text is None:
        return Rejected(f"{field}.image_b64", "it is missing")
    if not isinstance(text, str):
        return Rejected(f"{field}.image_b64", f"it is {_json_name(text)}, not a string")
    if len(text) > max_base64:
        return Rejected(f"{field}.image_b64", f"it is too long: {len(text):,} characters, allowed are {max_base64:,}")
    data = _decode_base64(text)
    if data is None:
        return Rejected(f"{field}.image_b64", "it is not base64")
    if not data:
        return Rejected(f"{field}.image_b64", "it is empty")
    return Picture(image["timestamp"], data)


def _odd_timestamp(timestamp: Any) -> str | None:
    if timestamp is None:
        return "it is missing"
    if not isinstance(timestamp, str):
        return f"it is {_json_name(timestamp)}, not a string"
    if not timestamp:
        return "it is empty"
    if len(timestamp) > MAX_TEXT:
        return f"it is longer than {MAX_TEXT} characters"
    if _CONTROL.search(timestamp):
        return "it holds control characters"
    if jsonbody.HALF_PAIR.search(timestamp):
        return "it holds half of a surrogate pair, which cannot be sent back"
    return None


def _decode_base64(text: str) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        # MIME breaks base64 into lines (RFC 2045, section 6.8), and some leave the padding out (RFC 4648, section 3.2).
        repaired = text.replace("\r", "").replace("\n", "")
        repaired += "=" * (-len(repaired) % 4)
    return None if repaired == text else _decode_base64(repaired)


def _image_warnings(field: str, image: dict[str, Any]) -> Iterator[str]:
    if not isinstance(image.get("type", ""), str):
        yield f"{field}.type is {_json_name(image['type'])}, not a string; it is ignored"
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


def _optional_text(payload: dict[str, Any], field: str, warnings: list[str]) -> str | None:
    value = payload.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        warnings.append(f"{field} is {_json_name(value)}, not a string; it is ignored")
        return None
    if len(value) > MAX_TEXT:
        warnings.append(f"{field} is longer than {MAX_TEXT} characters; only those are used")
    return jsonbody.mend_text(value[:MAX_TEXT])


def _rest(payload: dict[str, Any], images: list[Any], max_depth: int, warnings: list[str]) -> dict[str, Any]:
    """Return `payload` without the pictures, known to be small enough to keep and possible to write again."""
    rest = payload | {"images": [_without_picture(image) for image in images]}
    try:
        rest, size = _writable(rest, warnings)
    except RecursionError:
        raise _too_deep(max_depth) from None
    if size > MAX_REST_BYTES:
        raise PayloadError("too_large", f"the event holds more than {MAX_REST_BYTES} bytes beside its pictures")
    if _deeper_than(max_depth, rest):
        raise _too_deep(max_depth)
    return rest


def _writable(rest: dict[str, Any], warnings: list[str]) -> tuple[dict[str, Any], int]:
    """Return `rest` as it can be written, and its size as JSON in bytes."""
    try:
        return rest, len(_encoder.encode(rest))
    except UnicodeEncodeError:
        mended = jsonbody.mend(rest)
        warnings.append("the event holds half of a surrogate pair, which is no letter; U+FFFD stands in its place")
        return mended, len(_encoder.encode(mended))


def _without_picture(image: Any) -> Any:
    if not isinstance(image, dict):
        return image
    return {name: value for name, value in image.items() if name != "image_b64"}


def _deeper_than(levels: int, value: Any) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_deeper_than(levels - 1, one) for one in (value.values() if isinstance(value, dict) else value))


def _too_deep(max_depth: int) -> PayloadError:
    return PayloadError("too_deep", f"the event is nested deeper than {max_depth} levels")


def _json_name(value: Any) -> str:
    return _JSON_NAMES.get(type(value), "a number")


def _bounded(sentences: list[str]) -> tuple[str, ...]:
    more = len(sentences) - MAX_SENTENCES
    return (*sentences[:MAX_SENTENCES], f"and {more} more") if more > 0 else tuple(sentences)

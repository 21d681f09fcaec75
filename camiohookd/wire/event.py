"""An event of Camio's hook contract, as it comes in.

    body ─▶ `cut_pictures` ─▶ JSON ─▶ required fields, checked ─▶ each image a `Picture` or `Rejected` ─▶ `Event`

The parts behind it get the `Event`, and never the JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from camiohookd.errors import MalformedUrl, PayloadError
from camiohookd.net.urls import check_url
from camiohookd.wire import json_body
from camiohookd.wire.cut_body import CutBody
from camiohookd.wire.images import MAX_TEXT, Picture, Rejected, sort_images

MAX_SENTENCES = 10
VALUES, VALUES_OF_AN_IMAGE = 10_000, 20
"""How many JSON values an event may hold, and how many more for each image that is allowed."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class EventLimits:
    """The limits of one event: images, nesting of its JSON, bytes of one picture's file.

    `max_json_bytes` limits the event without its pictures' base64.
    """

    max_images: int = 1000
    max_depth: int = 64
    max_picture_bytes: int = 20_000_000
    max_json_bytes: int = 512 * 1024

    @property
    def max_values(self) -> int:
        """The most JSON values, names of members not counted: an image of Camio's has about five."""
        return VALUES + VALUES_OF_AN_IMAGE * self.max_images

    @property
    def max_base64(self) -> int:
        """The most characters: 4 for 3 bytes, and a line end of two after every 76, as in MIME (RFC 2045, 6.8)."""
        characters = -(-self.max_picture_bytes // 3) * 4
        return characters - (-characters // 76) * 2


USUAL_LIMITS = EventLimits()


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded and validated event.

    `rest` is the posted object without the images' base64, and can be written as JSON; `digest` identifies the body
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


def read_event(body: CutBody, limits: EventLimits = USUAL_LIMITS) -> Event:
    """Decode and check one posted event.

    An image that cannot be used is left out (`Event.rejected`); an optional field of a wrong type is ignored
    (`Event.warnings`). Raises `PayloadError` if the event as a whole cannot be used, and nothing else.
    """
    event = _decode_object(body, limits)
    pictures = _put_texts_back(event, body)
    if len(pictures) < len(body.texts):
        body = body.restore(pictures, limits.max_json_bytes)
        event = _decode_object(body, limits)
        _put_texts_back(event, body)
    callback_url = _callback_url(event)
    warnings: list[str] = []
    images = _images(event, limits.max_images)
    usable, rejected = sort_images(images, limits.max_base64, warnings)
    if not usable:
        reasons = "; ".join(_bounded([f"{one.field}: {one.reason}" for one in rejected]))
        raise PayloadError("no_usable_picture", f"no image of the event can be used: {reasons}", rejected[0].field)
    warnings.extend(_about_repeated_timestamps(usable))
    camera = _optional_text(event, "camera", warnings)
    user_id = _optional_text(event, "user_id", warnings)
    rest = _rest(event, images, limits.max_depth, warnings)
    # Each level begins with a bracket, so that a few brackets need no look at each value.
    if json_body.brackets(body.json) > limits.max_depth and _deeper_than(limits.max_depth, rest):
        raise _too_deep(limits.max_depth)
    return Event(
        callback_url=callback_url,
        camera=camera,
        user_id=user_id,
        pictures=usable,
        rejected=rejected,
        warnings=_bounded(warnings),
        rest=rest,
        # With 128 bits no two events collide by chance. A sender who forges a digest has the key anyway.
        digest=body.digest,
    )


def _decode_object(body: CutBody, limits: EventLimits) -> dict[str, Any]:
    if json_body.has_more_values(body.json, limits.max_values):
        raise PayloadError("too_large", f"the event holds more than {limits.max_values} JSON values")
    try:
        event = json_body.decode(body.json, body.place)
    except RecursionError:
        raise _too_deep(limits.max_depth) from None
    if not isinstance(event, dict):
        raise PayloadError("not_an_object", f"the body is {json_body.kind_of(event)}, not a JSON object")
    return event


def _put_texts_back(event: dict[str, Any], body: CutBody) -> set[int]:
    """Put the texts that were cut out back into the images. Returns which of `body.texts` these were."""
    images = event.get("images")
    found = set()
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and (number := body.text_of(image.get("image_b64"))) is not None:
            image["image_b64"] = body.texts[number]
            found.add(number)
    return found


def _callback_url(event: dict[str, Any]) -> str:
    field = "callback_url"
    url = event.get(field)
    if url is None:
        raise PayloadError("missing", "callback_url is missing", field)
    if not isinstance(url, str):
        raise PayloadError("wrong_type", f"callback_url is {json_body.kind_of(url)}, not a string", field)
    try:
        check_url(url)
    except MalformedUrl as reason:
        raise PayloadError("malformed_url", f"callback_url cannot be used: {reason}", field) from None
    return url


def _images(event: dict[str, Any], max_images: int) -> list[Any]:
    field = "images"
    images = event.get(field)
    if images is None:
        raise PayloadError("missing", "images is missing", field)
    if not isinstance(images, list):
        raise PayloadError("wrong_type", f"images is {json_body.kind_of(images)}, not a list", field)
    if not images:
        raise PayloadError("empty", "images is empty", field)
    if len(images) > max_images:
        message = f"the event holds {len(images)} images, more than the limit of {max_images}"
        raise PayloadError("too_many_images", message, field)
    return images


def _about_repeated_timestamps(pictures: tuple[Picture, ...]) -> Iterator[str]:
    repeated = len(pictures) - len({picture.timestamp for picture in pictures})
    if repeated:
        some = "image has the timestamp of another one" if repeated == 1 else "images have the timestamp of another one"
        yield f"{repeated} {some}; the labels of images with one timestamp are merged"


def _optional_text(event: dict[str, Any], field: str, warnings: list[str]) -> str | None:
    value = event.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        warnings.append(f"{field} is {json_body.kind_of(value)}, not a string; it is ignored")
        return None
    if len(value) > MAX_TEXT:
        warnings.append(f"{field} is longer than {MAX_TEXT} characters; only those are used")
    return json_body.mend_text(value[:MAX_TEXT])


def _rest(event: dict[str, Any], images: list[Any], max_depth: int, warnings: list[str]) -> dict[str, Any]:
    """Return `event` without the pictures' base64, in a form that can be written as JSON."""
    rest = event | {"images": [_without_picture(image) for image in images]}
    try:
        return _writable(rest, warnings)
    except RecursionError:
        raise _too_deep(max_depth) from None


def _writable(rest: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Return `rest` with what cannot be written as JSON replaced."""
    try:
        _encoder.encode(rest)
    except UnicodeEncodeError:
        mended: dict[str, Any] = json_body.mend(rest)
        warnings.append("the event holds half of a surrogate pair, which is not a character; it is replaced by U+FFFD")
        return mended
    return rest


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


def _bounded(sentences: list[str]) -> tuple[str, ...]:
    more = len(sentences) - MAX_SENTENCES
    return (*sentences[:MAX_SENTENCES], f"and {more} more") if more > 0 else tuple(sentences)

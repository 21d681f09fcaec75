"""Check a reply strictly against section 2 of the wire contract.

Uses nothing of the code that writes replies (`camiohookd.wire`), so that a mistake there is found. If the objects in
a picture are known, outlines are compared with them, too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from camiohookd.camio.simulator.samples import NOTHING, KnownObject, Objects, Sightings, misplaced
from camiohookd.units import plural

BOX_CORNERS = 4


@dataclass(frozen=True, slots=True)
class ReplyCheck:
    """`form` is "image" or "event", None where it is neither; `labels` has the best probability found for each label.

    The older "event" form has no probabilities. A reply without `problems` is valid, and has `sightings`.
    """

    form: str | None
    labels: dict[str, float | None]
    problems: tuple[str, ...]
    sightings: Sightings = NOTHING


class _UnreadableError(Exception):
    """The reply cannot be checked any further; the text is the problem."""


def check_reply(body: bytes, pictures: Mapping[str, Objects]) -> ReplyCheck:
    """Check `body` as the reply to an event with `pictures`: timestamps, and the objects that are known to be there."""
    try:
        labels = _labels(body)
    except _UnreadableError as problem:
        return ReplyCheck(None, {}, (str(problem),))
    if isinstance(labels, list):
        form, best, problems = "event", _names(labels), tuple(_check_list(labels))
    else:
        form, best, problems = "image", _best(labels), tuple(_check_images(labels, pictures))
    return ReplyCheck(form, best, problems, NOTHING if problems else _sightings(labels, pictures))


def _labels(body: bytes) -> dict[str, Any] | list[Any]:
    reply = _decode(body)
    if not isinstance(reply, dict) or set(reply) != {"status", "labels"}:
        raise _UnreadableError("the reply is not an object with exactly the keys status and labels")
    if reply["status"] != "success":
        raise _UnreadableError(f"status is {_shown(reply['status'])}, not 'success'")
    labels = reply["labels"]
    if not isinstance(labels, dict | list):
        raise _UnreadableError(f"labels is {_shown(labels)}, neither an object nor a list")
    return labels


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _UnreadableError(f"the reply is not JSON: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key in an object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _check_list(labels: list[Any]) -> Iterator[str]:
    for label in labels:
        if not isinstance(label, str) or not label:
            yield f"the label {_shown(label)} is not a non-empty string"


def _check_images(labels: dict[str, Any], pictures: Mapping[str, Objects]) -> Iterator[str]:
    for timestamp in pictures:
        if timestamp not in labels:
            yield f"the image {timestamp} is missing"
    for timestamp, found in labels.items():
        if timestamp not in pictures:
            yield f"the image {_shown(timestamp)} was never sent"
        elif not isinstance(found, dict):
            yield f"{timestamp} has {_shown(found)}, not an object of labels"
        else:
            for label, entry in found.items():
                for problem in _check_label(label, entry, pictures[timestamp]):
                    yield f"{timestamp}, {_shown(label)}: {problem}"


def _check_label(label: str, entry: Any, objects: Objects) -> Iterator[str]:
    if not label:
        yield "the label is empty"
    if not isinstance(entry, dict) or set(entry) != {"probability", "polygon"}:
        yield "it is not an object with exactly the keys probability and polygon"
        return
    if not _is_fraction(entry["probability"]):
        yield f"probability is {_shown(entry['probability'])}, not a number from 0 to 1"
    yield from _check_polygon(entry["polygon"], next((one for one in objects if one.label == label.lower()), None))


def _check_polygon(polygon: Any, known: KnownObject | None) -> Iterator[str]:
    if not isinstance(polygon, list) or not all(_is_point(point) for point in polygon):
        yield f"polygon is {_shown(polygon)}, not a list of [x, y] with fractions from 0 to 1"
    elif 0 < len(polygon) < 3:
        yield f"polygon has {plural(len(polygon), 'point')}, too few for an outline"
    elif len(polygon) == BOX_CORNERS and not _is_upright_box(polygon):
        yield (
            "the four corners are not those of an upright box, listed as the contract does: "
            "bottom left, bottom right, top right, top left, with y pointing up"
        )
    elif polygon and known and (reason := misplaced(known, polygon)):
        yield reason


def _is_upright_box(polygon: list[list[float]]) -> bool:
    (left, bottom), (right, _), (_, top), _ = polygon
    corners = [[left, bottom], [right, bottom], [right, top], [left, top]]
    return polygon == corners and left < right and bottom < top


def _sightings(labels: dict[str, Any] | list[Any], pictures: Mapping[str, Objects]) -> Sightings:
    """Return which known objects were shown and found, according to a valid reply."""
    found: set[KnownObject] = set()
    for timestamp, objects in pictures.items():
        here = labels if isinstance(labels, list) else labels[timestamp]
        names = {label.lower() for label in here}
        found |= {one for one in objects if one.label in names}
    shown = frozenset(one for objects in pictures.values() for one in objects)
    return Sightings(shown, frozenset(found))


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_fraction(part) for part in value)


def _is_fraction(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and 0 <= value <= 1


def _names(labels: list[Any]) -> dict[str, float | None]:
    return dict.fromkeys(label for label in labels if isinstance(label, str))


def _best(labels: dict[str, Any]) -> dict[str, float | None]:
    best: dict[str, float] = {}
    for found in labels.values():
        for label, entry in found.items() if isinstance(found, dict) else ():
            probability = entry.get("probability") if isinstance(entry, dict) else None
            if _is_fraction(probability):
                best[label] = max(best.get(label, 0.0), probability)
    return {**best}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

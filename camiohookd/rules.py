"""What of the detections is reported for a camera: detections → rule → labels → the reply to Camio.

Pure functions on plain values; owned by no thread.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import accumulate
from typing import NamedTuple

import msgspec

from camiohookd.config import camera_pattern
from camiohookd.config.detail import Static
from camiohookd.config.rule import Rule
from camiohookd.pictures.detections import Box, Detection, area, foot, inside, polygon
from camiohookd.wire.reply import ImageLabels, Label, Reply

ALWAYS_THERE = "always there"
"""The words for a detection at the same place with the same looks in event after event."""


class RuledLabels(NamedTuple):
    """One picture of an event after its rule was applied.

    `width` and `height` are in pixels, as the boxes are. `found` are all detections, `sent` those that the rule lets
    through, in their order and under the names that are sent.
    """

    timestamp: str
    width: int
    height: int
    found: Sequence[Detection]
    sent: Sequence[Detection]


class Explained(NamedTuple):
    """A detection, the name it is sent under, and why the rule leaves it out: in words; None if it is sent."""

    found: Detection
    name: str
    left_out: str | None


def match(rules: Iterable[Rule], camera: str | None) -> Rule:
    """Return the most specific rule for that camera; if none matches, one that reports everything.

    In a rule's `camera`, ``*`` matches any characters, or none; every other character matches itself, case-sensitively.
    An exact name is the most specific, then the pattern with the most characters besides ``*``; among equals the first.
    """
    fitting = [rule for rule in rules if camera_pattern.matches(rule.camera, camera)]
    return max(fitting, key=_specificity, default=Rule())


def problems(rules: Sequence[Rule], known: Sequence[str] | None) -> list[str]:
    """Return what in the rules can never have an effect, a sentence each.

    `known` are the labels of the model; None if they are not known, as with own code.
    """
    found: list[str] = []
    for number, rule in enumerate(rules, 1):
        taker = next((nth for nth, other in enumerate(rules[: number - 1], 1) if _takes_all(other, rule)), None)
        if taker is not None:
            found.append(f"rule {number} never applies: {_why_never(taker, rules[taker - 1], rule)}")
        if known is not None:
            unknown = (name for name in _named(rule) if name not in known)
            found += [f"rule {number} ({rule.camera}): {_unknown(name, known)}" for name in unknown]
    return found


def _takes_all(earlier: Rule, later: Rule) -> bool:
    """Return whether `earlier` is preferred to `later` for every camera that `later` matches.

    Only one earlier rule alone can do that. In a pattern, let every ``*`` stand for a character that no rule has: for
    that camera, a preferred rule needs at least as many other characters, so exactly these; and a ``*`` wherever the
    pattern has one. Then it matches whatever the pattern matches.
    """
    name, stars = _parts(earlier.camera)
    same_name, later_stars = _parts(later.camera)
    return name == same_name and bool(stars) == bool(later_stars) and stars >= later_stars


def _parts(pattern: str) -> tuple[str, set[int]]:
    """Return the characters of `pattern` besides ``*``, and where among them one is: "a*b*" ─▶ "ab", {1, 2}."""
    pieces = pattern.split("*")
    return "".join(pieces), set(accumulate(map(len, pieces[:-1])))


def _why_never(taker: int, earlier: Rule, later: Rule) -> str:
    before = f'rule {taker}, camera = "{earlier.camera}"'
    if _parts(earlier.camera) == _parts(later.camera):
        return f"{before}, matches the same cameras"
    return f'{before}, takes every camera that "{later.camera}" matches; put the later rule first'


def _named(rule: Rule) -> list[str]:
    """Return the labels that `rule` names, each once, in the order of the settings."""
    return list(dict.fromkeys([*rule.labels, *rule.ignore_labels, *rule.min_probability_of, *rule.label_map]))


def _unknown(name: str, known: Sequence[str]) -> str:
    by_lower_case = {label.lower(): label for label in known}
    near = get_close_matches(name.lower(), by_lower_case, n=1)
    hint = f'did you mean "{by_lower_case[near[0]]}"?' if near else '"camiohookd labels" lists those that it knows'
    return f'the model knows no label "{name}"; {hint}'


def complete(rule: Rule, default_probability: float | None, static: Static | None = None) -> Rule:
    """Return `rule` with the labeler's default as its least probability, and with `static`, where it sets none.

    A default of None: there are several labelers, and each detection has the threshold of its own.
    """
    least = default_probability if rule.min_probability is None else rule.min_probability
    return msgspec.structs.replace(rule, min_probability=least, static=rule.static or static)


def least_probability(rule: Rule) -> float:
    """Return the probability below which the rule lets no label through."""
    return min(rule.min_probability or 0.0, *rule.min_probability_of.values(), 1.0)


def objection(rule: Rule, found: Detection, width: int, height: int) -> str | None:
    """Return in words why `rule` leaves out a detection in a picture of that size; None if it lets it through."""
    return next(_objections(rule, found, width, height), None)


def sent_as(rule: Rule, label: str) -> str:
    """Return the name of `label` in the reply."""
    return rule.label_map.get(label, label)


def explain(rule: Rule, picture: RuledLabels) -> list[Explained]:
    """Return what `rule` does to each detection in `picture`, and why."""
    return [
        Explained(found, sent_as(rule, found.label), objection(rule, found, picture.width, picture.height))
        for found in picture.found
    ]


def apply(rule: Rule, timestamp: str, size: tuple[int, int], found: Sequence[Detection]) -> RuledLabels:
    """Decide which detections in a picture of `size` (width, height) pixels are sent, and under which names."""
    width, height = size
    sent = [
        each._replace(label=sent_as(rule, each.label)) for each in found if objection(rule, each, width, height) is None
    ]
    return RuledLabels(timestamp, width, height, found, sent)


def image_labels(detections: Iterable[Detection], width: int, height: int) -> dict[str, Label]:
    """Return the labels of one picture as Camio gets them: of several objects with one label, the most probable."""
    labels: dict[str, Label] = {}
    for label, probability, box, outline, *_ in detections:
        if outline is None:
            outline = polygon(box, width, height) if box else ()
        _keep_more_probable(labels, label, Label(round(probability, 4), outline))
    return labels


def reply(rule: Rule, pictures: Iterable[RuledLabels], event: Iterable[str] | None = None) -> Reply:
    """Return the reply to one event, whose `pictures` the rule was applied to.

    Pictures with the same timestamp are one picture to Camio, so their labels are merged. `event` are the labels of the
    event as a whole, from a labeler that finds no more than that; they are sent as a flat list.
    """
    if event is not None:
        return _flat(rule, (sent_as(rule, name) for name in event if not _unwanted(rule, name)))
    images: ImageLabels = {}
    for picture in pictures:
        merged = images.setdefault(picture.timestamp, {})
        for name, label in image_labels(picture.sent, picture.width, picture.height).items():
            _keep_more_probable(merged, name, label)
    if rule.labels_format == "event":
        return _flat(rule, (name for labels in images.values() for name in labels))
    if rule.nothing_label and not any(images.values()):
        images = {timestamp: {rule.nothing_label: Label(1.0)} for timestamp in images}
    return Reply(images)


def _flat(rule: Rule, names: Iterable[str]) -> Reply:
    return Reply(sorted(set(names)) or ([rule.nothing_label] if rule.nothing_label else []))


def below(rule: Rule, found: Detection) -> str | None:
    """Return in words that a detection is less probable than `rule` asks for; None if it is not."""
    usual = found.threshold if rule.min_probability is None else rule.min_probability
    least = rule.min_probability_of.get(found.label, usual or 0.0)
    return f"below {least:g} for {found.label}" if found.probability < least else None


def _objections(rule: Rule, found: Detection, width: int, height: int) -> Iterator[str]:
    if unwanted := _unwanted(rule, found.label):
        yield unwanted
    if low := below(rule, found):
        yield low
    if found.always_there and rule.static == "drop":
        yield ALWAYS_THERE
    if found.box is not None:
        yield from _objections_to_place(rule, found.box, width, height)


def _unwanted(rule: Rule, label: str) -> str | None:
    if label in rule.ignore_labels:
        return f"{label} is one of ignore_labels"
    if rule.labels and label not in rule.labels:
        return f"{label} is not one of labels"
    return None


def _objections_to_place(rule: Rule, box: Box, width: int, height: int) -> Iterator[str]:
    if rule.min_area > 0 or rule.max_area < 1:
        yield from _objections_to_area(rule, area(box, width, height))
    if rule.zone:
        yield from _objections_to_zone(rule, foot(box, width, height))


def _objections_to_area(rule: Rule, covered: float) -> Iterator[str]:
    if covered < rule.min_area:
        yield f"its area is {covered:.2g}, below min_area {rule.min_area:g}"
    if covered > rule.max_area:
        yield f"its area is {covered:.2g}, above max_area {rule.max_area:g}"


def _objections_to_zone(rule: Rule, point: tuple[float, float]) -> Iterator[str]:
    included = [zone for zone in rule.zone if zone.kind == "include"]
    if included and not any(inside(zone.polygon, point) for zone in included):
        yield f"outside zone {' and '.join(zone.name for zone in included)}"
    for zone in rule.zone:
        if zone.kind == "exclude" and inside(zone.polygon, point):
            yield f"inside zone {zone.name}"


def _specificity(rule: Rule) -> tuple[bool, int]:
    return "*" not in rule.camera, len(rule.camera.replace("*", ""))


def _keep_more_probable(labels: dict[str, Label], name: str, label: Label) -> None:
    if name not in labels or label.probability > labels[name].probability:
        labels[name] = label

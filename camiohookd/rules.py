"""What of the detections is reported for a camera: detections → rule → labels → the reply to Camio.

Pure functions on plain values; owned by no thread.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from camiohookd.detections import Detection, polygon
from camiohookd.payload import ImageLabels, Label, LabelsFormat, Reply


@dataclass(frozen=True, slots=True)
class Rule:
    """What is reported for the cameras whose name matches `camera`, where ``*`` stands for any letters, also none.

    Every other letter stands for itself, in its own case.
    `min_probability` None leaves it to the model's own threshold; `labels` are those reported, all when empty.
    """

    camera: str = "*"
    labels_format: LabelsFormat = "image"
    min_probability: float | None = None
    labels: tuple[str, ...] = ()


class Labelled(NamedTuple):
    """What was found in one picture of an event; `width` and `height` in pixels, as the boxes' ones."""

    timestamp: str
    width: int
    height: int
    detections: Sequence[Detection]


def match(rules: Iterable[Rule], camera: str | None) -> Rule:
    """The first rule for that camera; one that reports everything where there is none."""
    return next((rule for rule in rules if _matches(rule.camera, camera or "")), Rule())


def least_probability(rule: Rule) -> float | None:
    """Below it the rule lets nothing through; None: whatever the labeler itself reports may get through."""
    return rule.min_probability


def apply(rule: Rule, picture: Labelled) -> list[Detection]:
    """Those detections that the rule lets through, in their order."""
    return [
        found
        for found in picture.detections
        if (rule.min_probability is None or found.probability >= rule.min_probability)
        and (not rule.labels or found.label in rule.labels)
    ]


def image_labels(detections: Iterable[Detection], width: int, height: int) -> dict[str, Label]:
    """The labels of one picture, as on the wire: of several objects with one label, the most probable."""
    labels: dict[str, Label] = {}
    for label, probability, box, outline in detections:
        if outline is None:
            outline = polygon(box, width, height) if box else ()
        _keep_more_probable(labels, label, Label(round(probability, 4), outline))
    return labels


def reply(rule: Rule, pictures: Iterable[Labelled], event: Iterable[str] | None = None) -> Reply:
    """The reply to one event; pictures with one timestamp are one to Camio, so their labels are merged.

    `event`: labels of the event as a whole, where the labeler tells no more; they are sent as a flat list.
    """
    if event is not None:
        return Reply(sorted(label for label in event if not rule.labels or label in rule.labels))
    images: ImageLabels = {}
    for picture in pictures:
        merged = images.setdefault(picture.timestamp, {})
        for name, label in image_labels(apply(rule, picture), picture.width, picture.height).items():
            _keep_more_probable(merged, name, label)
    if rule.labels_format == "event":
        return Reply(sorted({name for labels in images.values() for name in labels}))
    return Reply(images)


def _matches(pattern: str, camera: str) -> bool:
    # To a shell ? and [ are special too; within brackets they are themselves.
    return fnmatchcase(camera, re.sub(r"[?[]", r"[\g<0>]", pattern))


def _keep_more_probable(labels: dict[str, Label], name: str, label: Label) -> None:
    if name not in labels or label.probability > labels[name].probability:
        labels[name] = label

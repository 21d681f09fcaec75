"""Compute what is drawn over a picture: boxes with captions, and zones, as numbers for an SVG of the picture's size.

A label has the same color as in ``camiohookd label --annotate``. Pure functions.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from camiohookd.config.rule import Rule, Zone
from camiohookd.monitoring.history.views import PictureDetails
from camiohookd.pictures.colors import color_of
from camiohookd.pictures.detections import Box, place
from camiohookd.rules import ALWAYS_THERE, Explained

MOST_CAPTIONS = 12
_LINE = 1.35
"""The height of a caption, in letters."""


class DrawnBox(NamedTuple):
    """A box in pixels of the picture, and its caption, whose baseline begins at `text_x`, `text_y`."""

    x: float
    y: float
    width: float
    height: float
    color: str
    caption: str
    caption_width: float
    text_x: float
    text_y: float
    is_sent: bool


class DrawnZone(NamedTuple):
    """A zone: `points` for an SVG polygon."""

    name: str
    kind: str
    points: str


class Drawing(NamedTuple):
    """What is drawn over one picture; sizes are in its pixels. `letters` is the height of the captions' letters."""

    width: int
    height: int
    letters: float
    boxes: Sequence[DrawnBox]
    zones: Sequence[DrawnZone]
    in_words: str


def hex_color(label: str) -> str:
    """Return the color of `label` as #rrggbb."""
    return f"#{bytes(color_of(label)).hex()}"


def drawing(picture: PictureDetails, rule: Rule, *, all_objects: bool) -> Drawing:
    """Return what to draw over `picture`; with `all_objects`, also objects that the rule leaves out."""
    width, height = max(picture.width, 1), max(picture.height, 1)
    letters = max(width, height) / 28
    shown = [each for each in picture.detections if all_objects or each.left_out is None]
    ordered = sorted(shown, key=lambda each: (each.left_out is None, each.found.probability))
    boxes = [_box(each, box, width, height, letters) for each in ordered if (box := place(each.found, width, height))]
    boxes = _apart(boxes, height, letters)
    return Drawing(width, height, letters, boxes, drawn_zones(rule.zone, width, height), _in_words(picture.detections))


def drawn_zones(zones: Iterable[Zone], width: int, height: int) -> list[DrawnZone]:
    """Return `zones` in pixels of a picture of that size."""
    return [
        DrawnZone(zone.name, zone.kind, " ".join(f"{x * width:.1f},{y * height:.1f}" for x, y in zone.polygon))
        for zone in zones
    ]


def _box(each: Explained, box: Box, width: int, height: int, letters: float) -> DrawnBox:
    found = each.found
    left, right = (min(max(value, 0.0), width) for value in (box.left, box.right))
    top, bottom = (min(max(value, 0.0), height) for value in (box.top, box.bottom))
    caption = _caption(each) if each.left_out is None else ""
    caption_width = letters * (0.62 * len(caption) + 0.6)
    text_x = max(min(left, width - caption_width), 0.0)
    text_y = top - 0.35 * letters if top >= 1.4 * letters else top + 1.05 * letters
    return DrawnBox(
        x=round(left, 1),
        y=round(top, 1),
        width=round(right - left, 1),
        height=round(bottom - top, 1),
        color=hex_color(found.label),
        caption=caption,
        caption_width=round(caption_width, 1),
        text_x=round(text_x, 1),
        text_y=round(text_y, 1),
        is_sent=each.left_out is None,
    )


def _apart(boxes: Sequence[DrawnBox], height: int, letters: float) -> list[DrawnBox]:
    """Move captions that lie on that of a more probable object: below their box, else further up or down."""
    taken: list[DrawnBox] = []
    moved: list[DrawnBox] = []
    for box in reversed(boxes):  # the most probable one first
        if box.caption:
            below = box.y + box.height + 1.05 * letters
            places = [box.text_y, below, *(box.text_y + step * _LINE * letters for step in (-1, 1, -2, 2))]
            inside = [y for y in places if letters <= y <= height - 0.35 * letters]
            free = (y for y in inside if not any(_overlap(box, y, other, letters) for other in taken))
            box = box._replace(text_y=round(next(free, box.text_y), 1))
            taken.append(box)
        moved.append(box)
    return moved[::-1]


def _overlap(box: DrawnBox, text_y: float, other: DrawnBox, letters: float) -> bool:
    """Return whether the caption of `box` at `text_y` would lie on that of `other`."""
    return (
        abs(text_y - other.text_y) < _LINE * letters
        and box.text_x < other.text_x + other.caption_width
        and other.text_x < box.text_x + box.caption_width
    )


def _caption(each: Explained) -> str:
    always = f" ({ALWAYS_THERE})" if each.found.always_there else ""
    return f"{each.name} {each.found.probability:.2f}{always}"


def _in_words(detections: Iterable[Explained]) -> str:
    sent = [_caption(each) for each in detections if each.left_out is None]
    return ", ".join(sent[:MOST_CAPTIONS]) or "nothing that is sent"

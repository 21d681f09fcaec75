"""Objects that a labeler found in a picture, and their geometry."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_ON_EDGE = 1e-9


class Box(NamedTuple):
    """A box in pixels of the displayed picture, y down, (0, 0) is the top-left corner."""

    left: float
    top: float
    right: float
    bottom: float


Polygon = tuple[tuple[float, float], ...]
"""(x, y) points as fractions of the picture, y up, (0, 0) the bottom-left corner, (1, 1) the top-right."""


class Detection(NamedTuple):
    """One object: `probability` is 0..1, `box` None if the labeler only classifies.

    `outline` is the object's outline, if the labeler knows a more precise one than the box. Where there are several
    labelers, `labeler` is the name of the one that found it, and `threshold` the least probability that it reports if
    no rule sets one. `always_there` says that it was found at the same place with the same looks in earlier events.
    """

    label: str
    probability: float
    box: Box | None
    outline: Polygon | None = None
    labeler: str | None = None
    threshold: float | None = None
    always_there: bool = False


def polygon(box: Box, width: int, height: int) -> Polygon:
    """Return the corners of `box` in a picture of `width` x `height` pixels as Camio expects them.

    They go counter-clockwise from the bottom-left corner, clipped to the picture, with four decimals (a tenth of a
    pixel of a 1000-pixel picture).
    """
    left, right = (_fraction(x, width) for x in (box.left, box.right))
    top, bottom = (_fraction(height - y, height) for y in (box.top, box.bottom))
    return ((left, bottom), (right, bottom), (right, top), (left, top))


def place(found: Detection, width: int, height: int) -> Box | None:
    """Return where in a picture of `width` x `height` pixels `found` is: its box, or the one around its outline."""
    if found.box is not None or not found.outline:
        return found.box
    xs, ys = [x * width for x, _ in found.outline], [(1 - y) * height for _, y in found.outline]
    return Box(min(xs), min(ys), max(xs), max(ys))


def scaled(box: Box, across: float, down: float) -> Box:
    """Return `box` with its horizontal coordinates multiplied by `across`, and the vertical ones by `down`."""
    return Box(box.left * across, box.top * down, box.right * across, box.bottom * down)


def moved(box: Box, right: float, down: float) -> Box:
    """Return `box` moved to the right and down, in its own unit."""
    return Box(box.left + right, box.top + down, box.right + right, box.bottom + down)


def shared_area(one: Box, other: Box) -> float:
    """Return the area of the intersection of two boxes, in the square of their unit; 0.0 if there is none."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0)


def area(box: Box, width: int, height: int) -> float:
    """Return the part of a picture of `width` x `height` pixels that `box` covers, 0..1."""
    right, bottom = _fraction(box.right, width), _fraction(box.bottom, height)
    return max(right - _fraction(box.left, width), 0.0) * max(bottom - _fraction(box.top, height), 0.0)


def foot(box: Box, width: int, height: int) -> tuple[float, float]:
    """Return the middle of the bottom edge of `box` as (x, y) fractions of the picture, y down."""
    return _fraction((box.left + box.right) / 2, width), _fraction(box.bottom, height)


def inside(corners: Sequence[tuple[float, float]], point: tuple[float, float]) -> bool:
    """Return whether `point` is in the polygon of these `corners`, or on its edge.

    By the even-odd rule: a ray to the right crosses the edges an odd number of times (M. Shimrat, Algorithm 112,
    Communications of the ACM 5(8), 1962).
    """
    x, y = point
    odd = False
    for (x1, y1), (x2, y2) in pairwise([*corners, corners[0]]):
        turn = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
        if abs(turn) <= _ON_EDGE and min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2):
            return True
        if (y1 > y) != (y2 > y) and (turn > 0) == (y2 > y1):
            odd = not odd
    return odd


def _fraction(pixels: float, side: int) -> float:
    return round(min(max(pixels / side, 0.0), 1.0), 4)

"""What a labeler found in a picture, and its geometry."""

from typing import NamedTuple


class Box(NamedTuple):
    """Pixels of the picture as it is displayed, y down, (0, 0) the top-left corner."""

    left: float
    top: float
    right: float
    bottom: float


Polygon = tuple[tuple[float, float], ...]
"""(x, y) points as fractions of the picture, y up, (0, 0) the bottom-left corner, (1, 1) the top-right."""


class Detection(NamedTuple):
    """One object: `probability` 0..1, `box` None where the labeler only classifies.

    `outline` is the object's outline where the labeler knows one that says more than the box.
    """

    label: str
    probability: float
    box: Box | None
    outline: Polygon | None = None


def polygon(box: Box, width: int, height: int) -> Polygon:
    """The corners of `box` in a picture of `width` x `height` pixels, as Camio wants them.

    Counter-clockwise from the bottom-left corner, cut off at the picture's edges, to four decimals (a tenth of a
    pixel of a 1000-pixel picture).
    """
    left, right = (_fraction(x, width) for x in (box.left, box.right))
    top, bottom = (_fraction(height - y, height) for y in (box.top, box.bottom))
    return ((left, bottom), (right, bottom), (right, top), (left, top))


def _fraction(pixels: float, side: int) -> float:
    return round(min(max(pixels / side, 0.0), 1.0), 4)

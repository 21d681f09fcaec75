"""An event's pictures in the parts that a thread labels at once, each with what differs from the other pictures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from camiohookd.errors import PictureError
from camiohookd.labelers import ChangedRegions
from camiohookd.labelers.detail import regions
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.memory import MemoryBudget
from camiohookd.wire.images import Picture

COMPARED = 16
"""The most pictures that are compared with each other: neighbors in time. It bounds the memory."""


class Item(NamedTuple):
    """A picture, and what differs from the others; None if not known."""

    picture: Picture
    changes: ChangedRegions | None = None


def parts(pictures: Sequence[Picture], at_once: int | None) -> Iterator[Sequence[Item]]:
    """Yield the pictures, at most `at_once` (None: all) in a part, without comparing them."""
    size = at_once or max(len(pictures), 1)
    for first in range(0, len(pictures), size):
        yield [Item(picture) for picture in pictures[first : first + size]]


def compared_parts(
    pictures: Sequence[Picture], at_once: int, limits: PictureLimits, budget: MemoryBudget
) -> Iterator[Sequence[Item]]:
    """Yield the pictures as `parts` does, compared with each other."""
    for first in range(0, len(pictures), COMPARED):
        items = _compared(pictures[first : first + COMPARED], limits, budget)
        for start in range(0, len(items), at_once):
            yield items[start : start + at_once]


def _compared(pictures: Sequence[Picture], limits: PictureLimits, budget: MemoryBudget) -> list[Item]:
    grays = [_gray(picture, limits, budget) for picture in pictures]
    shapes = [each.shape for each in grays if each is not None]
    usual = max(shapes, key=shapes.count, default=None)
    alike = [nth for nth, each in enumerate(grays) if each is not None and each.shape == usual]
    items = [Item(picture) for picture in pictures]
    if len(alike) > 1:
        found = regions.regions([each for each in grays if each is not None and each.shape == usual])
        for place, (nth, boxes) in enumerate(zip(alike, found, strict=True)):
            items[nth] = Item(pictures[nth], ChangedRegions(tuple(boxes), place, len(alike)))
    return items


def _gray(picture: Picture, limits: PictureLimits, budget: MemoryBudget) -> regions.Gray | None:
    try:
        decoded = decode(picture.data, limits, (regions.WIDTH, 1), budget)
    except PictureError:  # the thread that labels it reports why
        return None
    try:
        return regions.gray(decoded.image)
    finally:
        decoded.release()

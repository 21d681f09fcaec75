"""Which parts of a picture are looked at, the most valuable first.

1. Where the picture differs from the others of its event: windows around these regions, in the picture's own pixels if
   they fit.
2. The grid that the picture's pixels are worth. What does not change is the same in all pictures of the event, so each
   of these tiles is looked at in one of them. A picture that was not compared with others gets all of them.
"""

from collections.abc import Sequence

from camiohookd.labelers import ChangedRegions
from camiohookd.labelers.detail.tiling import MAX_PARTS, Size, grid, magnification, worth
from camiohookd.pictures.detections import Box, scaled, shared_area

MARGIN = 0.12
"""What is added around a region on each side, in proportion to it: its edges are seldom seen as changed."""

LEAST_MARGIN = 8.0
"""The least margin, in pixels of the picture."""

MOST_REGIONS = 30
"""Over this, as in snow, all of the picture has changed; choosing windows would take long: the cube of their number."""

COVERED = 0.7
"""Leave out a tile of the grid if one window covers at least this part of it."""


def planned(size: Size, input_size: Size, changes: ChangedRegions | None) -> list[Box]:
    """Return the tiles for a picture of `size` pixels, in whole pixels of it; `changes` is None if not known."""
    columns, rows = worth(size, input_size)
    tiles = grid(size, columns, rows) if columns * rows > 1 else []
    if changes is None or not tiles or len(changes.regions) > MOST_REGIONS:
        return tiles
    close = windows(size, input_size, changes.regions)
    if len(close) >= len(tiles):
        return tiles
    rest = tiles[changes.nth :: changes.of]
    return [*close, *(tile for tile in rest if _seen(tile, close) < COVERED)]


def windows(size: Size, input_size: Size, regions: Sequence[Box]) -> list[Box]:
    """Return few windows that contain all `regions` (fractions of the picture), with a margin around each.

    A window is as large as the model's input or as the smallest tile of a grid, or larger for a larger region. This is
    a greedy cover: each window is the one that contains the most regions that are left.
    """
    side = tuple(
        min(whole, max(wanted, whole / magnification(MAX_PARTS)))
        for whole, wanted in zip(size, input_size, strict=True)
    )
    left = [_padded(each, size) for each in regions]
    found: list[Box] = []
    while left:
        large = next((each for each in left if _too_large(each, side)), None)
        window = _around([large], size, side) if large else _best(left, size, side)
        found.append(Box(*(float(round(each)) for each in window)))
        left = [each for each in left if each != large and not _contains(window, each)]
    return found


def _padded(region: Box, size: Size) -> Box:
    left, top, right, bottom = scaled(region, *size)
    across, down = (max(LEAST_MARGIN, MARGIN * length) for length in (right - left, bottom - top))
    return Box(max(left - across, 0), max(top - down, 0), min(right + across, size[0]), min(bottom + down, size[1]))


def _too_large(region: Box, side: Sequence[float]) -> bool:
    return region.right - region.left > side[0] or region.bottom - region.top > side[1]


def _best(regions: Sequence[Box], size: Size, side: Sequence[float]) -> Box:
    """Return the window that contains the most regions; its left and top are those of some region."""
    candidates = (
        [each for each in regions if _contains(Box(one.left, other.top, one.left + side[0], other.top + side[1]), each)]
        for one in regions
        for other in regions
    )
    return _around(max(candidates, key=len), size, side)


def _around(regions: Sequence[Box], size: Size, side: Sequence[float]) -> Box:
    """Return the window in the middle of `regions`, grown in proportion until it contains them, within the picture."""
    left, top = min(each.left for each in regions), min(each.top for each in regions)
    right, bottom = max(each.right for each in regions), max(each.bottom for each in regions)
    growth = max((right - left) / side[0], (bottom - top) / side[1], 1.0)
    width, height = min(side[0] * growth, size[0]), min(side[1] * growth, size[1])
    x = min(max((left + right - width) / 2, 0), size[0] - width)
    y = min(max((top + bottom - height) / 2, 0), size[1] - height)
    return Box(x, y, x + width, y + height)


def _contains(window: Box, region: Box) -> bool:
    slack = 1e-6  # for rounding errors
    return (
        window.left - slack <= region.left
        and window.top - slack <= region.top
        and window.right + slack >= region.right
        and window.bottom + slack >= region.bottom
    )


def _seen(tile: Box, close: Sequence[Box]) -> float:
    """Return the largest part of `tile` that one window covers."""
    area = (tile.right - tile.left) * (tile.bottom - tile.top)
    return max((shared_area(tile, each) / area for each in close), default=0.0)

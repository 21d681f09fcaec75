"""Grids of overlapping tiles over a picture, and the size in which it has to be decoded for them."""

from camiohookd.config.detail import Detail
from camiohookd.pictures.detections import Box

OVERLAP = 0.25
"""The part of a tile's side that the next tile covers, too. An object up to that size is whole in one tile at least.

SAHI's examples use 0.2 (Akyon et al., Slicing Aided Hyper Inference, ICIP 2022); 0.25 also fits people in the courtyard
of `tests/bench/quality.py`.
"""

MAX_PARTS = 4
"""The most columns and rows. Finer tiles take more time and memory than a small box has."""

Size = tuple[int, int]
"""Width and height, or columns and rows."""

_PARTS: dict[Detail, int] = {"whole": 1, "2x2": 2, "3x3": 3, "tiles": MAX_PARTS, "auto": MAX_PARTS}


def magnification(parts: int) -> float:
    """Return how many times a picture's side is as long as that of a tile, of which there are `parts` in a row."""
    return parts - (parts - 1) * OVERLAP


def grid(size: Size, columns: int, rows: int) -> list[Box]:
    """Return the tiles of a picture of `size` pixels, row by row, in whole pixels of the picture."""
    return [
        Box(left, top, right, bottom)
        for top, bottom in _intervals(size[1], rows)
        for left, right in _intervals(size[0], columns)
    ]


def worth(size: Size, input_size: Size) -> Size:
    """Return columns and rows of the finest grid of which no tile has to be scaled up to the model's input."""
    columns, rows = (_finest(side, wanted) for side, wanted in zip(size, input_size, strict=True))
    return columns, rows


def parts(detail: Detail, size: Size, input_size: Size) -> Size:
    """Return columns and rows of the grid that `detail` means for a picture of `size` pixels."""
    if detail in ("tiles", "auto"):
        return worth(size, input_size)
    return _PARTS[detail], _PARTS[detail]


def decode_size(detail: Detail, input_size: Size) -> Size:
    """Return the width and height that a decoded picture needs, so that no tile lacks pixels that the file has."""
    scale = magnification(_PARTS[detail])
    return round(input_size[0] * scale), round(input_size[1] * scale)


def _finest(side: int, wanted: int) -> int:
    fitting = [count for count in range(1, MAX_PARTS + 1) if side >= wanted * magnification(count)]
    return max(fitting, default=1)


def _intervals(side: int, count: int) -> list[tuple[int, int]]:
    length = side / magnification(count)
    starts = [nth * length * (1 - OVERLAP) for nth in range(count)]
    return [(round(start), round(start + length)) for start in starts]

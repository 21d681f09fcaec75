"""Where the pictures of one event differ: small gray copies → what is changed in each → boxes.

The camera is fixed, so what differs has moved. Brightness tolerance: each pixel is compared in proportion to the mean
around it, so that a cloud, a lamp or the camera's exposure changes nothing. What is usual at a place is the median over
the pictures (the temporal median filter, a standard model of a background: Piccardi, Background Subtraction Techniques:
a Review, IEEE SMC 2004).

Pure functions; owned by no thread.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camiohookd.pictures.detections import Box

WIDTH = 192
"""Columns of a gray copy. A person of 2 % of the picture's height is then two to three pixels high."""

AROUND = 12
"""Compare a pixel with the mean of all pixels up to this distance, in pixels of the gray copy."""

DARK = 16.0
"""Added to the mean, so that noise in dark places does not count as a change."""

CHANGE = 0.16
"""The least difference of a changed pixel, in proportion to the mean around it."""

CELL = 4
"""The side of the cells that regions consist of, in pixels of the gray copy."""

LEAST_PIXELS = 2
"""The least number of changed pixels in a changed cell."""

Gray = NDArray[np.float32]
Mask = NDArray[np.bool_]


def gray(image: Image.Image) -> Gray:
    """Return a picture's brightness in proportion to the mean around it, `WIDTH` columns wide."""
    height = max(1, round(WIDTH * image.height / image.width))
    small = image.convert("L").resize((WIDTH, height), Image.Resampling.BOX)
    around = np.asarray(small.filter(ImageFilter.BoxBlur(AROUND)), np.float32)
    proportion: Gray = np.asarray(small, np.float32) / (around + DARK)
    return proportion


def regions(grays: Sequence[Gray]) -> list[list[Box]]:
    """Return of each picture where it differs from most of the others, as fractions of it, the largest change first.

    All have to be of one shape. A single picture has no such places.
    """
    usual = np.median(np.stack(grays), axis=0)
    return [_boxes(np.abs(each - usual) > CHANGE) for each in grays]


def _boxes(changed: Mask) -> list[Box]:
    height, width = changed.shape
    found = sorted(_connected(_cells(changed)), key=len, reverse=True)
    return [
        Box(
            min(column for _, column in cells) * CELL / width,
            min(row for row, _ in cells) * CELL / height,
            min((max(column for _, column in cells) + 1) * CELL / width, 1.0),
            min((max(row for row, _ in cells) + 1) * CELL / height, 1.0),
        )
        for cells in found
    ]


def _cells(changed: Mask) -> Mask:
    """Return which cells of `CELL` by `CELL` pixels are changed."""
    height, width = changed.shape
    padded = np.pad(changed, ((0, -height % CELL), (0, -width % CELL)))
    counts = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL).sum(axis=(1, 3))
    return np.asarray(counts >= LEAST_PIXELS)


def _connected(cells: Mask) -> list[list[tuple[int, int]]]:
    """Return the groups of cells that touch, also at corners."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(cells), strict=True)}
    groups = []
    while left:
        group = [left.pop()]
        for row, column in group:  # which grows
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            group += sorted(near)
        groups.append(group)
    return groups

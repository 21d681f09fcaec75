"""Grids of overlapping tiles."""

from itertools import pairwise

import pytest

from camiohookd.config.detail import Detail
from camiohookd.labelers.detail.tiling import OVERLAP, decode_size, grid, magnification, parts, worth
from camiohookd.pictures.detections import Box

SIZES = [(768, 576), (1920, 1080), (3840, 2160), (101, 67)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2), (4, 4)])
def test_a_grid_covers_the_picture_and_neighbors_overlap(size: tuple[int, int], shape: tuple[int, int]) -> None:
    tiles = grid(size, *shape)
    assert len(tiles) == shape[0] * shape[1]
    assert (tiles[0].left, tiles[0].top, tiles[-1].right, tiles[-1].bottom) == (0, 0, *size)
    for one, other in pairwise(tiles):
        if one.top == other.top:
            assert one.right - other.left == pytest.approx(OVERLAP * (one.right - one.left), abs=2)


def test_a_picture_that_is_no_larger_than_the_input_is_worth_no_tiles() -> None:
    assert worth((300, 300), (300, 300)) == (1, 1)
    assert worth((200, 100), (300, 300)) == (1, 1)


@pytest.mark.parametrize(
    ("size", "expected"), [((768, 576), (3, 2)), ((640, 480), (2, 1)), ((1920, 1080), (4, 4)), ((3840, 2160), (4, 4))]
)
def test_no_tile_that_a_picture_is_worth_is_scaled_up(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert worth(size, (300, 300)) == expected
    for tile in grid(size, *expected):
        assert min(tile.right - tile.left, tile.bottom - tile.top) >= 299 or 1 in expected


@pytest.mark.parametrize(
    ("detail", "expected"), [("whole", (1, 1)), ("2x2", (2, 2)), ("3x3", (3, 3)), ("tiles", (3, 2))]
)
def test_each_word_means_a_grid(detail: Detail, expected: tuple[int, int]) -> None:
    assert parts(detail, (768, 576), (300, 300)) == expected


@pytest.mark.parametrize(("detail", "scale"), [("whole", 1.0), ("2x2", 1.75), ("3x3", 2.5)])
def test_a_picture_is_decoded_as_large_as_its_tiles_need(detail: Detail, scale: float) -> None:
    assert decode_size(detail, (300, 200)) == (300 * scale, 200 * scale)


def test_tiles_of_a_grid_are_as_large_as_its_magnification_says() -> None:
    assert grid((700, 700), 2, 2)[0] == Box(0, 0, 700 / magnification(2), 700 / magnification(2))

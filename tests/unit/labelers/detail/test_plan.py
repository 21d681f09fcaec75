"""Which parts of a picture are looked at."""

import pytest

from camiohookd.labelers import ChangedRegions
from camiohookd.labelers.detail.plan import planned, windows
from camiohookd.labelers.detail.tiling import grid
from camiohookd.pictures.detections import Box

SIZE, INPUT = (768, 576), (300, 300)
GRID = grid(SIZE, 3, 2)


def contains(window: Box, box: Box) -> bool:
    return all((window.left <= box.left, window.top <= box.top, window.right >= box.right, window.bottom >= box.bottom))


def in_pixels(box: Box) -> Box:
    return Box(box.left * SIZE[0], box.top * SIZE[1], box.right * SIZE[0], box.bottom * SIZE[1])


def test_a_picture_that_was_not_compared_gets_the_grid_that_it_is_worth() -> None:
    assert planned(SIZE, INPUT, None) == GRID
    assert planned((200, 200), INPUT, None) == []


def test_the_grid_is_shared_between_the_pictures_of_an_event_where_nothing_changes() -> None:
    plans = [planned(SIZE, INPUT, ChangedRegions((), nth, 4)) for nth in range(4)]
    assert sorted(tile for plan in plans for tile in plan) == sorted(GRID)


def test_a_window_of_the_inputs_size_around_a_change_comes_first() -> None:
    change = Box(0.5, 0.5, 0.55, 0.6)
    first = planned(SIZE, INPUT, ChangedRegions((change,), 0, 4))[0]
    assert contains(first, in_pixels(change))
    assert (first.right - first.left, first.bottom - first.top) == INPUT


def test_changes_that_fit_together_share_a_window() -> None:
    near, far = (Box(0.1, 0.1, 0.15, 0.2), Box(0.3, 0.3, 0.35, 0.4)), Box(0.9, 0.8, 0.95, 0.9)
    found = windows(SIZE, INPUT, [*near, far])
    assert len(found) == 2
    for change in (*near, far):
        assert any(contains(window, in_pixels(change)) for window in found)


def test_a_large_change_gets_a_larger_window() -> None:
    change = Box(0.1, 0.0, 0.9, 0.9)
    (window,) = windows(SIZE, INPUT, [change])
    assert contains(window, in_pixels(change))
    assert contains(Box(0, 0, *SIZE), window)


@pytest.mark.parametrize("count", [6, 40])
def test_a_picture_that_changes_everywhere_gets_the_grid(count: int) -> None:
    everywhere = tuple(Box(x / 10, y / 10, x / 10 + 0.05, y / 10 + 0.05) for x in range(10) for y in range(10))
    assert planned(SIZE, INPUT, ChangedRegions(everywhere, 0, count)) == GRID


def test_a_window_of_a_large_picture_is_no_smaller_than_the_smallest_tile() -> None:
    (window,) = windows((3840, 2160), INPUT, [Box(0.5, 0.5, 0.52, 0.52)])
    assert window.right - window.left == pytest.approx(3840 / 3.25, abs=1)


def test_snow_gets_the_grid_without_a_long_choice_of_windows() -> None:
    """The choice takes the cube of the number of regions: for these it would take minutes."""
    flakes = tuple(Box(x / 40, y / 30, (x + 0.5) / 40, (y + 0.5) / 30) for x in range(40) for y in range(30))
    assert planned(SIZE, INPUT, ChangedRegions(flakes, 0, 4)) == GRID

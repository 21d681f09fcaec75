"""A box in pixels, y down ↔ a polygon in fractions, y up."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from camiohookd.pictures.detections import Box, polygon

sides = st.integers(1, 20_000)
anywhere = st.floats(-1e5, 1e5)


@st.composite
def boxes_in_pictures(draw: st.DrawFn) -> tuple[Box, int, int]:
    width, height = draw(sides), draw(sides)
    left, right = sorted((draw(st.floats(0, width)), draw(st.floats(0, width))))
    top, bottom = sorted((draw(st.floats(0, height)), draw(st.floats(0, height))))
    return Box(left, top, right, bottom), width, height


def test_a_box_is_its_four_corners_from_the_bottom_left_one_counter_clockwise() -> None:
    box = Box(left=20, top=30, right=80, bottom=90)
    assert polygon(box, 200, 100) == ((0.1, 0.1), (0.4, 0.1), (0.4, 0.7), (0.1, 0.7))


def test_a_box_at_the_top_of_the_picture_has_the_highest_y() -> None:
    assert {y for _, y in polygon(Box(0, 0, 10, 0), 10, 10)} == {1.0}


def test_the_whole_picture_is_the_unit_square() -> None:
    assert polygon(Box(0, 0, 640, 480), 640, 480) == ((0, 0), (1, 0), (1, 1), (0, 1))


@given(boxes_in_pictures())
def test_the_polygon_leads_back_to_the_box_within_its_rounding(given_box: tuple[Box, int, int]) -> None:
    box, width, height = given_box
    (left, bottom), _, (right, top), _ = polygon(box, width, height)
    assert left * width == pytest.approx(box.left, abs=width * 0.5001e-4)
    assert right * width == pytest.approx(box.right, abs=width * 0.5001e-4)
    assert (1 - bottom) * height == pytest.approx(box.bottom, abs=height * 0.5001e-4)
    assert (1 - top) * height == pytest.approx(box.top, abs=height * 0.5001e-4)


@given(boxes_in_pictures())
def test_turning_the_picture_upside_down_turns_the_polygon_upside_down(given_box: tuple[Box, int, int]) -> None:
    box, width, height = given_box
    turned = box._replace(top=height - box.bottom, bottom=height - box.top)
    (_, bottom), _, (_, top), _ = polygon(box, width, height)
    (_, turned_bottom), _, (_, turned_top), _ = polygon(turned, width, height)
    assert turned_bottom == pytest.approx(1 - top, abs=1.01e-4)
    assert turned_top == pytest.approx(1 - bottom, abs=1.01e-4)


@given(anywhere, anywhere, anywhere, anywhere, sides, sides)
def test_every_point_is_in_the_picture_with_four_decimals(
    left: float, top: float, right: float, bottom: float, width: int, height: int
) -> None:
    assume(left <= right and top <= bottom)
    points = polygon(Box(left, top, right, bottom), width, height)
    assert all(0 <= part <= 1 and round(part, 4) == part for point in points for part in point)

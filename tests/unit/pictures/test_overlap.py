"""Intersection over union of boxes."""

import numpy as np
import pytest

from camiohookd.pictures.overlap import overlaps


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),
        ((0, 0, 2, 2), (5, 5, 6, 6), 0.0),
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),
        ((1, 1, 1, 1), (1, 1, 1, 1), 0.0),
    ],
)
def test_divides_the_shared_area_by_the_area_of_both(
    one: tuple[int, ...], other: tuple[int, ...], expected: float
) -> None:
    assert overlaps([one], [other])[0, 0] == pytest.approx(expected)
    assert overlaps([other], [one])[0, 0] == pytest.approx(expected)


def test_compares_each_box_with_each_other_one() -> None:
    ratios = overlaps([(0, 0, 1, 1), (0, 0, 2, 1)], [(0, 0, 1, 1), (1, 0, 2, 1), (5, 5, 6, 6)])
    assert ratios == pytest.approx(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))

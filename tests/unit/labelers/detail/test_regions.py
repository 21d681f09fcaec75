"""Where the pictures of one event differ."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from camiohookd.labelers.detail.regions import gray, regions
from tests.support.square_finder import scene

SIZE = (768, 576)


def test_finds_what_has_moved_in_each_picture_and_not_what_stands_still() -> None:
    pictures = [scene(SIZE, (600, 400, 60), (100 + 150 * nth, 100, 40)) for nth in range(4)]
    for nth, found in enumerate(regions([gray(each) for each in pictures])):
        (box,) = found
        left, top, right, bottom = (side * length for side, length in zip(box, SIZE * 2, strict=True))
        assert (left, top, right, bottom) == pytest.approx((100 + 150 * nth, 100, 140 + 150 * nth, 140), abs=40)


@pytest.mark.parametrize("factor", [0.6, 1.3])
def test_light_that_changes_is_no_change(factor: float) -> None:
    plain = scene(SIZE, (600, 400, 60))
    noise = np.random.default_rng(1).normal(0, 3, (*SIZE[::-1], 3))
    noisy = Image.fromarray(np.clip(np.asarray(plain) + noise, 0, 255).astype(np.uint8))
    assert regions([gray(each) for each in (plain, noisy, ImageEnhance.Brightness(plain).enhance(factor))]) == [[]] * 3


def test_of_a_single_picture_nothing_is_known() -> None:
    assert regions([gray(scene(SIZE, (100, 100, 40)))]) == [[]]


def test_the_largest_change_comes_first() -> None:
    pictures = [scene(SIZE), scene(SIZE), scene(SIZE, (100, 100, 30), (400, 300, 120))]
    large, small = regions([gray(each) for each in pictures])[2]
    assert large.right - large.left > small.right - small.left

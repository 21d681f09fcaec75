"""How a part of a picture looks."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from camiohookd.pictures.detections import Box
from camiohookd.pictures.looks import likeness, looks, view
from tests.support.square_finder import scene

SIZE = (400, 300)
PART = Box(0.25, 0.25, 0.5, 0.5)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)).resize(SIZE)


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.4])
def test_the_same_part_is_alike_in_any_light(factor: float) -> None:
    image = noise(1)
    brighter = ImageEnhance.Brightness(image).enhance(factor)
    assert likeness(looks(image, PART), looks(brighter, PART)) > 0.95
    assert likeness(view(image), view(brighter)) > 0.9


def test_other_parts_are_not_alike() -> None:
    assert abs(likeness(looks(noise(1), PART), looks(noise(2), PART))) < 0.5
    assert abs(likeness(view(noise(1)), view(noise(2)))) < 0.3


def test_a_flat_part_is_like_nothing() -> None:
    flat = looks(Image.new("RGB", SIZE, "gray"), PART)
    assert likeness(flat, flat) == 0.0


def test_a_view_stays_alike_when_something_comes_into_it() -> None:
    assert likeness(view(noise(1)), view(Image.composite(noise(1), scene(SIZE), Image.new("L", SIZE, 255)))) > 0.9

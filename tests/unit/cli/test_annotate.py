"""Captions are readable wherever an object is."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camiohookd.cli.label.annotate import annotate
from camiohookd.config.rule import Zone
from camiohookd.pictures.detections import Box, Detection


def letter_rows(box: Box, labeler: str | None = None) -> int:
    """Return the number of pixel rows with letters of the caption, on white."""
    drawn = annotate(Image.new("RGB", (450, 300), "white"), [Detection("cat", 0.92, box, labeler=labeler)])
    return int((np.asarray(drawn).max(axis=2) < 60).any(axis=1).sum())


@pytest.mark.parametrize("top", [0.0, 0.3, 0.6, 1.2, 2.7, 11.4, 60.5])
def test_draws_whole_letters_at_the_upper_edge(top: float) -> None:
    assert letter_rows(Box(0.4, top, 200, 290)) == letter_rows(Box(100, 100, 200, 290))


@pytest.mark.parametrize("count", [1, 2, 6])
def test_captions_do_not_cover_the_name_of_a_zone(count: int) -> None:
    """Only the zone's name has the zone's full color; objects leave the number of these pixels unchanged."""
    zone = Zone(name="drive", polygon=((0.2, 0.3), (0.9, 0.3), (0.9, 0.9), (0.2, 0.9)))
    objects = [Detection("cat", 0.9 - number / 10, Box(90, 91 + number, 400, 270)) for number in range(count)]
    reasons = [(found, "outside zone drive") for found in objects]

    def name_pixels(*found: Iterable[Any]) -> int:
        drawn = np.asarray(annotate(Image.new("RGB", (450, 300), "black"), found[0], [zone], found[1]))
        return int((drawn[60:88, 88:130] == (80, 230, 120)).all(axis=2).sum())

    alone = name_pixels([], [])
    assert alone > 100
    assert name_pixels(objects, []) >= alone
    assert name_pixels([], reasons) >= alone
    assert name_pixels(objects, reasons) >= alone


def test_a_caption_names_the_labeler_where_there_are_several() -> None:
    def width(labeler: str | None) -> int:
        found = Detection("cat", 0.92, Box(10, 100, 440, 290), labeler=labeler)
        drawn = np.asarray(annotate(Image.new("RGB", (450, 300), "white"), [found]))
        return int((drawn[:98].max(axis=2) < 60).any(axis=0).nonzero()[0][-1])

    assert width("breeds") > width(None) + 20


def test_a_caption_with_the_labelers_name_has_small_letters_so_that_it_covers_less() -> None:
    assert letter_rows(Box(10, 100, 200, 290), "breeds") < letter_rows(Box(10, 100, 200, 290))

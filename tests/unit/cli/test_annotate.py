"""Captions can be read wherever an object is."""

import numpy as np
import pytest
from PIL import Image

from camiohookd.cli.annotate import annotate
from camiohookd.pictures.detections import Box, Detection


def letter_rows(box: Box) -> int:
    """How many rows of pixels the letters of the caption take, on white."""
    drawn = annotate(Image.new("RGB", (450, 300), "white"), [Detection("cat", 0.92, box)])
    return int((np.asarray(drawn).max(axis=2) < 60).any(axis=1).sum())


@pytest.mark.parametrize("top", [0.0, 0.3, 0.6, 1.2, 2.7, 11.4, 60.5])
def test_a_caption_has_all_of_its_letters_also_at_the_upper_edge(top: float) -> None:
    assert letter_rows(Box(0.4, top, 200, 290)) == letter_rows(Box(100, 100, 200, 290))

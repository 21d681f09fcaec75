"""A labeler that finds a red square only if it is large enough in the input, as a model finds far-away objects."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection

RED = (255, 0, 0)


class SquareFinder:
    """Finds one red square in a picture if its side is `least` pixels or more in an input of 100x100 pixels.

    `looks` are the sizes of what was given to it, in pixels of the picture; `before_look` is called before each.
    """

    device = "cpu"
    input_size = (100, 100)
    at_once = 1
    default_probability = 0.5

    def __init__(self, least: int = 6) -> None:
        self._least = least
        self.looks: list[tuple[int, int]] = []
        self.before_look: Callable[[], object] = lambda: None

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        return Findings([self._find(frame.decoded) for frame in frames])

    def close(self) -> None:
        pass

    def _find(self, picture: Decoded) -> list[Detection]:
        self.before_look()
        self.looks.append((picture.width, picture.height))
        pixels = np.asarray(picture.image.resize(self.input_size, Image.Resampling.NEAREST)).astype(int)
        red = pixels[..., 0] - pixels[..., 1] > 100
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        if len(rows) < self._least or len(columns) < self._least:
            return []
        across, down = picture.width / self.input_size[0], picture.height / self.input_size[1]
        return [
            Detection(
                "square",
                0.9,
                Box(columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down),
            )
        ]


def scene(size: tuple[int, int], *squares: tuple[int, int, int]) -> Image.Image:
    """Return a picture with red squares, each (left, top, side), before a background that is not flat."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    image = Image.fromarray((90 + 60 * ((across // 16 + down // 16) % 2)).astype(np.uint8)).convert("RGB")
    for left, top, side in squares:
        image.paste(RED, (left, top, left + side, top + side))
    return image

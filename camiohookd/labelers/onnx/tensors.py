"""Between pictures and a model's input: pixels → tensor on the way in, boxes → the picture's pixels on the way out.

Both ways agree on where a picture lies in the input, because both ask `_placement`.
"""

from collections.abc import Sequence
from functools import cache
from types import EllipsisType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camiohookd.labelers.decoders import Candidates
from camiohookd.labelers.model import Input
from camiohookd.pictures.decode import Decoded

PICTURE_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
INTEGER_TYPES: dict[str, type[np.generic]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
NUMPY_TYPES = PICTURE_TYPES | INTEGER_TYPES
"""The supported types of inputs and outputs, by ONNX Runtime's names."""

_RANGES = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}
"""The factor for a byte, and what is then added."""


class _Placement(NamedTuple):
    """A picture's point (x, y) lies at (x * scale[0] + left, y * scale[1] + top) of the input."""

    scale: tuple[float, float]
    left: float = 0.0
    top: float = 0.0


def tensor(images: Sequence[Image.Image], wanted: Input, kind: type[np.generic] = np.float32) -> NDArray[np.generic]:
    """Convert RGB pictures of any size to one batch, resized, ordered and scaled as the model needs.

    Returns `kind` [n, 3, height, width] or [n, height, width, 3].
    """
    sides = (wanted.height, wanted.width)
    batch = np.empty((len(images), *((*sides, 3) if wanted.layout == "NHWC" else (3, *sides))), kind)
    scaling = _scaling(wanted)
    for values, image in zip(batch, images, strict=True):
        fitting = _fit(image, wanted)
        if wanted.layout == "NHWC":
            values[:] = scaling.of(_bytes(fitting, wanted.color_order).reshape(values.shape))
            continue
        # Pillow separates the colors faster than numpy does.
        for nth, color in enumerate(wanted.color_order):
            values[nth] = scaling.of(_bytes(fitting, color).reshape(sides), nth)
    return batch


def in_picture(candidates: Candidates, picture: Decoded, used: Input) -> Candidates:
    """Convert boxes to pixels of the displayed picture and clip them to it; drop those outside."""
    sides = (picture.width, picture.height)
    scale, left, top = _placement(sides, used)
    offset, scales = np.array((left, top) * 2, np.float32), np.array(scale * 2, np.float32)
    boxes = np.clip((candidates.boxes - offset) / scales, 0, np.array(sides * 2, np.float32))
    inside = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    return candidates._replace(boxes=boxes).take(inside)


def _fit(image: Image.Image, wanted: Input) -> Image.Image:
    size = (wanted.width, wanted.height)
    scale, left, top = _placement(image.size, wanted)
    match wanted.resize:
        case "stretch":
            return _resized(image, size)
        case "crop":
            source = (-left / scale[0], -top / scale[1], (size[0] - left) / scale[0], (size[1] - top) / scale[1])
            return _resized(image, size, _within(source, image.size))
    inner = (max(1, round(image.width * scale[0])), max(1, round(image.height * scale[1])))
    canvas = Image.new("RGB", size, (wanted.padding,) * 3)
    canvas.paste(_resized(image, inner), (round(left), round(top)))
    return canvas


def _resized(
    image: Image.Image, size: tuple[int, int], source: tuple[float, float, float, float] | None = None
) -> Image.Image:
    # Averaging by a whole number first is faster and does not change the average precision measurably.
    return image.resize(size, Image.Resampling.BILINEAR, source, reducing_gap=1.0)


def _placement(sides: tuple[int, int], wanted: Input) -> _Placement:
    """Return where a picture of `sides` (width, height) pixels lies in the input."""
    size = (wanted.width, wanted.height)
    ratios = (size[0] / sides[0], size[1] / sides[1])
    if wanted.resize == "stretch":
        return _Placement(ratios)
    scale = max(ratios) if wanted.resize == "crop" else min(ratios)
    if wanted.resize == "letterbox":
        return _Placement((scale, scale))
    return _Placement((scale, scale), *((side - own * scale) / 2 for side, own in zip(size, sides, strict=True)))


def _within(box: tuple[float, float, float, float], sides: tuple[int, int]) -> tuple[float, float, float, float]:
    """Clip a box to the picture: rounding may exceed it slightly, which Pillow refuses."""
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, sides[0]), min(bottom, sides[1])


def takes_bytes(wanted: Input) -> bool:
    """Return whether color values go into the model unchanged."""
    return _scaling(wanted).is_none


class _Scaling(NamedTuple):
    """The factor and the shift for the bytes of each color, in the model's order of colors."""

    factors: NDArray[np.float32]
    shifts: NDArray[np.float32]
    is_none: bool

    def of(self, pixels: NDArray[np.uint8], color: int | EllipsisType = ...) -> NDArray[np.generic]:
        """Scale the pixels of one color, or [height, width, 3] of all."""
        return pixels if self.is_none else pixels * self.factors[color] + self.shifts[color]


@cache
def _scaling(wanted: Input) -> _Scaling:
    """Combine range, mean and std: (value in the model's range - mean) / std."""
    factor, shift = _RANGES[wanted.range]
    mean, std = np.array(wanted.mean), np.array(wanted.std)
    factors, shifts = (factor / std).astype(np.float32), ((shift - mean) / std).astype(np.float32)
    return _Scaling(factors, shifts, bool((factors == 1).all() and not shifts.any()))


def _bytes(image: Image.Image, colors: str) -> NDArray[np.uint8]:
    return np.frombuffer(image.tobytes("raw", colors), np.uint8)

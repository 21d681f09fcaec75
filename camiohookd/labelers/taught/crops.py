"""Cut the part that a label describes out of a picture, and make variations of it, because examples are few."""

from collections.abc import Sequence
from math import prod
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from camiohookd.pictures.detections import Box, moved

MARGIN = 0.1
"""The margin around an object's box, as a part of its width and height: its surroundings help to tell kinds apart."""

CONTEXT = 0.06
"""The margin that is kept around a part, as a part of its width and height, for shifted variations."""

DARKER, BRIGHTER = 0.65, 1.4
"""By what the brightness is multiplied in variations."""

NOISE = 8.0
"""The standard deviation of the noise in the darker variation of a zone, of 255: a camera amplifies it in the dark."""

_LEAST_SIDE = 4
_SHIFT = 0.05
_REDUCTIONS = (8, 4, 2)


def reduced(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Reduce a picture as decoding does for a labeler whose input is `size`: by 2, 4 or 8, not below `size`.

    So a picture that was decoded in full is as sharp as the examples were.
    """
    for factor in _REDUCTIONS:
        if image.width >= factor * size[0] and image.height >= factor * size[1]:
            return image.reduce(factor)
    return image


def bounds(corners: Sequence[tuple[float, float]]) -> Box:
    """Return the smallest box around `corners`."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Box(min(xs), min(ys), max(xs), max(ys))


def widened(box: Box, part: float) -> Box:
    """Return `box` with `part` of its width and height more on each side."""
    across, down = part * (box.right - box.left), part * (box.bottom - box.top)
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down)


def cut(image: Image.Image, box: Box) -> Image.Image:
    """Return the part of `image` in `box` (its pixels), clipped to it and at least a few pixels wide and high."""
    left, right = _span(box.left, box.right, image.width)
    top, bottom = _span(box.top, box.bottom, image.height)
    return image.crop((left, top, right, bottom))


def not_sharper(image: Image.Image, size: tuple[float, float]) -> Image.Image:
    """Reduce `image` to `size`, the usual size of the examples in pixels, if it is larger.

    Return it unchanged if `size` is (0, 0). A picture that is sharper than all examples would seem to be unlike them.
    """
    width, height = round(size[0]), round(size[1])
    if not (0 < width < image.width and 0 < height < image.height):
        return image
    return image.resize((width, height), Image.Resampling.BOX)


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    start = min(max(round(low), 0), max(length - _LEAST_SIDE, 0))
    return start, min(max(round(high), start + _LEAST_SIDE), length)


def variations(image: Image.Image, box: Box, count: int, *, flip: bool, noise: bool = False) -> list[Image.Image]:
    """Return `count` variations of the part of `image` in `box`, the part as it is first.

    They are darker, brighter, shifted and less sharp ones; with `flip` also the mirror image. At most 7. With `noise`
    the darker one is noisy. Objects need that off: they may have so few pixels that noise hides what they are.
    """
    across, down = _SHIFT * (box.right - box.left), _SHIFT * (box.bottom - box.top)
    plain = cut(image, box)
    darker = ImageEnhance.Brightness(plain).enhance(DARKER)
    made = [plain]
    if flip:
        made.append(plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    made += [
        _noisy(darker) if noise else darker,
        cut(image, moved(box, across, down)),
        ImageEnhance.Brightness(plain).enhance(BRIGHTER),
        _blurred(plain),
        cut(image, moved(box, -across, -down)),
    ]
    return made[:count]


def _noisy(image: Image.Image) -> Image.Image:
    """Add noise to `image`, the same one each time, so that the same examples teach the same."""
    pixels = np.asarray(image, np.float32)
    return Image.fromarray((pixels + np.float32(NOISE) * _noise(pixels.shape)).clip(0, 255).astype(np.uint8))


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return nearly normal noise with mean 0 and deviation 1: sums of four bytes. The package has no numpy.random."""
    source = Random(1).randbytes(4 * prod(shape))  # noqa: S311  # the same noise each time; nothing is kept secret
    sums = np.frombuffer(source, np.uint8).reshape(4, *shape).sum(axis=0, dtype=np.float32)
    return np.asarray((sums - 4 * 127.5) / (4 * (256**2 - 1) / 12) ** 0.5, np.float32)


def _blurred(image: Image.Image) -> Image.Image:
    half = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)), Image.Resampling.BOX)
    return half.resize(image.size, Image.Resampling.BILINEAR)

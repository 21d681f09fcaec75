"""Pictures of a yard with a gate that is open or closed, under random light, noise and shadow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = (768, 576)
GATE = (500, 330, 640, 430)
"""The gate's place: left, top, right, bottom in pixels."""

ZONE = ((0.64, 0.54), (0.85, 0.54), (0.85, 0.78), (0.64, 0.78))
"""A zone around it: corners in fractions of the picture, y down, as in the settings."""

_COURTYARD = Path(__file__).parents[3] / "shared" / "courtyard"


def courtyard_frames() -> list[Image.Image]:
    """Return the frames of one fixed camera; none if their folder is not beside the checkout."""
    frames = []
    for file in sorted(_COURTYARD.glob("*.jpg")):
        with Image.open(file) as picture:
            frames.append(picture.convert("RGB"))
    return frames


def made_frames(count: int, seed: int) -> list[Image.Image]:
    """Draw yards with a wall, a ground and a few people who stand in other places in each."""
    random = np.random.default_rng(seed)
    return [_yard(random) for _ in range(count)]


def _yard(random: np.random.Generator) -> Image.Image:
    frame = Image.new("RGB", SIZE, (150, 140, 130))
    draw = ImageDraw.Draw(frame)
    draw.rectangle((0, 250, *SIZE), fill=(105, 110, 100))
    for row in range(0, 250, 25):
        draw.line((0, row, SIZE[0], row), fill=(125, 115, 108))
    for _ in range(random.integers(2, 7)):
        x, y = int(random.integers(0, SIZE[0])), int(random.integers(200, 520))
        color = tuple(int(value) for value in random.integers(20, 220, 3))
        draw.ellipse((x - 7, y - 60, x + 7, y - 44), fill=(200, 160, 130))
        draw.rectangle((x - 11, y - 44, x + 11, y), fill=color)
    return frame.filter(ImageFilter.GaussianBlur(0.8))


def pictures(frames: Sequence[Image.Image], count: int, seed: int, *, closed: bool) -> list[Image.Image]:
    """Return `count` pictures of the gate in one state, each in a random one of `frames`."""
    random = np.random.default_rng(seed)
    return [_picture(frames[int(random.integers(len(frames)))], random, closed=closed) for _ in range(count)]


def _picture(frame: Image.Image, random: np.random.Generator, *, closed: bool) -> Image.Image:
    picture = frame.copy()
    left, top, right, bottom = (int(side + random.integers(-2, 3)) for side in GATE)
    draw = ImageDraw.Draw(picture)
    for post in (left, right):
        draw.rectangle((post - 5, top - 8, post + 5, bottom), fill=(70, 65, 60))
    end = right if closed else left + (right - left) // 5  # open: it is swung aside, seen from its end
    bars = 12
    for nth in range(bars + 1):
        x = left + (end - left) * nth / bars
        draw.line((x, top, x, bottom), fill=(50, 55, 60), width=3)
    for y in (top + 4, bottom - 6):
        draw.line((left, y, end, y), fill=(50, 55, 60), width=5)
    return _weathered(picture, random)


def _weathered(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    light = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(random.uniform(0.7, 1.5))
    pixels = light[np.asarray(picture)] * (random.uniform(0.45, 1.25) * random.uniform(0.92, 1.08, 3)).astype(
        np.float32
    )
    pixels *= _shadow(random)[..., None]
    pixels += np.float32(random.uniform(0.0, 0.05)) * random.standard_normal(pixels.shape, np.float32)
    return Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))


def _shadow(random: np.random.Generator) -> NDArray[np.float32]:
    """Return factors [height, width]: a straight edge at a random place divides light and shadow."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0.4, 1.0)
    center = (random.uniform(GATE[0], GATE[2]), random.uniform(GATE[1], GATE[3]))
    side = (x - center[0]) * np.cos(angle) + (y - center[1]) * np.sin(angle)
    return np.where(side > 0, np.float32(depth), np.float32(1))

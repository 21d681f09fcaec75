"""Teach in tests without a model: the features of a picture are its colors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camiohookd.labelers.taught.store import Taught, TaughtZone
from camiohookd.labelers.taught.teaching import Example, Subject, teach
from camiohookd.pictures.detections import Box

LIGHT = TaughtZone("yard", "lamp", ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)))
MODEL = "a" * 64


class Colors:
    """Features of a picture: the mean of each color, together of length 1."""

    tensors: tuple[str, ...] = ("colors",)
    input_size = (32, 32)

    def features(self, image: Image.Image) -> NDArray[np.float32]:
        means = np.asarray(image, np.float32).reshape(-1, 3).mean(axis=0) + 1
        return np.asarray(means / np.linalg.norm(means), np.float32)


def lamp(red: int, green: int) -> Image.Image:
    """Return a picture of one color."""
    return Image.new("RGB", (64, 64), (red, green, 40))


def example(label: str, red: int, green: int, event: str = "") -> Example:
    source = f"{label}-{red}-{green}.jpg"
    return Example(source, label, event or source, lamp(red, green), Box(0, 0, 32, 32))


def lamps(count: int = 6) -> list[Example]:
    """Return examples of a red and of a green lamp, each of its own event."""
    reds = [example("red", 200 + 5 * nth, 40 + 3 * nth) for nth in range(count)]
    return reds + [example("green", 40 + 3 * nth, 200 + 5 * nth) for nth in range(count)]


def taught_lamp(
    name: str = "lamp", *, examples: Sequence[Example] | None = None, keep_crops: bool = True, steady: int = 1
) -> Taught:
    """Return a lamp that is taught."""
    subject = Subject(name, LIGHT, None, steady=steady)
    return teach(subject, examples or lamps(), Colors(), MODEL, keep_crops=keep_crops)

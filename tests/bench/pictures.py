"""The bundled photographs in the sizes of cameras."""

import io
from functools import cache

from PIL import Image

from tests.support.daemon_process import SAMPLES

NAMES = ("astronaut.jpg", "chelsea.jpg", "coffee.jpg", "motorcycle_left.jpg")


@cache
def jpegs(width: int, height: int, quality: int = 85) -> tuple[bytes, ...]:
    """Return all four, stretched to `width` x `height` pixels."""
    return tuple(_jpeg(name, width, height, quality) for name in NAMES)


def padded(pictures: tuple[bytes, ...], size: int) -> tuple[bytes, ...]:
    """Pad each to exactly `size` bytes. A decoder ignores what follows the end of a JPEG."""
    assert all(len(picture) <= size for picture in pictures)
    return tuple(picture.ljust(size, b"\0") for picture in pictures)


def _jpeg(name: str, width: int, height: int, quality: int) -> bytes:
    file = io.BytesIO()
    with Image.open(SAMPLES / name) as image:
        image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return file.getvalue()

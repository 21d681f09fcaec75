"""A picture's file ─▶ a small JPEG of it."""

import io

from PIL import Image

from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.file_kind import format_of
from camiohookd.pictures.jpeg_file import orientation_of
from camiohookd.pictures.memory import MemoryBudget

QUALITY = 55


SMALL_SIDE, SMALL_BYTES = 640, 24_000
"""A file of at most so many pixels on its longer side and so many bytes is small enough as it is."""


def thumbnail(data: bytes, size: tuple[int, int], side: int, limits: PictureLimits, budget: MemoryBudget) -> bytes:
    """Return a JPEG whose longer side has at most `side` pixels, of a picture that is displayed in `size` pixels.

    A JPEG that is small enough anyway is returned as it is. Raises PictureError if the file cannot be
    decoded; NoRoom if the `budget` has no memory for it now.
    """
    if len(data) <= SMALL_BYTES and max(size) <= SMALL_SIDE and _is_upright_jpeg(data):
        return data
    scale = min(side / max(size), 1.0)
    reduced = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    decoded = decode(data, limits, reduced, budget, wait=False)
    try:
        image = decoded.image
        if image.size != reduced:
            image = image.resize(reduced, Image.Resampling.BILINEAR)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY)
    finally:
        decoded.release()
    return file.getvalue()


def _is_upright_jpeg(data: bytes) -> bool:
    if format_of(data) != "jpeg":
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return orientation_of(image) == 1
    except Exception:  # noqa: BLE001  # Pillow raises anything on damaged files: decode repairs them, or says why not
        return False

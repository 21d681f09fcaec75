"""Stored pixels → pixels as they are displayed: RGB, upright, and no larger than needed."""

from PIL import Image

UPRIGHT = {  # EXIF 2.32, tag 0x0112: how the stored picture is turned to be displayed
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}
"""The orientations in which width and height change places."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode an opened picture, and return it in RGB."""
    image.load()
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip at 255
        return image.convert("I").point(lambda value: value / 257).convert("L").convert("RGB")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image turned as EXIF's `orientation` says."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def reduced(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Return the image averaged by a whole number, so that it still covers `size`; one pixel for (1, 1)."""
    if size is None:
        return image
    if size == (1, 1):
        return image.reduce(image.size)
    factor = min(image.width // size[0], image.height // size[1])
    return image.reduce(factor) if factor > 1 else image

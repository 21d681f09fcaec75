"""A picture's file: its bytes → pixels as a person would see them, within limits.

`decode` looks at the bytes' count, then at a JPEG's parts, then at the header (format, size), and only then decodes; a
JPEG in the smallest scale that still covers the labeler's input. Whatever is wrong with the bytes ends as a
`PictureError`.

Owned by no thread: the functions keep nothing between calls.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Literal

from PIL import ExifTags, Image, UnidentifiedImageError

from camiohookd.errors import PictureError
from camiohookd.pictures.jpeg_scan import count_scans

Format = Literal["jpeg", "png", "webp"]

_SIGNATURES: dict[Format, tuple[bytes, int]] = {  # the bytes that tell a format, and where they are
    "jpeg": (b"\xff\xd8\xff", 0),
    "png": (b"\x89PNG\r\n\x1a\n", 0),
    "webp": (b"WEBP", 8),
}
_NAMES: dict[Format, str] = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP"}

_UPRIGHT = {  # EXIF 2.32, tag 0x0112: how the stored picture is turned to be displayed
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}

# `PictureLimits.max_pixels` is checked from the header; Pillow's own bound warns on stderr and cannot be set per call.
Image.MAX_IMAGE_PIXELS = None
# A picture is used or refused with a reason; what Pillow thinks of its metadata helps nobody.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is let in: file formats, pixels (width x height) and bytes of one picture."""

    formats: tuple[Format, ...] = ("jpeg",)
    max_pixels: int = 40_000_000
    max_bytes: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture as it is displayed.

    `image` is RGB and may be smaller than the picture, in the same proportions but for rounding; `width` and
    `height` are the pixels of the displayed picture in full, and what boxes refer to.
    """

    image: Image.Image
    width: int
    height: int


def decode(data: bytes, limits: PictureLimits, size: tuple[int, int] | None) -> Decoded:
    """Decode a file's bytes for a labeler whose input is `size` (width, height) pixels; None decodes in full.

    Both sides of `Decoded.image` are at least `size`'s, unless the picture's own are smaller. Transparency is
    ignored; of several frames the first is used.

    Raises `PictureError`, and nothing else, on whatever bytes.
    """
    if not data:
        raise PictureError("the picture is empty")
    if len(data) > limits.max_bytes:
        raise PictureError(
            f"the picture is too large: {len(data):,} bytes, allowed are {limits.max_bytes:,} "
            "(setting images.max_bytes)"
        )
    try:
        return _decode(data, limits, size)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(_why_unidentified(data, limits)) from None
    except Exception as error:  # Pillow raises anything from struct.error to MemoryError on bad bytes
        raise PictureError(f"the picture is damaged: {error or type(error).__name__}") from error


def _decode(data: bytes, limits: PictureLimits, size: tuple[int, int] | None) -> Decoded:
    scans = count_scans(data) if data.startswith(_SIGNATURES["jpeg"][0]) else 0
    with Image.open(io.BytesIO(data), formats=[name.upper() for name in limits.formats]) as image:
        width, height = image.size
        _check_pixels(width, height, scans, limits)
        orientation = _orientation(image)
        if size is not None:
            # A no-op for all but JPEG, whose decoder can leave out detail: 1/2, 1/4 or 1/8 of each side.
            image.draft(None, size[::-1] if orientation in _SIDEWAYS else size)
        rgb = _rgb(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Decoded(rgb, width, height)


def _check_pixels(width: int, height: int, scans: int, limits: PictureLimits) -> None:
    if width * height > limits.max_pixels:
        raise PictureError(
            f"the picture has too many pixels: {width} x {height} is {width * height:,} pixels, "
            f"allowed are {limits.max_pixels:,} (setting images.max_pixels)"
        )
    if scans > 1 and width * height > limits.max_pixels // 2:
        # All of it is kept until the last scan is in, at full size too where a smaller one is asked for.
        raise PictureError(
            f"the picture has too many pixels for a progressive one: {width} x {height} is {width * height:,} pixels, "
            f"allowed are half of {limits.max_pixels:,} (setting images.max_pixels)"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  # damaged EXIF data raises anything, and does not make the pixels unusable
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip at 255
        return image.convert("I").point(lambda value: value / 257).convert("L").convert("RGB")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _why_unidentified(data: bytes, limits: PictureLimits) -> str:
    allowed = " or ".join(_NAMES[name] for name in limits.formats)
    for name, (signature, offset) in _SIGNATURES.items():
        if data.startswith(signature, offset):
            if name in limits.formats:
                return f"the picture's {_NAMES[name]} header is damaged or cut off"
            return f"the picture is a {_NAMES[name]}, only {allowed} is allowed (setting images.formats)"
    return f"the file is not a {allowed} picture"

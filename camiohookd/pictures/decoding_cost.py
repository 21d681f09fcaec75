"""Compute from a picture's header how many bytes decoding takes at its peak.

Upper bounds, measured with Pillow 13, libjpeg-turbo 3.2 and libwebp 1.6; tests/security/test_picture_memory.py compares
them with what a process takes.
"""

from camiohookd.errors import PictureError
from camiohookd.pictures.file_kind import Format

RGB_BYTES = 4
"""Pillow stores a pixel of three or four channels in four bytes."""

FIXED_BYTES = 2_000_000
"""What does not grow with the picture: buffers, tables, Pillow's blocks."""

_CANVAS = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
_COEFFICIENT_BYTES = 2  # per pixel and component: a JPEG of several scans is kept as coefficients until the last one
_WEBP_BYTES = 12  # per pixel: libwebp's two canvases and the frame that it hands over


def bytes_to_decode(
    name: Format,
    mode: str,
    size: tuple[int, int],
    *,
    whole: tuple[int, int],
    in_scans: bool = False,
    turned: bool = False,
) -> int:
    """Return the peak for an image of Pillow's `mode` that is decoded to `size` out of `whole` (width, height) pixels.

    `in_scans` says that a JPEG has several scans; `turned` says whether the pixels are turned afterwards.
    """
    pixels = size[0] * size[1]
    canvas = _CANVAS.get(mode, RGB_BYTES)
    converted = 0 if mode == "RGB" else RGB_BYTES
    if mode == "P" or mode.startswith("I"):  # by way of RGBA, or of 32-bit integers
        converted += RGB_BYTES
    peak = pixels * max(canvas + converted, 2 * RGB_BYTES if turned else 0)
    if name == "jpeg" and in_scans:
        components = {"L": 1, "CMYK": 4}.get(mode, 3)
        peak += _COEFFICIENT_BYTES * components * (whole[0] + 16) * (whole[1] + 16)
    if name == "webp":
        peak = pixels * (_WEBP_BYTES + canvas + converted)
    return peak + FIXED_BYTES


def webp_size(data: bytes) -> tuple[int, int]:
    """Return a WebP file's width and height in pixels (RFC 9649, sections 2.5 to 2.7), without decoding it.

    libwebp takes the memory for its canvases when it is given the file, so this is needed before. Raises
    PictureError.
    """
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) == 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    raise PictureError("the picture's WebP header is damaged or cut off")

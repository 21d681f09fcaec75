"""Decode bytes to upright RGB pixels, or raise a `PictureError` with the reason."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from camiohookd.errors import PictureError
from camiohookd.pictures.decode import PictureLimits, decode

SIZE = (300, 300)
ALL = PictureLimits(formats=("jpeg", "png", "webp"))
ORIENTATION = 0x0112

# As in production, where Pillow's warnings about odd metadata are silenced.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def encoded(image: Image.Image, file_format: str = "JPEG", orientation: int | None = None, **options: object) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(1).randbytes(3 * width * height))


def corners(image: Image.Image) -> str:
    """Return the names of the colors near the corners: top left, top right, bottom left, bottom right."""
    right, bottom = image.width - 4, image.height - 4
    return "".join(
        name_of(np.asarray(image)[y, x] > 127) for x, y in ((4, 4), (right, 4), (4, bottom), (right, bottom))
    )


def name_of(channels: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> str:
    return {(True, False, False): "R", (False, True, False): "G", (False, False, True): "B"}.get(
        (bool(channels[0]), bool(channels[1]), bool(channels[2])), "W"
    )


def four_colors(width: int, height: int) -> Image.Image:
    """Return a picture: red and green at the top, blue and white at the bottom."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return image


def test_decodes_a_small_jpeg_in_its_own_size() -> None:
    picture = decode(encoded(noise(120, 80)), PictureLimits(), SIZE)
    assert (picture.image.size, picture.image.mode) == ((120, 80), "RGB")
    assert (picture.width, picture.height) == (120, 80)


def test_a_12_megapixel_jpeg_is_decoded_at_an_eighth_of_its_sides_and_keeps_its_size_for_boxes() -> None:
    picture = decode(encoded(Image.new("RGB", (4000, 3000), "gray")), PictureLimits(), SIZE)
    assert picture.image.size == (500, 375)
    assert (picture.width, picture.height) == (4000, 3000)


def test_without_a_size_a_jpeg_is_decoded_in_full() -> None:
    picture = decode(encoded(Image.new("RGB", (1600, 1200))), PictureLimits(), None)
    assert picture.image.size == (1600, 1200)


def test_a_progressive_jpeg_is_decoded_smaller_too() -> None:
    picture = decode(encoded(Image.new("RGB", (2400, 2400)), progressive=True), PictureLimits(), SIZE)
    assert picture.image.size == (300, 300)


@pytest.mark.parametrize(
    ("size", "scale"), [((3000, 100), 2), ((100, 3000), 1), ((800, 100), 8)], ids=["wide", "tall", "small"]
)
def test_scales_a_turned_picture_for_its_displayed_sides(size: tuple[int, int], scale: int) -> None:
    stored = encoded(Image.new("RGB", (800, 6400)), orientation=6)
    picture = decode(stored, PictureLimits(), size)
    assert (picture.width, picture.height) == (6400, 800)
    assert picture.image.size == (6400 // scale, 800 // scale)


# EXIF 2.32, tag 0x0112, names the visual sides of the stored picture's first row and first column; these are the
# corners that follow for a stored picture with R G above B W.
@pytest.mark.parametrize(
    ("orientation", "displayed"),
    [
        (1, "RGBW"),  # top, left
        (2, "GRWB"),  # top, right
        (3, "WBGR"),  # bottom, right
        (4, "BWRG"),  # bottom, left
        (5, "RBGW"),  # left, top
        (6, "BRWG"),  # right, top
        (7, "WGBR"),  # right, bottom
        (8, "GWRB"),  # left, bottom
        (0, "RGBW"),  # invalid: ignored
        (9, "RGBW"),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_turns_the_picture_upright_for_every_exif_orientation(
    file_format: str, orientation: int, displayed: str
) -> None:
    data = encoded(four_colors(120, 80), file_format, orientation)
    picture = decode(data, ALL, SIZE)
    assert corners(picture.image) == displayed
    assert (picture.width, picture.height) == ((80, 120) if orientation in (5, 6, 7, 8) else (120, 80))


def test_decodes_a_picture_with_damaged_exif() -> None:
    data = encoded(four_colors(120, 80), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12garbage")
    assert corners(decode(data, PictureLimits(), SIZE).image) == "RGBW"


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_kind_of_jpeg_becomes_rgb(mode: str) -> None:
    picture = decode(encoded(Image.new("RGB", (64, 64), "white").convert(mode)), PictureLimits(), SIZE)
    assert picture.image.mode == "RGB"
    assert min(np.asarray(picture.image).ravel()) > 250


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_becomes_rgb(mode: str) -> None:
    picture = decode(encoded(four_colors(64, 64).convert("RGBA").convert(mode), "PNG"), ALL, SIZE)
    assert picture.image.mode == "RGB"


def test_a_palette_with_transparency_becomes_rgb() -> None:
    data = encoded(four_colors(64, 64).quantize(8), "PNG", transparency=bytes([0, 128]))
    assert corners(decode(data, ALL, SIZE).image) == "RGBW"


def test_16_bit_gray_keeps_its_shades() -> None:
    shades = np.array([[0, 64, 128, 255]], np.uint16) * 257
    picture = decode(encoded(Image.fromarray(shades), "PNG"), ALL, SIZE)
    assert np.asarray(picture.image)[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_uses_the_first_frame_of_an_animation(file_format: str) -> None:
    data = encoded(
        four_colors(64, 64), file_format, save_all=True, append_images=[Image.new("RGB", (64, 64))], lossless=True
    )
    assert corners(decode(data, ALL, SIZE).image) == "RGBW"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the picture is empty"),
        (b"hello", "the file is not a JPEG picture"),
        (encoded(noise(9, 9), "GIF"), "the file is not a JPEG picture"),
        (encoded(noise(9, 9), "PNG"), "the picture is a PNG, only JPEG is allowed"),
        (encoded(noise(9, 9), "WEBP"), "the picture is a WebP, only JPEG is allowed"),
        (encoded(noise(9, 9))[:3], "the picture's JPEG header is damaged or cut off"),
        (encoded(noise(9, 9))[:40], "the picture's JPEG header is damaged or cut off"),
        (encoded(noise(90, 90))[:1500], r"cut off: only \d+ % of it is there"),
    ],
    ids=["empty", "text", "gif", "png", "webp", "no header", "cut off in the header", "cut off in the pixels"],
)
def test_refuses_another_format_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        decode(data, PictureLimits(), SIZE)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_refuses_a_cut_off_picture_of_another_format(file_format: str) -> None:
    with pytest.raises(PictureError):
        decode(encoded(noise(90, 90), file_format)[:-9000], ALL, SIZE)


def test_refuses_too_many_bytes_without_reading_them() -> None:
    with pytest.raises(PictureError, match=r"too large: over 20 MB \(setting images\.max_bytes\)"):
        decode(bytes(20_000_001), PictureLimits(), SIZE)


def test_counts_pixels_from_the_header_before_decoding() -> None:
    data = bytearray(encoded(Image.new("RGB", (8, 8))))
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", 65500, 65500)
    with pytest.raises(PictureError, match="65500 x 65500 is 4,290,250,000 pixels, allowed are 40,000,000 "):
        decode(bytes(data), PictureLimits(), SIZE)


def test_refuses_a_png_that_would_unpack_to_gigabytes() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    with pytest.raises(PictureError, match="too many pixels"):
        decode(bomb, ALL, SIZE)


@pytest.mark.parametrize("pixels", [100 * 80, 100 * 80 - 1])
def test_allows_exactly_the_limit(pixels: int) -> None:
    data = encoded(noise(100, 80))
    if pixels >= 8000:
        assert decode(data, PictureLimits(max_pixels=pixels), SIZE).width == 100
    else:
        with pytest.raises(PictureError, match="too many pixels"):
            decode(data, PictureLimits(max_pixels=pixels), SIZE)


SEEDS = [
    encoded(noise(40, 30), quality=60, orientation=6),
    encoded(noise(40, 30), progressive=True),
    encoded(noise(20, 15), "PNG", orientation=3),
    encoded(noise(20, 15), "WEBP"),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a picture with some bytes replaced, removed or inserted."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        # Half of the damage is near the start, which holds the structure.
        start = draw(st.one_of(st.integers(0, 200), st.integers(0, len(data))))
        end = start + draw(st.integers(0, 20))
        data[start:end] = draw(st.binary(max_size=20))
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated())
@example(b"\xff\xd8\xff")
@example(b"RIFF\0\0\0\0WEBPVP8 ")
def test_any_bytes_give_a_picture_or_a_picture_error(data: bytes) -> None:
    limits = PictureLimits(("jpeg", "png", "webp"), max_pixels=1_000_000)
    try:
        picture = decode(data, limits, SIZE)
    except PictureError as error:
        assert str(error)
    else:
        assert picture.image.mode == "RGB"
        assert picture.width * picture.height <= limits.max_pixels

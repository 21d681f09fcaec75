"""Decode every file that viewers show, and give a reason in this program's own words for the others."""

import io
import random
import re
import struct
import threading
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFile

from camiohookd.errors import PictureError
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.jpeg_file import MAX_STRAY
from tests.support.checkout import ROOT

CASES = sorted(Path(__file__).with_name("damaged").glob("*.jpg"))
SAMPLES = sorted((ROOT / "camiohookd/samples").glob("*.jpg"))
ALL = PictureLimits(formats=("jpeg", "png", "webp"))
SIZE = (300, 300)

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


PLAIN = encoded(Image.open(SAMPLES[0]).resize((64, 48)).convert("RGB"))
PIXELS = decode(PLAIN, ALL, SIZE).image


def shows_the_same(decoded: Decoded) -> bool:
    return ImageChops.difference(decoded.image, PIXELS).getbbox() is None


@pytest.fixture(scope="module")
def labeler() -> OnnxLabeler:
    return open_onnx(ROOT / "models/ssdlite-mobilenet-v2-coco")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_labels_the_cat_in_each_damaged_file(labeler: OnnxLabeler, path: Path) -> None:
    decoded = decode(path.read_bytes(), PictureLimits(), labeler.input_size)
    assert labeler.detect(decoded)[0].label == "cat"


def test_reports_how_much_of_a_cut_picture_is_left() -> None:
    [tenth_lost] = [path for path in CASES if path.name.startswith("a3")]
    assert decode(tenth_lost.read_bytes(), ALL, SIZE).incomplete == "incomplete: 78 % of it"
    [only_the_end_lost] = [path for path in CASES if path.name.startswith("a1")]
    assert decode(only_the_end_lost.read_bytes(), ALL, SIZE).incomplete is None


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_decodes_photographs_that_lack_3_to_256_bytes(path: Path, progressive: bool) -> None:
    data = encoded(Image.open(path), progressive=progressive, quality=85)
    for cut in (*range(3, 20), *range(20, 257, 13), 256):
        decoded = decode(data[:-cut], PictureLimits(), SIZE)
        percent = int(re.findall(r"\d+", decoded.incomplete)[0]) if decoded.incomplete else 100
        assert percent >= 75, f"{cut} bytes cut: {decoded.incomplete}"


def test_reports_rows_that_agree_with_the_pixels() -> None:
    photograph = Image.open(SAMPLES[0]).convert("RGB")
    data = encoded(photograph, quality=90)
    whole = decode(data, ALL, None).image
    cut = decode(data[: int(len(data) * 0.8)], ALL, None)
    assert cut.incomplete is not None
    percent = int(re.findall(r"\d+", cut.incomplete)[0])
    rows = whole.height * percent // 100
    assert 50 <= percent < 100
    above = (0, 0, whole.width, rows - 16)
    assert ImageChops.difference(whole.crop(above), cut.image.crop(above)).getbbox() is None
    below = (0, rows + 32, whole.width, whole.height)
    assert ImageChops.difference(whole.crop(below), cut.image.crop(below)).getbbox() is not None


def test_refuses_a_picture_with_less_than_half_of_its_rows() -> None:
    data = encoded(Image.open(SAMPLES[0]), quality=90)
    with pytest.raises(PictureError, match=r"^the picture is cut off: only [1-4]\d % of it is there$"):
        decode(data[: len(data) * 2 // 5], ALL, SIZE)


def test_accepts_a_progressive_picture_with_all_rows_in_less_detail() -> None:
    data = encoded(Image.open(SAMPLES[0]).resize((600, 400)), progressive=True, quality=90)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    assert decode(data[: second_scan + 60], ALL, SIZE).incomplete == "incomplete: 100 % of it, in less detail"
    first_scan = data.index(b"\xff\xda")
    with pytest.raises(PictureError, match="cut off: only"):
        decode(data[: first_scan + (second_scan - first_scan) // 4], ALL, SIZE)


def test_tolerance_applies_to_that_picture_only() -> None:
    """Other uses of Pillow in the process, also in other threads, are not affected."""
    data = encoded(Image.open(SAMPLES[0]), quality=85)
    strict: list[bool] = []
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            with Image.open(io.BytesIO(data[:-500])) as image:
                try:
                    image.load()
                except OSError:
                    strict.append(True)
                else:
                    strict.append(False)

    thread = threading.Thread(target=others)
    thread.start()
    for _ in range(20):
        assert decode(data[:-500], ALL, SIZE).incomplete
    stop.set()
    thread.join()
    assert strict
    assert all(strict)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


CONTENTS = {
    "JFIF": b"JFIF\0\1\2\0\0\1\0\1\0\0",
    "JFXX": b"JFXX\0\x10\xff\xd8\xff\xd9",
    "EXIF": b"Exif\0\0MM\0*\0\0\0\x08\0\2\1\x0e\0\2\0\0\0\4abc\0\1\x1a\0\5\0\0\0\1\0\0\0\x26\0\0\0\0\0\0\0\0\0\0",
    "XMP": b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "ICC": b"ICC_PROFILE\0\1\1" + bytes(30),
    "FlashPix": b"FPXR\0\0\0\0\0\0\1",
    "MPF": b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\0\0\7\0\0\0\x040100",
    "Photoshop": b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10" + bytes(16) + b"8BIM\4\4\0\0\0\0\0\4abcd",
    "Ducky": b"Ducky\0\1\0\4\0\0\0\x50\0\0",
    "Adobe": b"Adobe\0\x64\0\0\0\0\1",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE], ids=lambda marker: f"{marker:x}")
def test_decodes_a_picture_with_a_metadata_segment_cut_anywhere(marker: int, content: bytes) -> None:
    for length in range(len(content) + 1):
        segment = bytes([0xFF, marker]) + struct.pack(">H", 2 + length) + content[:length]
        for data in (PLAIN[:2] + segment + PLAIN[2:], PLAIN[:2] + segment + PLAIN[20:]):  # beside and instead of JFIF
            assert shows_the_same(decode(data, ALL, SIZE)), (length, data[:64])


def test_decodes_a_picture_with_an_impossible_segment_length() -> None:
    for length in (0, 1):
        data = PLAIN[:2] + b"\xff\xe5" + struct.pack(">H", length) + PLAIN[2:]
        assert shows_the_same(decode(data, ALL, SIZE))


def test_keeps_the_orientation_when_other_metadata_is_damaged() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.open(io.BytesIO(PLAIN)), exif=exif)
    short_icc = b"\xff\xe2\0\x0eICC_PROFILE\0"
    decoded = decode(turned[:2] + short_icc + turned[2:-30], ALL, SIZE)
    assert (decoded.width, decoded.height) == (48, 64)
    with Image.open(io.BytesIO(decoded.file)) as image:
        assert image.getexif()[0x0112] == 6


def test_gives_own_code_a_file_that_plain_pillow_reads() -> None:
    for path in CASES:
        decoded = decode(path.read_bytes(), ALL, (1, 1))
        with Image.open(io.BytesIO(decoded.file)) as image:
            image.load()
            assert image.size == (330, 220)


def test_passes_an_undamaged_file_on_unchanged() -> None:
    assert decode(PLAIN, ALL, SIZE).file == PLAIN


STRAY = {
    "line end": b"\r\n",
    "zeros": bytes(4),
    "byte order mark": b"\xef\xbb\xbf",
    "multipart head": b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 13834\r\n\r\n",
    "as many as are allowed": random.Random(1).randbytes(3 * MAX_STRAY).replace(b"\xff", b"")[:MAX_STRAY],
    "half a start of image": b"\xff",
    "another start of image": b"\xff\xd8",
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
def test_skips_stray_bytes_before_the_picture_and_behind_its_first_marker(stray: bytes) -> None:
    assert shows_the_same(decode(stray + PLAIN, ALL, SIZE))
    assert shows_the_same(decode(PLAIN[:2] + stray + PLAIN[2:], ALL, SIZE))
    with_both = stray[: MAX_STRAY // 2] + PLAIN[:2] + stray[: MAX_STRAY // 2] + PLAIN[2:-1]
    assert shows_the_same(decode(with_both, ALL, SIZE))


def test_refuses_more_stray_bytes_than_allowed() -> None:
    with pytest.raises(PictureError, match=r"^the file is not a"):
        decode(bytes(MAX_STRAY + 1) + PLAIN, ALL, SIZE)


def interlaced_png(side: int) -> bytes:
    """A gray PNG in Adam7's seven passes (PNG specification, section 8.2)."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    noise = random.Random(1)
    rows = [
        b"\0" + noise.randbytes(len(range(left, side, step_x)))
        for left, top, step_x, step_y in passes
        for _ in range(top, side, step_y)
    ]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


OWN_WORDS = re.compile(
    r"the picture is (a (JPEG|PNG|WebP), only|cut off: only \d+ % of it is there)"
    r"|the picture's (JPEG|PNG|WebP) (header is damaged or cut off|data is (cut off|damaged and cannot be decoded))"
    r"|the picture's file is damaged: it has too many parts"
    r"|the file is not a JPEG or PNG or WebP picture( but an? [\w .:-]+| but base64 text \(.*\))?"
    r"|the picture has too many (pixels|scans)|the picture is empty|the picture takes too much memory"
)


def test_never_shows_the_decoders_own_messages_for_a_damaged_file() -> None:
    noise = Image.frombytes("RGB", (24, 24), random.Random(1).randbytes(3 * 24 * 24))
    files = [interlaced_png(24)] + [encoded(noise, kind) for kind in ("PNG", "WEBP", "JPEG")]
    files += [encoded(noise, progressive=True), encoded(noise.quantize(16), "PNG")]
    whole = interlaced_png(24)
    assert decode(whole, ALL, SIZE).width == 24
    changes = random.Random(2)
    for data in files:
        cut = [data[:end] for end in range(len(data))]
        changed = [
            data[:place] + bytes([changes.randrange(256)]) + data[place + 1 :] for place in range(0, len(data), 2)
        ]
        for damaged in cut + changed:
            try:
                decode(damaged, ALL, SIZE)
            except PictureError as error:
                assert OWN_WORDS.match(str(error)), str(error)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<html><title>Log in</title>", "an HTML page"),
        (b"<!-- generated --><html lang=en>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<Fault xmlns="urn:onvif">', "an XML document"),
        (b"<ResponseStatus version='1'>", "an XML document"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG picture"),
        (b'{"error": "unauthorized"}', "a JSON text"),
        (b'[\n {"error": 7}]', "a JSON text"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "an MP4 video"),
        (b"\0\0\0\1\x67\x64\0\x1f", "an H.264 or H.265 video"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\x1a\x45\xdf\xa3\x93B\x82", "a Matroska video"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\3\4\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"https://camera.example/snapshot.jpg", "a web address"),
        (b"data:image/jpeg;base64,/9j/4AAQ", "a data: URL"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBg", "base64 text (the picture was encoded twice)"),
    ],
)
def test_names_the_kind_of_a_file_that_is_not_a_picture(data: bytes, kind: str) -> None:
    with pytest.raises(PictureError) as refused:
        decode(data, PictureLimits(), SIZE)
    assert str(refused.value) == f"the file is not a JPEG picture but {kind}"

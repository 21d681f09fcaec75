"""Decode malformed and hostile pictures: each gives pixels or a clear reason, in little memory.

A process of its own decodes each picture and reports its peak memory.
"""

import base64
import io
import json
import random
import re
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from PIL import Image

from camiohookd.pictures.jpeg_file import MAX_SCANS
from tests.support.daemon_process import SAMPLES, Daemon, event_body, post_event
from tests.support.parsed_event import parse_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60.0
LITTLE, SOME, MUCH = 24, 200, 350
"""Megabytes that decoding may take: for a refused picture; for the most allowed pixels, scaled for a model; and for the
same in full size (four bytes a pixel, and two copies while it is rotated)."""

DECODER = """
import json, re, sys
from pathlib import Path
from camiohookd.errors import PictureError
from camiohookd.pictures.decode import PictureLimits, decode

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

data, formats, size = sys.stdin.buffer.read(), tuple(sys.argv[1].split()), json.loads(sys.argv[2])
before = peak()
try:
    picture = decode(data, PictureLimits(formats), size and tuple(size))
    said = [picture.width, picture.height]
except PictureError as error:
    said = str(error)
print(json.dumps([said, peak() - before]))
"""


class Seen(NamedTuple):
    """The result of decoding: the picture's `size`, or the `reason` why it was refused. `grown` is in megabytes."""

    size: tuple[int, int] | None
    reason: str
    grown: float


def look_at(data: bytes, formats: str = "jpeg", size: tuple[int, int] | None = (300, 300)) -> Seen:
    run = subprocess.run(
        [sys.executable, "-c", DECODER, formats, json.dumps(size)], input=data, capture_output=True, timeout=PATIENCE
    )
    assert (run.returncode, run.stderr) == (0, b""), run.stderr
    said, grown = json.loads(run.stdout)
    return Seen(None, said, grown) if isinstance(said, str) else Seen(tuple(said), "", grown)


def encoded(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


NOISE = Image.frombytes("RGB", (90, 60), random.Random(1).randbytes(3 * 90 * 60))
JPEG = encoded(NOISE)
PROGRESSIVE = encoded(NOISE, progressive=True)
PLAIN = encoded(Image.new("RGB", (8, 8)), progressive=True)
FIRST_SCAN = PROGRESSIVE[: PROGRESSIVE.index(b"\xff\xda") + 30]
BASELINE_FRAME, PROGRESSIVE_FRAME = b"\xff\xc0", b"\xff\xc2"


def claiming(width: int, height: int, data: bytes = JPEG, frame: bytes = BASELINE_FRAME) -> bytes:
    """Return `data` with another width and height in its frame header (ITU-T T.81, B.2.2)."""
    at = data.index(frame) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def with_precision(bits: int) -> bytes:
    at = JPEG.index(BASELINE_FRAME) + 4
    return JPEG[:at] + bytes([bits]) + JPEG[at + 1 :]


def with_frame(kind: int) -> bytes:
    return JPEG.replace(BASELINE_FRAME, bytes([0xFF, kind]), 1)


def with_segment(marker: int, content: bytes, data: bytes = JPEG) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def with_scans(count: int, data: bytes = PROGRESSIVE) -> bytes:
    """Return `data` with its last scan repeated `count` times."""
    begin, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[begin:end] * count + data[end:]


def exif(*entries: tuple[int, int, int, bytes], more: bytes = b"") -> bytes:
    """Return a JPEG whose EXIF holds `entries`: tag, type, count and four bytes each (EXIF 2.32, section 4.6.2)."""
    fields = b"".join(struct.pack(">HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    directory = (
        struct.pack(">H", len(entries)) + fields + struct.pack(">I", 8)
    )  # the offset of the next directory is this one's own
    return with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + directory + more)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


NOTHING_MUCH = zlib.compress(bytes(100_000_000), 9)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the picture is empty", id="empty"),
        pytest.param(b"\0" * 1_000_000, "the file is not a JPEG picture", id="zeros"),
        pytest.param(JPEG[:2], "the file is not a JPEG picture", id="cut off in the signature"),
        pytest.param(JPEG[:20], "header is damaged or cut off", id="cut off in the header"),
        pytest.param(JPEG[:300], "header is damaged or cut off", id="cut off in the tables"),
        pytest.param(JPEG[: len(JPEG) // 2], r"cut off: only \d+ % of it", id="cut off in the pixels"),
        pytest.param(
            FIRST_SCAN,
            r"cut off: only \d+ % of it",
            id="progressive, cut off in its first scan",
        ),
        pytest.param(claiming(0, 0), "header is damaged", id="0 x 0"),
        pytest.param(claiming(90, 0), "header is damaged", id="90 x 0"),
        pytest.param(claiming(0, 60), "header is damaged", id="0 x 60"),
        pytest.param(claiming(65500, 65500), "too many pixels: 65500 x 65500 is 4,290,250,000", id="65500 x 65500"),
        pytest.param(claiming(65535, 65535), "header is damaged|too many pixels", id="65535 x 65535"),
        pytest.param(claiming(6325, 6325), "too many pixels: 6325 x 6325 is 40,005,625 pixels, allowed", id="40 Mpx"),
        pytest.param(
            claiming(6300, 6300, PROGRESSIVE, PROGRESSIVE_FRAME),
            "too many pixels for a progressive one: 6300 x 6300 is 39,690,000 pixels, allowed are half of 40,000,000",
            id="progressive bomb",
        ),
        pytest.param(with_scans(MAX_SCANS), "too many scans: more than 64", id="scan bomb"),
        pytest.param(
            claiming(4400, 4400, with_scans(500_000, PLAIN), PROGRESSIVE_FRAME), "too many scans", id="large scan bomb"
        ),
        pytest.param(with_scans(MAX_SCANS, JPEG), "too many scans: more than 64", id="sequential scan bomb"),
        pytest.param(with_precision(12), "header is damaged", id="12 bit"),
        pytest.param(with_precision(16), "header is damaged", id="16 bit"),
        pytest.param(with_frame(0xC3), "JPEG data is damaged and cannot be decoded", id="lossless"),
        pytest.param(with_frame(0xC5), "JPEG data is damaged and cannot be decoded", id="hierarchical"),
        pytest.param(with_frame(0xCB), "JPEG data is damaged and cannot be decoded", id="arithmetic and lossless"),
        pytest.param(b"\xff\xd8" * 1_000_000, "too many parts", id="a million beginnings"),
        pytest.param(
            b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000, "too many parts, more than 2000", id="a million segments"
        ),
        pytest.param(b"\xff\xd8" + b"\xff" * 10_000_000, "too many parts", id="fill bytes without end"),
        pytest.param(JPEG[:2] + b"\xff\xe0\0\2" + bytes(10_000_000) + JPEG[2:], "too many parts", id="zeros between"),
        pytest.param(b"\xff\xd8\xff\xe0\0\2" + bytes(10_000_000), "too many parts", id="zeros without end"),
        pytest.param(b"\xff\xd8\xff\xee\0\0", "damaged|header", id="a segment shorter than its length"),
        pytest.param(bytes(1025) + JPEG, "the file is not a JPEG picture", id="too many bytes before it"),
        pytest.param(b"GIF89a" + JPEG, "the file is not a JPEG picture", id="GIF polyglot"),
        pytest.param(encoded(NOISE, "PNG") + JPEG, "the picture is a PNG, only JPEG is allowed", id="PNG polyglot"),
        pytest.param(b"%PDF-1.7\n" + JPEG, "the file is not a JPEG picture", id="PDF polyglot"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a JPEG picture", id="PostScript"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a JPEG picture", id="SVG"),
        pytest.param(b"\x7fELF" + JPEG, "the file is not a JPEG picture", id="program polyglot"),
        *[
            pytest.param(encoded(NOISE, kind), "not a JPEG picture|only JPEG is allowed", id=kind)
            for kind in ("BMP", "GIF", "ICO", "PCX", "PPM", "TGA", "TIFF", "WEBP", "PNG", "JPEG2000")
        ],
    ],
)
def test_refuses_with_a_clear_reason_and_in_little_memory(data: bytes, reason: str) -> None:

    seen = look_at(data)
    assert seen.size is None
    assert re.search(reason, seen.reason), seen.reason
    assert seen.grown < LITTLE


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(encoded(NOISE.convert("CMYK")), (90, 60), id="CMYK"),
        pytest.param(encoded(NOISE.convert("L")), (90, 60), id="gray"),
        pytest.param(PROGRESSIVE, (90, 60), id="progressive"),
        pytest.param(encoded(NOISE.convert("CMYK"), progressive=True), (90, 60), id="progressive CMYK"),
        pytest.param(encoded(Image.new("RGB", (1, 1))), (1, 1), id="one pixel"),
        pytest.param(encoded(Image.new("RGB", (4000, 1))), (4000, 1), id="4000 x 1"),
        pytest.param(with_frame(0xC1), (90, 60), id="extended sequential"),
        pytest.param(JPEG[:-2], (90, 60), id="without its end"),
        pytest.param(PROGRESSIVE[:-2], (90, 60), id="progressive, without its end"),
        pytest.param(PROGRESSIVE[: len(PROGRESSIVE) // 2], (90, 60), id="progressive, without its last scans"),
        pytest.param(b"\0" + JPEG, (90, 60), id="a byte before it"),
        pytest.param(b"\xef\xbb\xbf" + JPEG, (90, 60), id="a byte order mark before it"),
        pytest.param(JPEG + b"PK\3\4" + bytes(1_000_000), (90, 60), id="ZIP polyglot"),
        pytest.param(JPEG + JPEG * 100, (90, 60), id="pictures behind it"),
        pytest.param(JPEG + b"\xff\xda\0\2" * 1000, (90, 60), id="scans behind its end"),
        pytest.param(with_segment(0xFE, b"<script>alert(1)</script><?php system('id'); ?>"), (90, 60), id="HTML in it"),
        pytest.param(with_segment(0xE1, b"\xff\xda\0\2" * 1000), (90, 60), id="scans within a segment"),
        pytest.param(with_segment(0xE1, b"Exif\0\0" + b"\xff" * 60_000), (90, 60), id="damaged EXIF"),
        pytest.param(exif((0x112, 3, 1, b"\0\6\0\0")), (60, 90), id="EXIF that turns it"),
        pytest.param(exif((0x112, 3, 1, b"\0\x63\0\0")), (90, 60), id="EXIF that turns it by 99"),
        pytest.param(exif((0x112, 2, 4, b"six\0")), (90, 60), id="EXIF that turns it by a word"),
        pytest.param(exif((0x112, 3, 0xFFFF_FFFF, b"\0\0\0\x08")), (90, 60), id="EXIF that turns it by 4 G numbers"),
        pytest.param(exif((0x112, 5, 1, b"\0\0\0\x08")), (90, 60), id="EXIF that turns it by a fraction"),
        pytest.param(
            exif((0x100, 4, 1, b"\0\1\0\0"), (0x101, 4, 1, b"\0\1\0\0"), (0xA002, 4, 1, b"\0\0\0\1")),
            (90, 60),
            id="EXIF of another size",
        ),
        pytest.param(
            JPEG[:2] + (b"\xff\xe1\xea\x62Exif\0\0" + bytes(59_994)) * 50 + JPEG[2:], (90, 60), id="EXIF of 3 MB"
        ),
        pytest.param(exif((0x8769, 4, 1, b"\0\0\0\x08")), (90, 60), id="EXIF that leads to itself"),
        pytest.param(exif(*[(0x10E, 2, 60_000, b"\0\0\0\x08")] * 3000), (90, 60), id="EXIF of overlapping texts"),
    ],
)
def test_decodes_in_little_memory(data: bytes, size: tuple[int, int]) -> None:
    seen = look_at(data)
    assert (seen.size, seen.reason) == (size, "")
    assert seen.grown < LITTLE


@pytest.mark.parametrize("whole", [True, False], ids=["in full", "for a model"])
@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(claiming(6300, 6300), (6300, 6300), id="baseline"),
        pytest.param(claiming(65500, 600), (65500, 600), id="wide"),
        pytest.param(claiming(600, 65500), (600, 65500), id="tall"),
        pytest.param(claiming(4400, 4400, PROGRESSIVE, PROGRESSIVE_FRAME), (4400, 4400), id="progressive"),
        pytest.param(
            claiming(4400, 4400, with_scans(MAX_SCANS - 10, PLAIN), PROGRESSIVE_FRAME),
            (4400, 4400),
            id="as many scans as may be",
        ),
        pytest.param(claiming(6300, 6300, exif((0x112, 3, 1, b"\0\5\0\0"))), (6300, 6300), id="turned"),
    ],
)
def test_a_picture_with_the_most_allowed_pixels_takes_bounded_memory(
    data: bytes, size: tuple[int, int], whole: bool
) -> None:
    seen = look_at(data, size=None if whole else (300, 300))
    assert seen.size == size, seen.reason
    assert seen.grown < (MUCH if whole else SOME)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(png(60_000, 60_000, png_chunk(b"IDAT", NOTHING_MUCH)), "too many pixels", id="pixels"),
        pytest.param(png(0, 0, png_chunk(b"IDAT", b"")), "header is damaged", id="0 x 0"),
        pytest.param(encoded(NOISE, "PNG")[:9000], "PNG data is cut off", id="cut off"),
        pytest.param(
            png(90, 60, *[png_chunk(b"zTXt", b"a\0\0" + NOTHING_MUCH)] * 9), "damaged|header", id="packed text"
        ),
        pytest.param(png(90, 60, png_chunk(b"iCCP", b"a\0\0" + NOTHING_MUCH)), "damaged|header", id="color profile"),
    ],
)
def test_refuses_a_png_that_unpacks_to_too_much(data: bytes, reason: str) -> None:

    seen = look_at(data, "jpeg png")
    assert seen.size is None
    assert re.search(reason, seen.reason), seen.reason
    assert seen.grown < 2 * LITTLE


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image/png"}, {"type": "text/html"}, {"type": "../../etc/passwd"}, {"type": 7}, {"type": None},
        {"size": [1, 1]}, {"size": [0, 0]}, {"size": [-1, -1]}, {"size": [10**9, 10**9]}, {"size": [1.5, 2]},
        {"size": "large"}, {"size": [90]}, {"size": {"width": 90}}, {"size": [10**400, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_ignores_type_and_size_in_the_event(fields: dict[str, Any]) -> None:
    image = {"timestamp": "2017-05-05T01:31:13", "image_b64": base64.b64encode(JPEG).decode()}
    body = {"callback_url": "https://camio.com/cb", "images": [image | fields]}
    [picture] = parse_event(json.dumps(body).encode()).pictures
    assert look_at(picture.data).size == (90, 60)


def test_labels_the_usable_pictures_of_an_event_of_bombs_without_memory_growth(tmp_path: Path) -> None:
    bombs = [
        claiming(65500, 65500),
        claiming(6300, 6300, PROGRESSIVE, PROGRESSIVE_FRAME),
        claiming(4400, 4400, with_scans(10_000, PLAIN), PROGRESSIVE_FRAME),
        claiming(6300, 6300),
        JPEG[: len(JPEG) // 2],
        encoded(NOISE, "PNG"),
    ]
    pictures = [*bombs, (SAMPLES / "chelsea.jpg").read_bytes()]
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:

        def send(first: int, last: int) -> None:
            for number in range(first, last):
                body = event_body(camio.callback_url(str(number)), camera=f"camera {number}", pictures=pictures)
                requests.post(daemon.url, body, timeout=PATIENCE).raise_for_status()
            wait_until(lambda: daemon.metric("events_delivered_total") == last, daemon)

        send(0, 8)
        before = daemon.memory()
        send(8, 24)
        assert daemon.memory() < before + 64_000_000
        labels = json.loads(camio.deliveries["1"][0].body)["labels"]
    assert "cat" in labels["2017-05-05T01:31:06.738647"]
    assert len(labels) == 2, "one real picture, and one that only claims an allowed size"
    for reason in (
        "too many pixels: 65500 x 65500",
        "for a progressive one",
        "too many scans",
        "cut off: only",
        "is a PNG",
    ):
        assert reason in daemon.log


def wait_until(condition: Callable[[], object], daemon: Daemon) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, daemon.log
        time.sleep(0.05)


def test_labels_the_cat_in_each_damaged_file_and_names_other_files(tmp_path: Path) -> None:
    damaged = sorted((SAMPLES.parents[1] / "tests/unit/pictures/damaged").glob("*.jpg"))
    page = b"<!DOCTYPE html><html><title>Log in</title></html>"
    twice = base64.b64encode((SAMPLES / "chelsea.jpg").read_bytes())
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        for path in damaged:
            post_event(daemon, camio, path.stem, pictures=[path.read_bytes()])
        post_event(daemon, camio, "others", pictures=[page, twice, (SAMPLES / "chelsea.jpg").read_bytes()])
        wait_until(lambda: daemon.metric("events_delivered_total") == len(damaged) + 1, daemon)
        for path in damaged:
            (labels,) = json.loads(camio.deliveries[path.stem][-1].body)["labels"].values()
            assert "cat" in labels, path.name
        assert "incomplete: 78 % of it" in daemon.log
        assert "the file is not a JPEG picture but an HTML page" in daemon.log
        assert "the file is not a JPEG picture but base64 text (the picture was encoded twice)" in daemon.log
        assert re.search(r"labeled task=\d+ .* ms=\d+ device=\S+: cat 0\.\d\d event=labelled\n", daemon.log)

"""Decoding takes no more memory than was reserved for it, as the kernel counts it."""

import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from PIL import Image

PATIENCE = 120.0
SIDE = 1800
SLACK = 12_000_000
"""Bytes that threads, the allocator and Pillow's first use of a format take for any picture."""

DECODER = """
import json, re, sys, threading
from pathlib import Path
from camiohookd.errors import PictureError
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.memory import MemoryBudget

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

threads, limit, size = json.loads(sys.argv[1])
data = sys.stdin.buffer.read()
limits = PictureLimits(("jpeg", "png", "webp"), max_decoded_bytes=limit)
budget = MemoryBudget(limit)
said = []

def work():
    for _ in range(2):
        try:
            decoded = decode(data, limits, size and tuple(size), budget)
            said.append(f"{decoded.width} x {decoded.height}")
            decoded.release()
            del decoded
        except PictureError as error:
            said.append(str(error))

before = peak()
workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps([sorted(set(said)), peak() - before, budget.peak]))
"""


class Run(NamedTuple):
    """`said` lists the distinct results of decoding; `grown` and `reserved` are peaks in bytes."""

    said: list[str]
    grown: int
    reserved: int


def decode_in_a_process(
    data: bytes, *, threads: int = 1, limit: int = 10**10, size: tuple[int, int] | None = (300, 300)
) -> Run:
    done = subprocess.run(
        [sys.executable, "-c", DECODER, json.dumps([threads, limit, size])],
        input=data,
        capture_output=True,
        timeout=PATIENCE,
        env={"MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    return Run(*json.loads(done.stdout))


def encoded(image: Image.Image, file_format: str, orientation: int = 1, **options: Any) -> bytes:
    if orientation != 1:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


NOISE = Image.frombytes("RGB", (300, 300), random.Random(1).randbytes(3 * 300 * 300)).resize((SIDE, SIDE))
DEEP = Image.new("I;16", (SIDE, SIDE), 777)
FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded(NOISE, "JPEG"),
    "JPEG, gray": lambda: encoded(NOISE.convert("L"), "JPEG"),
    "JPEG, CMYK": lambda: encoded(NOISE.convert("CMYK"), "JPEG"),
    "JPEG, turned": lambda: encoded(NOISE, "JPEG", 6),
    "JPEG, progressive": lambda: encoded(NOISE, "JPEG", progressive=True, subsampling=0),
    "JPEG, progressive, CMYK": lambda: encoded(NOISE.convert("CMYK"), "JPEG", progressive=True),
    "JPEG, cut": lambda: encoded(NOISE, "JPEG")[:-5000],
    "JPEG, progressive, cut": lambda: encoded(NOISE, "JPEG", progressive=True)[:-5000],
    "PNG": lambda: encoded(NOISE, "PNG", compress_level=1),
    "PNG, gray": lambda: encoded(NOISE.convert("L"), "PNG", compress_level=1),
    "PNG, palette": lambda: encoded(NOISE.quantize(16), "PNG", compress_level=1),
    "PNG, transparent": lambda: encoded(NOISE.convert("RGBA"), "PNG", compress_level=1),
    "PNG, 16 bits": lambda: encoded(DEEP, "PNG", compress_level=1),
    "PNG, turned": lambda: encoded(NOISE, "PNG", 6, compress_level=1),
    "WebP": lambda: encoded(NOISE, "WEBP", method=0),
    "WebP, lossless": lambda: encoded(NOISE, "WEBP", lossless=True, method=0, quality=0),
    "WebP, transparent": lambda: encoded(NOISE.convert("RGBA"), "WEBP", method=0),
    "WebP, turned": lambda: encoded(NOISE, "WEBP", 6, method=0),
}


@pytest.mark.parametrize("kind", FILES)
def test_decoding_takes_at_most_the_reserved_bytes(kind: str) -> None:
    data = FILES[kind]()
    for size in (None, (300, 300)) if kind.startswith("JPEG") else (None,):
        run = decode_in_a_process(data, size=size)
        assert run.said == [f"{SIDE} x {SIDE}"]
        assert run.grown <= run.reserved + len(data) + SLACK


@pytest.mark.parametrize("kind", ["JPEG, progressive", "PNG, transparent", "WebP"])
def test_four_threads_together_stay_within_the_limit(kind: str) -> None:
    data = FILES[kind]()
    alone = decode_in_a_process(data)
    limit = alone.reserved * 3 // 2
    run = decode_in_a_process(data, threads=4, limit=limit)
    assert run.said == [f"{SIDE} x {SIDE}"]
    assert run.reserved <= limit
    assert run.grown <= limit + 4 * SLACK


def test_refuses_a_small_file_that_unpacks_to_much_before_allocating() -> None:
    """Before it was refused, a WebP of 38 bytes and 6324 x 6324 pixels took 617 MB in each thread."""
    bits = (6324 - 1) | (6324 - 1) << 14
    body = b"\x2f" + bits.to_bytes(4, "little") + b"\x07\x10\xfd\x8f\xfe\x07\x22\xa2\xff\x01" + bytes(3)
    data = b"RIFF" + (len(body) + 12).to_bytes(4, "little") + b"WEBPVP8L" + len(body).to_bytes(4, "little") + body
    assert len(data) == 38
    run = decode_in_a_process(data, threads=4, limit=400_000_000)
    assert len(run.said) == 1
    assert "takes too much memory" in run.said[0]
    assert "allowed are 400 MB (setting images.max_decoded_bytes)" in run.said[0]
    assert run.grown < SLACK

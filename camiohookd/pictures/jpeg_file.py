"""A JPEG file's structure (ITU-T T.81, annex B): where it starts, what reading it costs, and how to repair it.

This module reads only the markers, before any decoder sees the file. A file of a few kilobytes can keep a decoder
busy for hours: with thousands of scans, each of which is a pass over all pixels, or with a header of a million
segments.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from PIL import ExifTags, Image

from camiohookd.errors import PictureError

MAX_SCANS = 64
"""A progressive picture has about ten."""

MAX_STEPS = 2000
"""Most segments, plus stray bytes before the first scan. A color profile may take 255 segments."""

MAX_STRAY = 1024
"""Most stray bytes before the start of image, and again between it and the first marker."""

END_OF_IMAGE = b"\xff\xd9"

_START_OF_IMAGE = b"\xff\xd8"
_FIRST_SEGMENT = rb"\xff[\xc0-\xcf\xdb-\xef\xfe]"
_START = re.compile(rb"\xff\xd8(?:(?!\xff\xd8).){0,%d}?%b" % (MAX_STRAY, _FIRST_SEGMENT), re.DOTALL)
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # except those that have no length
_SCAN, _END = 0xDA, 0xD9
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}

_JFIF, _EXIF, _XMP, _ADOBE = b"JFIF\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Adobe"
_MIN_LENGTHS = {(0xE0, _JFIF): 14, (0xEE, _ADOBE): 12}
"""Application segments that tell a decoder the color space, with the content's least length in bytes (JFIF 1.02, page
5; Adobe Technical Note 5116, section 18)."""


class Segment(NamedTuple):
    """A marker's code and its content's place in the file."""

    marker: int
    start: int
    content: int
    end: int


@dataclass(frozen=True, slots=True)
class JpegFile:
    """`data` begins with the start of image. `segments` are those before the first scan, which starts at `scan`.

    `scan` is None if there is no scan. `torn` is where the last segment starts if the file ends within it, else the
    file's length. `ends` says whether the end of image was found.
    """

    data: bytes
    segments: tuple[Segment, ...]
    scan: int | None
    scans: int
    torn: int
    ends: bool

    @property
    def in_scans(self) -> bool:
        """Whether decoders keep all of it until the last scan: it is progressive, or has scans of single components."""
        frames = [each for each in self.segments if each.marker in _FRAMES]
        if self.scans > 1 or any(each.marker in _PROGRESSIVE for each in frames):
            return True
        if self.scan is None or not frames:
            return False
        components = self.data[frames[-1].content + 5 : frames[-1].content + 6]
        in_first_scan = self.data[self.scan + 4 : self.scan + 5]
        return in_first_scan < components


def find_start(data: bytes) -> int | None:
    """Return the offset of the start of image, after at most `MAX_STRAY` stray bytes; None if there is none."""
    if data.startswith(b"\xff\xd8\xff"):
        return 0
    found = _START.search(data, 0, 2 * MAX_STRAY + 4)
    return found.start() if found and found.start() <= MAX_STRAY else None


def parse(data: bytes) -> JpegFile:
    """Find the segments and scans. Raises `PictureError` if reading the file would take long."""
    segments: list[Segment] = []
    scan: int | None = None
    scans = steps = position = 0
    torn, ends = len(data), False
    while found := _MARKER.search(data, position):
        marker = found[1][0]
        if ends := marker == _END:
            break
        steps += 1 if scans else found.start() - position + 1
        end = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2]), 2)
        if end > len(data):
            torn = found.start()
            position = len(data)
            break
        if marker == _SCAN:
            scans += 1
            scan = found.start() if scan is None else scan
        elif scan is None:
            segments.append(Segment(marker, found.start(), found.end() + 2, end))
        position = end
        if scans > MAX_SCANS:
            raise PictureError(f"the picture has too many scans: more than {MAX_SCANS}")
        if steps > MAX_STEPS:
            break
    if steps > MAX_STEPS or (not scans and len(data) - position > MAX_STEPS):
        raise PictureError(f"the picture's file is damaged: it has too many parts, more than {MAX_STEPS}")
    return JpegFile(data, tuple(segments), scan, scans, torn, ends)


def repair(file: JpegFile) -> bytes:
    """Return the file without stray bytes and without metadata but its orientation, and without a torn last segment.

    The end of image is not added. Raises `PictureError` if there is no scan.
    """
    if file.scan is None:
        raise PictureError("the picture's JPEG header is damaged or cut off")
    data = file.data
    kept = [_START_OF_IMAGE, _orientation_segment(file)]
    kept += [data[each.start : each.end] for each in file.segments if _matters(each, data)]
    return b"".join([*kept, data[file.scan : file.torn]])


def _matters(segment: Segment, data: bytes) -> bool:
    """Return whether a decoder needs the segment: tables, frames, and the color space."""
    if segment.marker < 0xE0:
        return True
    return any(
        segment.marker == marker
        and data.startswith(name, segment.content, segment.end)
        and segment.end - segment.content >= length
        for (marker, name), length in _MIN_LENGTHS.items()
    )


def _orientation_segment(file: JpegFile) -> bytes:
    contents = [file.data[each.content : each.end] for each in file.segments if each.marker == 0xE1]
    holder = Image.new("L", (1, 1))
    for key, name in (("exif", _EXIF), ("xmp", _XMP)):
        if content := next((each for each in contents if each.startswith(name)), None):
            holder.info[key] = content if name == _EXIF else content.removeprefix(name)
    orientation = orientation_of(holder)
    if orientation == 1:
        return b""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = exif.tobytes()
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2) + content


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) if there is none that can be read."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  # damaged EXIF data raises anything, and does not make the pixels unusable
        return 1
    return orientation if 1 <= orientation <= 8 else 1

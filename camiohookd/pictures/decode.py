"""A picture's file: its bytes → pixels as a person would see them, within limits.

`decode` checks the file's length, then a JPEG's structure, then the header (format, size), then waits for its share of
memory, and only then decodes; a JPEG in the smallest scale that still covers the labeler's input. A JPEG that Pillow
refuses is repaired and tried again. Any damage of the bytes ends as a `PictureError`.

Owned by no thread: the functions keep nothing between calls.
"""

import io
import warnings
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import NamedTuple

from PIL import Image, ImageChops

from camiohookd import units
from camiohookd.errors import PictureError
from camiohookd.pictures import jpeg_file
from camiohookd.pictures.decoding_cost import RGB_BYTES, bytes_to_decode, webp_size
from camiohookd.pictures.decoding_errors import explained
from camiohookd.pictures.file_kind import NAMES, Format, format_of, other_kind
from camiohookd.pictures.jpeg_file import END_OF_IMAGE, JpegFile, orientation_of
from camiohookd.pictures.memory import MemoryBudget, NoRoom, Share
from camiohookd.pictures.pixels import SIDEWAYS, UPRIGHT, reduced, to_rgb, upright

MIN_ROWS = 0.5
"""The part of a picture's rows that must be there."""

_NOISE = bytes((89 * n + 7 * (n // 5) ** 2) % 251 for n in range(512))  # holds no 0xFF, so no marker

# `PictureLimits.max_pixels` is checked from the header; Pillow's own bound warns on stderr and cannot be set per call.
Image.MAX_IMAGE_PIXELS = None
# A picture is used, or refused with a reason; Pillow's warnings about metadata are of no use.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is accepted: file formats; pixels (width x height) and bytes of one picture; bytes of decoded pixels in all
    threads together."""

    formats: tuple[Format, ...] = ("jpeg",)
    max_pixels: int = 40_000_000
    max_bytes: int = 20_000_000
    max_decoded_bytes: int = 400_000_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture as it is displayed.

    `image` is RGB and may be smaller than the picture, in the same proportions except for rounding; `width` and
    `height` are the pixels of the displayed picture in full, and what boxes refer to. `file` are the bytes that were
    decoded: the given ones, or a repaired copy that other decoders can read, too. `incomplete` says in words how much
    of the picture is there, None for a complete one. `share` is the memory that `image` takes of a budget.
    """

    image: Image.Image
    width: int
    height: int
    file: bytes = b""
    incomplete: str | None = None
    share: Share | None = None

    def release(self) -> None:
        """Give the memory back to its budget, when the image is not needed any more."""
        if self.share:
            self.share.close()


@dataclass(frozen=True, slots=True)
class _Job:
    """What one call of `decode` is about."""

    limits: PictureLimits
    size: tuple[int, int] | None
    budget: MemoryBudget
    wait: bool
    gray: bool = False

    def reserve(self, amount: int) -> Share:
        return self.budget.reserve(amount, wait=self.wait)


class _Opened(NamedTuple):
    """A picture whose header was read and whose memory is reserved; `width` and `height` as stored."""

    image: Image.Image
    width: int
    height: int
    orientation: int
    share: Share


def decode(
    data: bytes,
    limits: PictureLimits,
    size: tuple[int, int] | None,
    budget: MemoryBudget | None = None,
    *,
    wait: bool = True,
) -> Decoded:
    """Decode a file's bytes for a labeler whose input is `size` (width, height) pixels; None decodes in full.

    Both sides of `Decoded.image` are at least `size`'s, unless the picture's own are smaller; for a `size` of (1, 1) it
    is one pixel. Transparency is ignored; of several frames the first is used. Decoding waits until the `budget` has
    room; the result keeps its share until `Decoded.release`.

    Raises `PictureError`, and, only if `wait` is false, `NoRoom`.
    """
    if not data:
        raise PictureError("the picture is empty")
    if len(data) > limits.max_bytes:
        raise PictureError(f"the picture is too large: over {units.size(limits.max_bytes)} (setting images.max_bytes)")
    job = _Job(limits, size, budget or MemoryBudget(limits.max_decoded_bytes), wait)
    name, data = _identify(data, limits)
    if name == "jpeg":
        return _decode_jpeg(data, job)
    with explained(name):
        return _load(data, name, job)


def _identify(data: bytes, limits: PictureLimits) -> tuple[Format, bytes]:
    """Return the format and the bytes from its signature on. Raises PictureError."""
    allowed = " or ".join(NAMES[name] for name in limits.formats)
    name = format_of(data)
    kind = None if name else other_kind(data)
    if name is None and kind is None and (start := jpeg_file.find_start(data)) is not None:
        name, data = "jpeg", data[start:]
    if name in limits.formats:
        return name, data
    if name:
        raise PictureError(f"the picture is a {NAMES[name]}, only {allowed} is allowed (setting images.formats)")
    raise PictureError(f"the file is not a {allowed} picture" + (f" but {kind}" if kind else ""))


def _decode_jpeg(data: bytes, job: _Job) -> Decoded:
    file = jpeg_file.parse(data)
    try:
        return _load(data, "jpeg", job, in_scans=file.in_scans)
    except (PictureError, NoRoom):
        raise
    except Exception:  # noqa: BLE001, S110  # whatever Pillow refuses is repaired; the next try says what is left
        pass  # leaving the block drops the exception, and with it the failed picture's memory
    repaired = jpeg_file.repair(file)
    with explained("jpeg"):
        if file.ends:
            return _load(repaired, "jpeg", job, in_scans=file.in_scans)
        incomplete = _what_is_there(repaired, file, job)
        return replace(_load(repaired + END_OF_IMAGE, "jpeg", job, in_scans=file.in_scans), incomplete=incomplete)


def _what_is_there(data: bytes, file: JpegFile, job: _Job) -> str | None:
    """Return in words how much there is of a JPEG that lacks its end; None if all of it. Raises PictureError."""
    if file.scans > 1:  # the first scan is there, and with it all rows: coarsely, or without color
        rows = _rows_there(data, file, job)
        if rows < MIN_ROWS:
            return "incomplete: 100 % of it, in less detail"
    else:
        rows = _rows_there(data, file, replace(job, size=(1, 1), gray=True))
        if rows < MIN_ROWS:
            raise PictureError(f"the picture is cut off: only {int(100 * rows)} % of it is there")
    return f"incomplete: {int(100 * rows)} % of it" if rows < 1 else None


def _rows_there(data: bytes, file: JpegFile, job: _Job) -> float:
    """Return the part of a cut JPEG's rows that do not change with what replaces the missing bytes, 0..1."""
    # Three images: the second one, and the difference.
    ended = _open(data + END_OF_IMAGE, "jpeg", job, images=3, in_scans=file.in_scans)
    with closing(ended.share):
        counted = replace(job, budget=MemoryBudget(job.budget.limit))
        noisy = _open(data + _NOISE + END_OF_IMAGE, "jpeg", counted, in_scans=file.in_scans)
        changed = ImageChops.difference(to_rgb(ended.image), to_rgb(noisy.image)).getbbox()
        return changed[1] / ended.image.height if changed else 1.0


def _load(data: bytes, name: Format, job: _Job, *, in_scans: bool = False) -> Decoded:
    opened = _open(data, name, job, in_scans=in_scans)
    image, width, height, orientation, share = opened
    del opened
    with ExitStack() as on_error:
        on_error.callback(share.close)
        rgb = to_rgb(image)
        if name != "jpeg":
            orientation = orientation_of(image)
        del image  # the stored pixels
        rgb = upright(rgb, orientation)  # one statement each, which frees the previous image
        rgb = reduced(rgb, job.size)
        if orientation in SIDEWAYS:
            width, height = height, width
        on_error.pop_all()
    share.shrink(RGB_BYTES * rgb.width * rgb.height)
    return Decoded(rgb, width, height, data, share=share)


def _open(data: bytes, name: Format, job: _Job, *, in_scans: bool, images: int = 1) -> _Opened:
    """Read the header, check it against the limits, and reserve the memory to decode it, and of `images` such ones.

    `in_scans` says that a JPEG has several scans, so that all of it is kept until the last one.
    The share is the caller's to close.
    """
    share: Share | None = None
    with ExitStack() as on_error:
        if name == "webp":  # its decoder takes the memory before it tells the size
            size = webp_size(data)
            _check_pixels(*size, job.limits, in_scans=False)
            share = job.reserve(bytes_to_decode(name, "RGBA", size, whole=size, turned=True))
            on_error.callback(share.close)
        image = Image.open(io.BytesIO(data), formats=[name.upper()])
        width, height = image.size
        _check_pixels(width, height, job.limits, in_scans=in_scans)
        # Reading it from another format would decode the picture.
        orientation = orientation_of(image) if name == "jpeg" else 1
        if job.size is not None:
            # A no-op for all but JPEG, whose decoder can leave out detail: 1/2, 1/4 or 1/8 of each side.
            image.draft("L" if job.gray else None, job.size[::-1] if orientation in SIDEWAYS else job.size)
        if share is None:
            turned = orientation in UPRIGHT or name != "jpeg"
            whole = (width, height)
            cost = bytes_to_decode(name, image.mode, image.size, whole=whole, in_scans=in_scans, turned=turned)
            share = job.reserve(cost + (images - 1) * RGB_BYTES * image.width * image.height)
        on_error.pop_all()
    return _Opened(image, width, height, orientation, share)


def _check_pixels(width: int, height: int, limits: PictureLimits, *, in_scans: bool) -> None:
    if width * height > limits.max_pixels:
        raise PictureError(
            f"the picture has too many pixels: {width} x {height} is {width * height:,} pixels, "
            f"allowed are {limits.max_pixels:,} (setting images.max_pixels)"
        )
    if in_scans and width * height > limits.max_pixels // 2:
        # All of it is kept until the last scan is in, at full size too where a smaller one is asked for.
        raise PictureError(
            f"the picture has too many pixels for a progressive one: {width} x {height} is {width * height:,} pixels, "
            f"allowed are half of {limits.max_pixels:,} (setting images.max_pixels)"
        )

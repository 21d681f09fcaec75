"""The parts of a picture that show certain objects, and what a labeler finds in them as places in the picture.

A part is exactly the object's box, cut from the picture in full resolution, as a picture of its own.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from camiohookd.labelers import Frame
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection, Polygon, moved
from camiohookd.pictures.pixels import reduced
from camiohookd.wire.images import Picture

MAX_CROPS = 16
"""Most parts of one picture; those with the most probable objects."""

JPEG_QUALITY = 95


class ObjectCrop(NamedTuple):
    """A part of a picture.

    `frame` is the part as a picture, `shown` the object as a detection in it; `found` is the object in the picture, of
    `size` (width, height) pixels, and `box` the part in those pixels.
    """

    frame: Frame
    shown: Detection
    found: Detection
    box: Box
    size: tuple[int, int]


def cut(
    frame: Frame, full: Decoded, objects: Sequence[Detection], size: tuple[int, int] | None
) -> Iterator[ObjectCrop]:
    """Yield the parts of a picture that show `objects`, which have boxes; `full` is the whole picture, not reduced.

    A part's timestamp is the picture's with the part's number, such as "12.5#1". With a `size`, the part is reduced as
    far as it still covers that many pixels (width, height). Without one, it has a JPEG file.
    """
    width, height = full.width, full.height
    across, down = full.image.width / width, full.image.height / height
    for number, found in enumerate(sorted(objects, key=lambda each: -each.probability)[:MAX_CROPS], start=1):
        assert found.box is not None, "asked for by the caller"
        box = _whole_pixels(found.box, width, height)
        part = full.image.crop(
            (
                math.floor(box.left * across),
                math.floor(box.top * down),
                math.ceil(box.right * across),
                math.ceil(box.bottom * down),
            )
        )
        file = b""
        if size is None:
            file = _jpeg(part)
            part = reduced(part, (1, 1))
        else:
            part = reduced(part, size)
        decoded = Decoded(part, int(box.right - box.left), int(box.bottom - box.top), file)
        shown = found._replace(box=Box(0.0, 0.0, float(decoded.width), float(decoded.height)), outline=None)
        name = f"{frame.picture.timestamp}#{number}"
        yield ObjectCrop(Frame(Picture(name, file), decoded), shown, found, box, (width, height))


def in_picture(crop: ObjectCrop, found: Detection) -> Detection:
    """Return a detection in a part as one in the picture; one without a box gets the object's."""
    if found.box is None:
        return found._replace(box=crop.found.box, outline=crop.found.outline)
    box = moved(found.box, crop.box.left, crop.box.top)
    return found._replace(box=box, outline=_outline(crop, found.outline))


def left_of(crop: ObjectCrop, kept: Sequence[Detection]) -> list[Detection]:
    """Return what own code left of the object, in the picture: the object itself if it is unchanged."""
    return [crop.found if each == crop.shown else in_picture(crop, each) for each in kept]


def without_image(frame: Frame) -> Frame:
    """Return a frame that keeps the file and the size of its picture, and one pixel."""
    return Frame(frame.picture, replace(frame.decoded, image=frame.decoded.image.crop((0, 0, 1, 1)), share=None))


def _whole_pixels(box: Box, width: int, height: int) -> Box:
    """Return the box, widened to whole pixels and within the picture; it has at least one pixel."""
    left, top = (min(max(math.floor(side), 0), most - 1) for side, most in ((box.left, width), (box.top, height)))
    right, bottom = min(math.ceil(box.right), width), min(math.ceil(box.bottom), height)
    return Box(left, top, max(right, left + 1), max(bottom, top + 1))


def _outline(crop: ObjectCrop, outline: Polygon | None) -> Polygon | None:
    """Return an outline in fractions of the part, y up, as one in fractions of the picture."""
    if not outline:
        return outline
    width, height = crop.size
    part_width, part_height = crop.box.right - crop.box.left, crop.box.bottom - crop.box.top
    bottom = height - crop.box.bottom
    return tuple(((crop.box.left + x * part_width) / width, (bottom + y * part_height) / height) for x, y in outline)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()

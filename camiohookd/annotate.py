"""A picture and its detections → the same picture with boxes, names and scores drawn on it."""

import colorsys
from collections.abc import Iterable
from zlib import crc32

from PIL import Image, ImageDraw, ImageFont

from camiohookd.detections import Box, Detection

_Color = tuple[int, int, int]


def annotate(image: Image.Image, detections: Iterable[Detection]) -> Image.Image:
    """A copy of `image` (RGB, in full size: boxes are in its pixels) with each box, its label and its probability.

    Lines and letters grow with the picture; a label has the same colour in every picture.
    """
    canvas = image.copy()
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(max(image.size) / 300))
    font = ImageFont.load_default(max(11, 7 * line))
    shown = [
        (f"{label} {probability:.2f}", _within(box, image.size), _color(label))
        for label, probability, box, _ in sorted(detections, key=lambda found: found.probability)
    ]
    for _, box, color in shown:
        draw.rectangle(box, outline=color, width=line)
    for text, box, color in shown:  # afterwards, so that no line strikes a caption through
        _caption(draw, text, box, color, font)
    return canvas


def _within(box: Box | None, size: tuple[int, int]) -> Box:
    """The box with all of its lines in the picture; the whole picture where the labeler gives none."""
    last_x, last_y = size[0] - 1, size[1] - 1
    left, top, right, bottom = box or (0, 0, last_x, last_y)
    return Box(min(left, last_x), min(top, last_y), min(right, last_x), min(bottom, last_y))


def _caption(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Box,
    color: _Color,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Above the box if there is room, else in it, and always within the picture."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = (bottom - top) / 4
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    picture_width, picture_height = draw.im.size
    x = max(0, min(box.left, picture_width - width))
    y = min(box.top - height if box.top >= height else box.top, picture_height - height)
    draw.rectangle((x, y, x + width, y + height), fill=color)
    draw.text((x + margin - left, y + margin - top), text, fill="black", font=font)


def _color(label: str) -> _Color:
    """A bright one, so that black letters can be read on it."""
    hue = crc32(label.encode()) / 2**32
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55, 1.0))
    return red, green, blue

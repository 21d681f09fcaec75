"""A picture, its detections and zones → the same picture with boxes, names, scores and outlines drawn on it."""

import colorsys
from collections.abc import Iterable
from zlib import crc32

from PIL import Image, ImageDraw, ImageFont

from camiohookd.config.settings import Zone
from camiohookd.pictures.detections import Box, Detection

_Color = tuple[int, int, int]

_ZONE_COLORS: dict[str, _Color] = {"include": (80, 230, 120), "exclude": (255, 110, 110)}
_TINT = 40  # of 255


def annotate(image: Image.Image, detections: Iterable[Detection], zones: Iterable[Zone] = ()) -> Image.Image:
    """A copy of `image` (RGB, in full size: boxes are in its pixels) with each box, its label and its probability.

    Lines and letters grow with the picture; a label has the same colour in every picture. Zones are outlined and
    tinted: green what is included, red what is excluded.
    """
    canvas = image.copy()
    draw = ImageDraw.Draw(canvas, "RGBA")
    line = max(1, round(max(image.size) / 300))
    font = ImageFont.load_default(max(11, 7 * line))
    for zone in zones:
        _outline(draw, zone, line, font)
    shown = [
        (f"{label} {probability:.2f}", _within(box, image.size), _color(label))
        for label, probability, box, _ in sorted(detections, key=lambda found: found.probability)
    ]
    for _, box, color in shown:
        draw.rectangle(box, outline=color, width=line)
    for text, box, color in shown:  # afterwards, so that no line strikes a caption through
        _caption(draw, text, box, color, font)
    return canvas


def _outline(
    draw: ImageDraw.ImageDraw, zone: Zone, line: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> None:
    """With its name in the upper left corner of what it fits into."""
    width, height = draw.im.size
    corners = [(x * (width - 1), y * (height - 1)) for x, y in zone.polygon]
    color = _ZONE_COLORS[zone.kind]
    draw.polygon(corners, fill=(*color, _TINT))
    draw.line([*corners, corners[0]], fill=color, width=line, joint="curve")
    xs, ys = zip(*corners, strict=True)
    _caption(draw, zone.name, Box(min(xs), min(ys), max(xs), max(ys)), color, font)


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
    # Of a letter at a fraction of a pixel above the edge of the picture Pillow leaves out the top.
    draw.text((round(x + margin - left), round(y + margin - top)), text, fill="black", font=font)


def _color(label: str) -> _Color:
    """A bright one, so that black letters can be read on it."""
    hue = crc32(label.encode()) / 2**32
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55, 1.0))
    return red, green, blue

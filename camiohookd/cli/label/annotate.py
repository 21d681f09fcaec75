"""Draw detections and zones on a picture: boxes, labels, probabilities, outlines, and why an object is left out."""

import math
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

from camiohookd.config.rule import Zone
from camiohookd.labelers import Looked
from camiohookd.pictures.colors import color_of
from camiohookd.pictures.detections import Box, Detection, place

_Color = tuple[int, int, int]
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
_Drawn = tuple[Detection, str, int, _Font | None]
"""A detection, the end of its caption, the width of its box's line in pixels, and the caption's font."""

_ZONE_COLORS: dict[str, _Color] = {
    "include": (80, 230, 120),
    "exclude": (255, 110, 110),
    "state": (120, 170, 255),
}
_TILE, _CHANGED = (255, 255, 255, 150), (255, 225, 60, 220)
_TINT = 40  # of 255


def annotate(
    image: Image.Image,
    detections: Iterable[Detection],
    zones: Iterable[Zone] = (),
    left_out: Iterable[tuple[Detection, str]] = (),
    looked: Looked | None = None,
) -> Image.Image:
    """Return a copy of `image` (RGB) with boxes, labels and probabilities; boxes are in pixels of `image`.

    Lines and letters grow with the picture. A label has the same color in every picture. Zones are outlined and
    tinted: green if included, red if excluded. Detections in `left_out` get a thin box and the reason. Captions and
    names of zones do not cover each other if there is room elsewhere. Tiles that were `looked` at have a thin white
    line, and regions that differ from the other pictures of the event a yellow one.
    """
    canvas = image.copy()
    draw = ImageDraw.Draw(canvas, "RGBA")
    line = max(1, round(max(image.size) / 300))
    captions = _Captions(draw, ImageFont.load_default(max(11, 7 * line)))
    small = ImageFont.load_default(max(10, 4 * line))
    for box in looked.tiles if looked else ():
        draw.rectangle(_within(box, image.size), outline=_TILE)
    for box in (looked.regions or ()) if looked else ():
        draw.rectangle(_within(box, image.size), outline=_CHANGED)
    for zone in zones:
        captions.add(zone.name, _draw_zone(draw, zone, line), _ZONE_COLORS[zone.kind])
    shown: list[_Drawn] = [(found, "", line, None) for found in detections]
    thin: list[_Drawn] = [(found, f": {reason}", 1, small) for found, reason in left_out]
    for found, reason, width, font in [*sorted(shown, key=_improbability), *sorted(thin, key=_improbability)]:
        box, color = _within(place(found, *image.size), image.size), color_of(found.label)
        draw.rectangle(box, outline=color, width=width)
        by = f" ({found.labeler})" if found.labeler else ""  # there are several
        # With its labeler's name a caption is long: in large letters it would cover other objects.
        captions.add(f"{found.label} {found.probability:.2f}{by}{reason}", box, color, font or (small if by else None))
    captions.draw()
    return canvas


def _improbability(each: _Drawn) -> float:
    return -each[0].probability


def _draw_zone(draw: ImageDraw.ImageDraw, zone: Zone, line: int) -> Box:
    """Outline and tint the zone; return the box around it."""
    width, height = draw.im.size
    corners = [(x * (width - 1), y * (height - 1)) for x, y in zone.polygon]
    color = _ZONE_COLORS[zone.kind]
    draw.polygon(corners, fill=(*color, _TINT))
    draw.line([*corners, corners[0]], fill=color, width=line, joint="curve")
    xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def _within(box: Box | None, size: tuple[int, int]) -> Box:
    """Return the box, cut so that all its lines are in the picture; the whole picture if there is no box."""
    last_x, last_y = size[0] - 1, size[1] - 1
    left, top, right, bottom = box or (0, 0, last_x, last_y)
    return Box(min(left, last_x), min(top, last_y), min(right, last_x), min(bottom, last_y))


class _Captions:
    """The captions of one picture: `add` places one, and `draw` draws all of them on top of the boxes' lines."""

    def __init__(self, draw: ImageDraw.ImageDraw, font: _Font) -> None:
        self._draw = draw
        self._font = font
        self._placed: list[tuple[str, Box, _Color, _Font]] = []

    def add(self, text: str, box: Box, color: _Color, font: _Font | None = None) -> None:
        """Place `text` above `box` if there is room, otherwise in it or below; always within the picture."""
        font = font or self._font
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=font)
        margin = (bottom - top) / 4
        width, height = right - left + 2 * margin, bottom - top + 2 * margin
        picture_width, picture_height = self._draw.im.size
        x = max(0, min(box.left, picture_width - width))
        last = max(picture_height - height, 0)
        first = min(box.top - height if box.top >= height else box.top, last)
        steps = [first + step * height for step in range(math.ceil(picture_height / height))]
        below = [y for y in steps if y <= last]
        above = [y for y in (first - step * height for step in range(1, len(steps))) if y >= 0]
        spots = [Box(x, y, x + width, y + height) for y in (*below, *above)]
        free = (spot for spot in spots if not any(_overlap(spot, other) for _, other, _, _ in self._placed))
        self._placed.append((text, next(free, Box(x, first, x + width, first + height)), color, font))

    def draw(self) -> None:
        """Draw all captions; the first ones last, so that others do not cover them if there was no room."""
        for text, spot, color, font in reversed(self._placed):
            left, top, _, bottom = self._draw.textbbox((0, 0), text, font=font)
            margin = (bottom - top) / 4
            self._draw.rectangle(spot, fill=color)
            # Pillow cuts the top off a letter that begins a fraction of a pixel above the picture's edge.
            position = round(spot.left + margin - left), round(spot.top + margin - top)
            self._draw.text(position, text, fill="black", font=font)


def _overlap(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom

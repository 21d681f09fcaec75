"""Give each label its color, the same in every picture and on the status page."""

import colorsys
from zlib import crc32


def color_of(label: str) -> tuple[int, int, int]:
    """Return a color (red, green, blue; 0 to 255) for `label` that is bright enough for black letters."""
    red, green, blue = colorsys.hsv_to_rgb(crc32(label.encode()) / 2**32, 0.55, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)

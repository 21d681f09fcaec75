"""The settings of [images] as the limits that pictures are decoded with."""

from camiohookd.config.settings import ImagesSettings
from camiohookd.pictures.decode import PictureLimits


def picture_limits(images: ImagesSettings) -> PictureLimits:
    """Return the limits of a picture: its formats, pixels and bytes, and the bytes of decoded pixels in memory."""
    return PictureLimits(images.formats, images.max_pixels, images.max_bytes, images.max_decoded_bytes)

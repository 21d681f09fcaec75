"""Between a picture and a model's input: pixels → tensor on the way in, boxes → the picture's pixels on the way out."""

import numpy as np
from PIL import Image

from camiohookd.images import Decoded
from camiohookd.labelers.decoders import Candidates, Floats
from camiohookd.labelers.model import Input

_PADDING = (114, 114, 114)  # YOLOX's


def tensor(image: Image.Image, wanted: Input) -> Floats:
    """RGB of any size → float32 [1, 3, height, width], 0..255, resized and ordered as the model wants it."""
    size = (wanted.width, wanted.height)
    if wanted.resize == "stretch":
        image = image.resize(size, Image.Resampling.BILINEAR)
    else:
        scale = _letterbox_scale(image.size, size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        canvas = Image.new("RGB", size, _PADDING)
        canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR))
        image = canvas
    pixels = np.asarray(image)
    if wanted.color_order == "BGR":
        pixels = pixels[:, :, ::-1]
    return pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32, order="C")


def in_picture(candidates: Candidates, picture: Decoded, used: Input) -> Candidates:
    """The same with boxes in pixels of the displayed picture, cut off at its edges; without those outside it."""
    size, sides = (used.width, used.height), (picture.width, picture.height)
    if used.resize == "stretch":
        scale = (sides[0] / size[0], sides[1] / size[1])
    else:
        scale = (1 / _letterbox_scale(sides, size),) * 2
    boxes = np.clip(candidates.boxes * np.array(scale * 2, np.float32), 0, np.array(sides * 2, np.float32))
    inside = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    return candidates._replace(boxes=boxes).take(inside)


def _letterbox_scale(sides: tuple[int, int], size: tuple[int, int]) -> float:
    return min(size[0] / sides[0], size[1] / sides[1])

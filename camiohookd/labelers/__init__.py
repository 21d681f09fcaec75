"""What labels pictures: decoded picture → detections.

`onnx` runs a model that `model` describes and whose outputs `decoders` understands.
"""

from typing import Protocol

from camiohookd.detections import Detection
from camiohookd.images import Decoded


class Labeler(Protocol):
    """Finds objects in pictures. The threads of the label pool call it, several at a time."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height in pixels that a picture is scaled to; more detail than that is not looked at."""
        ...

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        """What is in the picture, most probable first; boxes in pixels of the displayed picture in full.

        `min_probability` None means the labeler's own threshold. Raises `errors.LabelingError`.
        """
        ...

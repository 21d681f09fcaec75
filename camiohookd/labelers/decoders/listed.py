"""Finished boxes in separate lists of boxes, labels and probabilities: what models with their own suppression return.

TensorFlow Object Detection: `TfOd`. torchvision: `Torchvision`. RT-DETR and D-FINE from their authors: `Listed`.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from camiohookd.labelers.decoders.candidates import MAX_CANDIDATES, Candidates, CommonOptions, Floats
from camiohookd.labelers.decoders.named import rows_with_names


class Listed:
    """Reads `boxes` [n, 4], `labels` [n] and `scores` [n], as RT-DETR's and D-FINE's authors export them
    (https://github.com/lyuwenyu/RT-DETR, `rtdetrv2_pytorch/tools/export_onnx.py`).

    Boxes are in pixels of the size that the model was told as `orig_target_sizes`: give it the input's.
    """

    name = "listed"
    separate = True
    batched = True

    class Options(CommonOptions, frozen=True):
        """`box`: the order of a box's sides; `unit`: what they are measured in; `first_label`: the model's number for
        the first label."""

        box: Literal["left-top-right-bottom", "top-left-bottom-right"] = "left-top-right-bottom"
        unit: Literal["pixels", "fractions"] = "pixels"
        first_label: Annotated[int, Meta(ge=0, le=1)] = 0

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        batch: tuple[int | None, ...] = (None,) if self.batched else ()
        self.outputs: dict[str, tuple[int | None, ...]] = {
            "boxes": (*batch, None, 4),
            "labels": (*batch, None),
            "scores": (*batch, None),
        }
        self._order = [1, 0, 3, 2] if options.box == "top-left-bottom-right" else [0, 1, 2, 3]
        self._scale = np.array(size * 2 if options.unit == "fractions" else (1, 1, 1, 1), np.float32)
        self._first = options.first_label
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        boxes, labels, scores = outputs
        numbers = labels - self._first
        rows = rows_with_names(numbers, scores, self._named, min_probability)[:MAX_CANDIDATES]
        return Candidates(boxes[rows][:, self._order] * self._scale, scores[rows], numbers[rows].astype(np.intp))


class TfOd(Listed):
    """Reads what TensorFlow's Object Detection API exports, postprocessing included
    (https://github.com/tensorflow/models, `object_detection/exporter.py`): `boxes` as fractions of the picture in the
    order top, left, bottom, right; `labels` from 1. Unused rows have the probability 0.
    """

    name = "tf_od"

    class Options(Listed.Options, frozen=True):
        """As `Listed.Options`, with the API's values."""

        box: Literal["left-top-right-bottom", "top-left-bottom-right"] = "top-left-bottom-right"
        unit: Literal["pixels", "fractions"] = "fractions"
        first_label: Annotated[int, Meta(ge=0, le=1)] = 1


class Torchvision(Listed):
    """Reads torchvision's detectors (https://docs.pytorch.org/vision/stable/models.html#object-detection): `boxes` in
    pixels of the input, `labels` from 1. They take one picture, and no output has a batch axis.
    """

    name = "torchvision"
    batched = False

    class Options(Listed.Options, frozen=True):
        """As `Listed.Options`, with torchvision's values."""

        first_label: Annotated[int, Meta(ge=0, le=1)] = 1

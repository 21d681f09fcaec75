"""Decoded boxes and a score for each label: SSD."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from camiohookd.labelers.decoders.candidates import Candidates, CommonOptions, Floats, most_probable


class Ssd:
    """Reads the output of the TensorFlow Object Detection API's SSD without its postprocessing
    (https://github.com/tensorflow/models, `object_detection/meta_architectures/ssd_meta_arch.py`).

    `scores` [boxes, labels] are probabilities, `boxes` [boxes, 4] fractions of the input, in the order of
    `Options.box`.
    """

    name = "ssd"
    separate = False
    batched = True

    class Options(CommonOptions, frozen=True):
        """`box`: the order of a box's sides."""

        box: Literal["top-left-bottom-right", "left-top-right-bottom"] = "top-left-bottom-right"

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        self.outputs: dict[str, tuple[int | None, ...]] = {
            "scores": (None, None, len(labels)),
            "boxes": (None, None, 4),
        }
        self._order = [1, 0, 3, 2] if options.box == "top-left-bottom-right" else [0, 1, 2, 3]
        self._scale = np.array(size * 2, np.float32)
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        scores, boxes = outputs
        anchors, labels, probabilities = most_probable(scores, self._named, min_probability)
        return Candidates(boxes[anchors][:, self._order] * self._scale, probabilities, labels)

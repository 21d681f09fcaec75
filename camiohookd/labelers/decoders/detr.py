"""A box and its logits for each of some hundred queries: DETR and RT-DETR."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from camiohookd.labelers.decoders.candidates import (
    Candidates,
    CommonOptions,
    Floats,
    from_centers,
    most_probable,
    sigmoid,
    softmax,
)


class Detr:
    """Reads `boxes` [queries, 4]: the center's x and y, width and height as fractions of the input; and `logits`.

    DETR (https://github.com/facebookresearch/detr, `models/detr.py`, `PostProcess`): `logits` [queries, labels + 1]
    through softmax, the last of which means no object. RT-DETR (https://github.com/lyuwenyu/RT-DETR,
    `rtdetr_postprocessor.py`): `logits` [queries, labels] through sigmoid. A query finds one object, so nothing is
    suppressed.
    """

    name = "detr"
    separate = True
    batched = True

    class Options(CommonOptions, frozen=True):
        """`activation`: the function from logits to probabilities."""

        activation: Literal["sigmoid", "softmax"] = "sigmoid"

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        self._softmax = options.activation == "softmax"
        self.outputs: dict[str, tuple[int | None, ...]] = {
            "logits": (None, None, len(labels) + self._softmax),
            "boxes": (None, None, 4),
        }
        self._scale = np.array(size, np.float32)
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        logits, boxes = outputs
        scores = softmax(logits)[:, :-1] if self._softmax else sigmoid(logits)
        queries, labels, probabilities = most_probable(scores, self._named, min_probability)
        found = boxes[queries]
        return Candidates(from_centers(found[:, :2] * self._scale, found[:, 2:] * self._scale), probabilities, labels)

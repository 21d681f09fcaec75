"""Boxes in pixels with a score for each label, in columns or rows, or after suppression: YOLOv5 and later."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from camiohookd.labelers.decoders.candidates import (
    MAX_CANDIDATES,
    Candidates,
    CommonOptions,
    Floats,
    from_centers,
    most_probable,
)
from camiohookd.labelers.decoders.named import rows_with_names


class Yolo:
    """Reads Ultralytics' exports (https://docs.ultralytics.com/modes/export/; `ultralytics/utils/ops.py` and `nms.py`).

    A plain model has [4 + labels, boxes]: a column for each box, the center's x and y, width and height in pixels of
    the input, then the labels' probabilities.

    YOLOv5 and YOLOv7 with `objectness` have [boxes, 5 + labels]: a row for each box, center and size as above, the
    probability that there is an object, then each label's if there is one
    (https://github.com/ultralytics/yolov5, `models/yolo.py`, `Detect`).

    An end-to-end model has [boxes, 6]: left, top, right, bottom in pixels, probability, label; nothing is suppressed.
    With `fractions`, as Ultralytics exports RT-DETR, the center's x and y, width and height in fractions of the input
    come first (`ultralytics/nn/modules/head.py`, `RTDETRDecoder.postprocess`).

    Each may be followed by the factors of a mask, which are not used.
    """

    name = "yolo"
    batched = True

    class Options(CommonOptions, frozen=True):
        """`end_to_end`: whether the model suppresses overlapping boxes itself; `objectness`: whether a box has a
        probability of its own; `masks`: how many factors of a mask follow the labels; `fractions`: whether the boxes
        of an end-to-end model are center and size in fractions of the input."""

        end_to_end: bool = False
        fractions: bool = False
        objectness: bool = False
        masks: Annotated[int, Meta(ge=0)] = 0

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        self.separate = options.end_to_end
        self._scale = np.array(size, np.float32) if options.fractions else None
        self._objectness = options.objectness
        self._named = np.array([bool(label) for label in labels])
        count = len(labels)
        if options.end_to_end:
            shape: tuple[int | None, ...] = (None, None, 6 + options.masks)
        elif options.objectness:
            shape = (None, None, 5 + count + options.masks)
        else:
            shape = (None, 4 + count + options.masks, None)
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": shape}

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (output,) = outputs
        if self.separate:
            return self._whole(output, min_probability)
        if self._objectness:
            return self._with_objectness(output, min_probability)
        return self._raw(output, min_probability)

    def _raw(self, columns: Floats, min_probability: float) -> Candidates:
        scores = columns[4 : 4 + len(self._named)].T
        found, labels, probabilities = most_probable(scores, self._named, min_probability)
        rows = columns[:4, found].T
        return Candidates(from_centers(rows[:, :2], rows[:, 2:]), probabilities, labels)

    def _with_objectness(self, rows: Floats, min_probability: float) -> Candidates:
        rows = rows[rows[:, 4] >= min_probability]  # the product with a score is at most this
        scores = rows[:, 5 : 5 + len(self._named)] * rows[:, 4:5]
        found, labels, probabilities = most_probable(scores, self._named, min_probability)
        rows = rows[found]
        return Candidates(from_centers(rows[:, :2], rows[:, 2:4]), probabilities, labels)

    def _whole(self, rows: Floats, min_probability: float) -> Candidates:
        rows = rows[rows_with_names(rows[:, 5], rows[:, 4], self._named, min_probability)[:MAX_CANDIDATES]]
        boxes = rows[:, :4]
        if self._scale is not None:
            boxes = from_centers(boxes[:, :2] * self._scale, boxes[:, 2:] * self._scale)
        return Candidates(boxes, rows[:, 4], rows[:, 5].astype(np.intp))

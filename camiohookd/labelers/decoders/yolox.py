"""Offsets from the cells of grids, or finished boxes, with an objectness: YOLOX."""

from collections.abc import Sequence

import numpy as np

from camiohookd.labelers.decoders.candidates import (
    Candidates,
    CommonOptions,
    Floats,
    Strides,
    from_centers,
    grid,
    most_probable,
)


class Yolox:
    """YOLOX exported without its decoding (https://github.com/Megvii-BaseDetection/YOLOX, `yolox/models/yolo_head.py`,
    `decode_outputs`): a row for each cell of the grids, x, y, w, h, objectness, then a score for each label.

    Center = (x, y + cell) * stride, size = exp(w, h) * stride, probability = objectness * score. If the graph holds the
    decoding, x, y, w, h are the center and the size in pixels.
    """

    name = "yolox"
    separate = False
    batched = True

    class Options(CommonOptions, frozen=True):
        """`strides`: the side of a cell in pixels, for each grid; `decoded`: whether the graph holds the decoding."""

        strides: Strides = (8, 16, 32)
        decoded: bool = False

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        self._cells, self._strides = grid(size, options.strides)
        self._decoded = options.decoded
        self._named = np.array([bool(label) for label in labels])
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (None, len(self._cells), 5 + len(labels))}

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (rows,) = outputs
        likely = np.flatnonzero(rows[:, 4] >= min_probability)  # the product with a score is at most this
        rows = rows[likely]
        found, labels, probabilities = most_probable(rows[:, 5:] * rows[:, 4:5], self._named, min_probability)
        if self._decoded:
            return Candidates(from_centers(rows[found, :2], rows[found, 2:4]), probabilities, labels)
        cells, strides = self._cells[likely[found]], self._strides[likely[found]]
        boxes = from_centers((rows[found, :2] + cells) * strides, np.exp(rows[found, 2:4]) * strides)
        return Candidates(boxes, probabilities, labels)

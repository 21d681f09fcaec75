"""A detection model's raw outputs → candidates above a probability → the best box of each object.

A decoder turns outputs into `Candidates` with boxes in pixels of the model's input; `suppress` is the same for all.
The contract of each output is written at its decoder. Pure numpy; a decoder keeps nothing between calls, so that
several threads share one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_CANDIDATES = 1000
"""A bound on `suppress`, whose cost grows with the square of them; a picture with objects on it has some dozens."""


class Candidates(NamedTuple):
    """`boxes` [n, 4] as left, top, right, bottom in pixels of the model's input, y down; `probabilities` [n], most
    probable first; `labels` [n], indices into the model's labels."""

    boxes: Floats
    probabilities: Floats
    labels: NDArray[np.intp]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        return Candidates(self.boxes[which], self.probabilities[which], self.labels[which])


class Decoder(Protocol):
    """One kind of output."""

    outputs: dict[str, tuple[int | None, ...]]
    """The outputs by name, with their shapes; None is any length."""

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        """The candidates in `outputs`, which come in the order of the property and have those shapes."""
        ...


class Ssd:
    """The TensorFlow Object Detection API's SSD without its postprocessing: `scores` are probabilities, `boxes` are
    ymin, xmin, ymax, xmax as fractions of the input."""

    def __init__(self, size: tuple[int, int], labels: Sequence[str]) -> None:
        self.outputs: dict[str, tuple[int | None, ...]] = {
            "scores": (1, None, len(labels)),
            "boxes": (1, None, 4),
        }
        width, height = size
        self._scale = np.array([width, height, width, height], np.float32)
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        scores, boxes = outputs[0][0], outputs[1][0]
        anchors, labels, probabilities = _most_probable(scores, self._named, min_probability)
        return Candidates(boxes[anchors][:, [1, 0, 3, 2]] * self._scale, probabilities, labels)


class Yolox:
    """YOLOX exported without its decoding (https://github.com/Megvii-BaseDetection/YOLOX, `yolox/models/yolo_head.py`,
    `decode_outputs`): a row for each cell of three grids, x, y, w, h, objectness, then a score for each label.

    Centre = (x, y + cell) * stride, size = exp(w, h) * stride, probability = objectness * score.
    """

    _STRIDES = (8, 16, 32)

    def __init__(self, size: tuple[int, int], labels: Sequence[str]) -> None:
        width, height = size
        grids = [np.mgrid[: height // s, : width // s][::-1].reshape(2, -1).T for s in self._STRIDES]
        self._cells = np.concatenate(grids).astype(np.float32)
        self._strides = np.repeat(self._STRIDES, [len(grid) for grid in grids]).astype(np.float32)[:, None]
        self._named = np.array([bool(label) for label in labels])
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (1, len(self._cells), 5 + len(labels))}

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        rows = outputs[0][0]
        likely = np.flatnonzero(rows[:, 4] >= min_probability)  # a product is at most its smallest factor
        rows = rows[likely]
        scores = rows[:, 5:] * rows[:, 4:5]
        found, labels, probabilities = _most_probable(scores, self._named, min_probability)
        cells, strides = self._cells[likely[found]], self._strides[likely[found]]
        centre = (rows[found, :2] + cells) * strides
        half = np.exp(rows[found, 2:4]) * strides / 2
        return Candidates(np.concatenate([centre - half, centre + half], axis=1), probabilities, labels)


DECODERS: dict[str, Callable[[tuple[int, int], Sequence[str]], Decoder]] = {"ssd": Ssd, "yolox": Yolox}
"""By the name that stands in a `model.toml`; made from the input's width and height, and the labels."""


def suppress(candidates: Candidates, max_overlap: float) -> Candidates:
    """Greedy non-maximum suppression: of boxes of one label whose intersection over union is more than
    `max_overlap`, the most probable one stays."""
    boxes, _, labels = candidates
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    waiting = np.arange(len(boxes))
    kept: list[np.intp] = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        corners = np.minimum(boxes[best, 2:], boxes[waiting, 2:]), np.maximum(boxes[best, :2], boxes[waiting, :2])
        shared = np.prod(np.maximum(corners[0] - corners[1], 0), axis=1)
        same = shared > max_overlap * (areas[best] + areas[waiting] - shared)
        waiting = waiting[~(same & (labels[waiting] == labels[best]))]
    return candidates.take(np.array(kept, np.intp))


def _most_probable(
    scores: Floats, named: NDArray[np.bool_], min_probability: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Rows, columns and values of `scores` [rows, labels] that are high enough and have a name, highest first."""
    rows, columns = np.nonzero(scores >= min_probability)
    rows, columns = rows[named[columns]], columns[named[columns]]
    values = scores[rows, columns]
    order = np.argsort(-values, kind="stable")[:MAX_CANDIDATES]
    return rows[order], columns[order], values[order]

"""What every decoder makes, and what is the same for all: the most probable scores, and the best box of each object."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_CANDIDATES = 1000
"""A bound on `suppress`, whose cost grows with the square of them; a picture with objects on it has some dozens."""


class Candidates(NamedTuple):
    """`boxes` [n, 4] as left, top, right, bottom in pixels of the model's input, y down, or [n, 0] where a decoder
    knows none; `probabilities` [n], most probable first; `labels` [n], indices into the model's labels."""

    boxes: Floats
    probabilities: Floats
    labels: NDArray[np.intp]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Candidates":
        return Candidates(self.boxes[which], self.probabilities[which], self.labels[which])

    def finite(self) -> "Candidates":
        """Without those that have a number which is none."""
        return self.take(np.isfinite(self.boxes).all(axis=1) & np.isfinite(self.probabilities))


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


def most_probable(
    scores: Floats, named: NDArray[np.bool_], min_probability: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Rows, columns and values of `scores` [rows, labels] that are high enough and have a name, highest first."""
    rows, columns = np.nonzero(scores >= min_probability)
    rows, columns = rows[named[columns]], columns[named[columns]]
    values = scores[rows, columns]
    order = np.argsort(-values, kind="stable")[:MAX_CANDIDATES]
    return rows[order], columns[order], values[order]


def from_centres(centres: Floats, sizes: Floats) -> Floats:
    """Boxes [n, 4] by their middles and sizes, both [n, 2]."""
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def grid(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """The cells of the grids that lie over an input of `size` (width, height), row by row: x, y in cells [n, 2], and
    their grid's stride in pixels [n, 1]."""
    width, height = size
    grids = [np.mgrid[: -(-height // s), : -(-width // s)][::-1].reshape(2, -1).T for s in strides]
    lengths = np.repeat(strides, [len(cells) for cells in grids])
    return np.concatenate(grids).astype(np.float32), lengths.astype(np.float32)[:, None]


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of a number so small that it is 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)

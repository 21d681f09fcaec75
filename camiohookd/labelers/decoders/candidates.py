"""What every decoder makes, and what is the same for all: the most probable scores, and the best box of each object."""

from typing import Annotated, NamedTuple

import msgspec
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
    kept = np.ones(len(boxes), np.bool_)
    for label in np.flatnonzero(np.bincount(labels) > 1):
        same = np.flatnonzero(labels == label)
        kept[same] = _best(boxes[same], max_overlap)
    return candidates.take(kept)


def _best(boxes: Floats, max_overlap: float) -> NDArray[np.bool_]:
    """Which of the boxes of one label stay; they come most probable first."""
    suppresses = np.triu(_overlaps(boxes) > max_overlap, 1)
    kept = np.ones(len(boxes), np.bool_)
    for nth in np.flatnonzero(suppresses.any(axis=1)):
        if kept[nth]:
            kept[suppresses[nth]] = False
    return kept


def _overlaps(boxes: Floats) -> Floats:
    """Intersection over union of each with each [n, n]; 0 of boxes that are as good as empty."""
    left, top, right, bottom = boxes.T
    shared = np.maximum(np.minimum.outer(right, right) - np.maximum.outer(left, left), 0)
    shared *= np.maximum(np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top), 0)
    areas = (right - left) * (bottom - top)
    ratios: Floats = shared / np.maximum(np.add.outer(areas, areas) - shared, np.finfo(np.float32).tiny)
    return ratios


def most_probable(
    scores: Floats, named: NDArray[np.bool_], min_probability: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Rows, columns and values of `scores` [rows, labels] that are high enough and have a name, highest first."""
    rows, columns = _where(scores >= min_probability)
    rows, columns = rows[named[columns]], columns[named[columns]]
    values = scores[rows, columns]
    order = np.argsort(-values, kind="stable")[:MAX_CANDIDATES]
    return rows[order], columns[order], values[order]


def _where(high: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the True ones. `np.nonzero` takes six times as long for two dimensions as for one."""
    if high.flags.f_contiguous:
        columns, rows = np.divmod(np.flatnonzero(high.T), len(high))
    else:
        rows, columns = np.divmod(np.flatnonzero(high), high.shape[1])
    return rows, columns


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
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of a number so small that it is 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


Strides = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=4, le=1024)], ...],
    msgspec.Meta(min_length=1, max_length=8),
]
"""Pixels of a cell's side, of each grid."""


class CommonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[options]`` of a `model.toml`; a decoder's own have its keys."""

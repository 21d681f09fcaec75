"""What every decoder returns, and the steps that decoders share."""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from camiohookd.pictures.overlap import overlaps

Floats = NDArray[np.float32]

MAX_CANDIDATES = 1000
"""Bounds the cost of `suppress`, which grows with the square of the number. A usual picture has dozens."""


class Candidates(NamedTuple):
    """Objects that a model may have found, most probable first.

    `boxes` [n, 4] are left, top, right, bottom in pixels of the model's input, y down, or [n, 0] from a decoder without
    boxes; `probabilities` [n]; `labels` [n], indices into the model's labels.
    """

    boxes: Floats
    probabilities: Floats
    labels: NDArray[np.intp]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Candidates":
        return Candidates(self.boxes[which], self.probabilities[which], self.labels[which])

    def finite(self) -> "Candidates":
        """Drop candidates with NaN or infinite values."""
        return self.take(np.isfinite(self.boxes).all(axis=1) & np.isfinite(self.probabilities))


def suppress(candidates: Candidates, max_overlap: float) -> Candidates:
    """Keep the most probable of boxes with the same label whose intersection over union exceeds `max_overlap`.

    This is greedy non-maximum suppression.
    """
    boxes, _, labels = candidates
    kept = np.ones(len(boxes), np.bool_)
    for label in np.flatnonzero(np.bincount(labels) > 1):
        same = np.flatnonzero(labels == label)
        kept[same] = _best(boxes[same], max_overlap)
    return candidates.take(kept)


def _best(boxes: Floats, max_overlap: float) -> NDArray[np.bool_]:
    """Return which boxes of one label to keep; they come most probable first."""
    suppresses = np.triu(overlaps(boxes, boxes) > max_overlap, 1)
    kept = np.ones(len(boxes), np.bool_)
    for nth in np.flatnonzero(suppresses.any(axis=1)):
        if kept[nth]:
            kept[suppresses[nth]] = False
    return kept


def most_probable(
    scores: Floats, named: NDArray[np.bool_], min_probability: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return rows, columns and values of the `scores` [rows, labels] that are high enough and named, highest first."""
    rows, columns = _where(scores >= min_probability)
    rows, columns = rows[named[columns]], columns[named[columns]]
    values = scores[rows, columns]
    order = np.argsort(-values, kind="stable")[:MAX_CANDIDATES]
    return rows[order], columns[order], values[order]


def _where(high: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the True values. `np.nonzero` is six times slower in two dimensions than in one."""
    if high.flags.f_contiguous:
        columns, rows = np.divmod(np.flatnonzero(high.T), len(high))
    else:
        rows, columns = np.divmod(np.flatnonzero(high), high.shape[1])
    return rows, columns


def from_centers(centers: Floats, sizes: Floats) -> Floats:
    """Return boxes [n, 4] from their centers and sizes, both [n, 2]."""
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def grid(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the cells of the grids over an input of `size` (width, height), row by row.

    These are x, y in cells [n, 2], and the stride of each cell's grid in pixels [n, 1].
    """
    width, height = size
    grids = [np.mgrid[: -(-height // s), : -(-width // s)][::-1].reshape(2, -1).T for s in strides]
    lengths = np.repeat(strides, [len(cells) for cells in grids])
    return np.concatenate(grids).astype(np.float32), lengths.astype(np.float32)[:, None]


def softmax(logits: Floats) -> Floats:
    """Return the softmax along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # the result is then 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


Strides = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=4, le=1024)], ...],
    msgspec.Meta(min_length=1, max_length=8),
]
"""The side of a cell in pixels, for each grid."""


class CommonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[options]`` of a `model.toml`; each decoder adds its keys."""

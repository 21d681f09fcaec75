"""Distances from the cells of grids to a box's sides, each as a distribution over bins: NanoDet-Plus."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from camiohookd.labelers.decoders.candidates import (
    Candidates,
    CommonOptions,
    Floats,
    Strides,
    grid,
    most_probable,
    softmax,
)


class Nanodet:
    """NanoDet-Plus (https://github.com/RangiLyu/nanodet, `nanodet/model/head/nanodet_plus_head.py`): a row for each
    cell of the grids, the labels' probabilities, then 4 * (`reg_max` + 1) logits.

    A side's distance from the cell's corner is the mean of the bins 0..`reg_max` under the softmax of its logits, times
    the stride (Generalized Focal Loss, arXiv:2006.04388, section 3.2). The sides come as left, top, right, bottom.
    """

    name = "nanodet"
    separate = False

    class Options(CommonOptions, frozen=True):
        """`strides`: the side of a cell in pixels, for each grid; `reg_max`: the last bin; `offset`: the point in the
        cell that distances start from, 0 for the corner (NanoDet-Plus), 0.5 for the centre (NanoDet)."""

        strides: Strides = (8, 16, 32, 64)
        reg_max: Annotated[int, Meta(ge=1, le=64)] = 7
        offset: float = 0.0

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        cells, self._strides = grid(size, options.strides)
        self._points = (cells + np.float32(options.offset)) * self._strides
        self._bins = np.arange(options.reg_max + 1, dtype=np.float32)
        self._named = np.array([bool(label) for label in labels])
        columns = len(labels) + 4 * len(self._bins)
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (None, len(cells), columns)}

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (rows,) = outputs
        count = len(self._named)
        found, labels, probabilities = most_probable(rows[:, :count], self._named, min_probability)
        logits = rows[found, count:].reshape(len(found), 4, len(self._bins))
        distances = softmax(logits) @ self._bins * self._strides[found]
        points = self._points[found]
        boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
        return Candidates(boxes, probabilities, labels)

"""Distances from the cells of grids to a box's sides, each as a distribution over bins: NanoDet and PicoDet."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from camiohookd.labelers.decoders.candidates import (
    Candidates,
    CommonOptions,
    Floats,
    Strides,
    grid,
    most_probable,
    sigmoid,
    softmax,
)


class Nanodet:
    """NanoDet-Plus (https://github.com/RangiLyu/nanodet, `nanodet/model/head/nanodet_plus_head.py`): a row for each
    cell of the grids, the labels' probabilities, then 4 * (`reg_max` + 1) logits.

    A side's distance from the cell's corner is the mean of the bins 0..`reg_max` under the softmax of its logits, times
    the stride (Generalized Focal Loss, arXiv:2006.04388, section 3.2). The sides come as left, top, right, bottom.

    NanoDet and PicoDet (https://github.com/PaddlePaddle/PaddleDetection, `ppdet/modeling/heads/pico_head.py`) have two
    outputs for each grid instead, `labels 8` and `sides 8` for the cells of 8 pixels.
    """

    name = "nanodet"
    separate = False
    batched = True

    class Options(CommonOptions, frozen=True):
        """`strides`: the side of a cell in pixels, for each grid; `reg_max`: the last bin; `offset`: the point in the
        cell that distances start from, 0 for the corner (NanoDet-Plus), 0.5 for the center (NanoDet, PicoDet);
        `joined`: whether there is one output; `activation`: the function from the labels' values to probabilities."""

        strides: Strides = (8, 16, 32, 64)
        reg_max: Annotated[int, Meta(ge=1, le=64)] = 7
        offset: float = 0.0
        joined: bool = True
        activation: Literal["none", "sigmoid"] = "none"

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:
        cells, self._strides = grid(size, options.strides)
        self._points = (cells + np.float32(options.offset)) * self._strides
        self._bins = np.arange(options.reg_max + 1, dtype=np.float32)
        self._named = np.array([bool(label) for label in labels])
        self._sigmoid = options.activation == "sigmoid"
        sides = 4 * len(self._bins)
        self.outputs: dict[str, tuple[int | None, ...]] = {"output": (None, len(cells), len(labels) + sides)}
        if not options.joined:
            counts = {stride: int((self._strides == stride).sum()) for stride in options.strides}
            self.outputs = {f"labels {stride}": (None, count, len(labels)) for stride, count in counts.items()}
            self.outputs |= {f"sides {stride}": (None, count, sides) for stride, count in counts.items()}

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        half = len(outputs) // 2
        rows = outputs[0] if not half else np.hstack([np.vstack(outputs[:half]), np.vstack(outputs[half:])])
        count = len(self._named)
        if self._sigmoid:
            rows = np.hstack([sigmoid(rows[:, :count]), rows[:, count:]])
        found, labels, probabilities = most_probable(rows[:, :count], self._named, min_probability)
        logits = rows[found, count:].reshape(len(found), 4, len(self._bins))
        distances = softmax(logits) @ self._bins * self._strides[found]
        points = self._points[found]
        boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
        return Candidates(boxes, probabilities, labels)

"""Finished boxes in rows, and how many rows each picture has: PaddleDetection."""

from collections.abc import Sequence

import numpy as np

from camiohookd.labelers.decoders.candidates import MAX_CANDIDATES, Candidates, CommonOptions, Floats
from camiohookd.labelers.decoders.named import rows_with_names


class Paddle:
    """Reads `rows` [n, 6] of PaddleDetection's exports with suppression, of PP-YOLOE for example
    (https://github.com/PaddlePaddle/PaddleDetection, `deploy/README_en.md`): label, probability, left, top, right,
    bottom.

    The sides are in pixels of the picture that `scale_factor` and `im_shape` describe: give it the input's size and the
    factor 1. The rows of all pictures are in one list, so the model gets one picture at a time.
    """

    name = "paddle"
    separate = True
    batched = False

    class Options(CommonOptions, frozen=True):
        """None."""

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:  # noqa: ARG002  # as all
        self.outputs: dict[str, tuple[int | None, ...]] = {"rows": (None, 6)}
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (rows,) = outputs
        rows = rows[rows_with_names(rows[:, 0], rows[:, 1], self._named, min_probability)[:MAX_CANDIDATES]]
        return Candidates(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.intp))

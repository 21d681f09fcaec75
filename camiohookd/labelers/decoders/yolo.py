"""Boxes in pixels with a score for each label, in columns, or after suppression: YOLOv8 and later."""

from collections.abc import Sequence

import numpy as np

from camiohookd.labelers.decoders.candidates import (
    MAX_CANDIDATES,
    Candidates,
    CommonOptions,
    Floats,
    from_centres,
    most_probable,
)


class Yolo:
    """Reads Ultralytics' exports (https://docs.ultralytics.com/modes/export/; `ultralytics/utils/ops.py` and `nms.py`).

    A plain model has [4 + labels, boxes]: a column for each box, the centre's x and y, width and height in pixels of
    the input, then the labels' probabilities. An end-to-end model has [boxes, 6]: left, top, right, bottom in
    pixels, probability, label; nothing is suppressed.
    """

    name = "yolo"

    class Options(CommonOptions, frozen=True):
        """`end_to_end`: whether the model suppresses overlapping boxes itself."""

        end_to_end: bool = False

    def __init__(self, size: tuple[int, int], labels: Sequence[str], options: Options) -> None:  # noqa: ARG002  # as all
        self.separate = options.end_to_end
        self.outputs: dict[str, tuple[int | None, ...]] = {
            "output": (None, None, 6) if options.end_to_end else (None, 4 + len(labels), None)
        }
        self._named = np.array([bool(label) for label in labels])

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        (output,) = outputs
        return self._whole(output, min_probability) if self.separate else self._raw(output, min_probability)

    def _raw(self, columns: Floats, min_probability: float) -> Candidates:
        found, labels, probabilities = most_probable(columns[4:].T, self._named, min_probability)
        rows = columns[:4, found].T
        return Candidates(from_centres(rows[:, :2], rows[:, 2:]), probabilities, labels)

    def _whole(self, rows: Floats, min_probability: float) -> Candidates:
        # Labels beyond the known ones have no name here.
        rows = rows[(rows[:, 4] >= min_probability) & (rows[:, 5] >= 0) & (rows[:, 5] < len(self._named))]
        rows = rows[self._named[rows[:, 5].astype(np.intp)]]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")[:MAX_CANDIDATES]]
        return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.intp))

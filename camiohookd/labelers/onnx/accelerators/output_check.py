"""Outputs that no working device would give."""

from collections.abc import Mapping, Sequence

import numpy as np

from camiohookd.errors import LabelingError
from camiohookd.labelers.onnx.runner import Node, Runner, Tensor


def garbage(names: Sequence[str], nodes: Sequence[Node], outputs: Sequence[Tensor], batch: int) -> str | None:
    """What is wrong with the named outputs of a run of `batch` pictures, of a graph whose outputs are `nodes`; None
    if they may be what the model says."""
    if len(outputs) != len(names):
        return f"{len(outputs)} outputs instead of {len(names)}"
    shapes = {node.name: node.shape for node in nodes}
    for name, output in zip(names, outputs, strict=True):
        expected = shapes.get(name, ())
        if not _fits(output.shape, expected, batch):
            return f"output {name!r} of the shape {list(output.shape)}, expected {list(expected)}"
        if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
            return f"output {name!r} holds what is no number"
    return None


def _fits(shape: Sequence[int], expected: Sequence[int | str | None], batch: int) -> bool:
    if len(shape) != len(expected):
        return False
    wanted = [batch if nth == 0 and not isinstance(each, int) else each for nth, each in enumerate(expected)]
    return all(length == each for length, each in zip(shape, wanted, strict=True) if isinstance(each, int))


class StrictRunner:
    """A `Runner` whose garbage is an error."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.device, self.inputs, self.outputs = runner.device, runner.inputs, runner.outputs

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        found = self._runner.run(outputs, feeds)
        if trouble := garbage(outputs, self.outputs, found, batch_of(feeds)):
            raise LabelingError(trouble)
        return found

    def close(self) -> None:
        self._runner.close()


def batch_of(feeds: Mapping[str, Tensor]) -> int:
    """How many pictures go into a run."""
    return max((len(tensor) for tensor in feeds.values()), default=1)

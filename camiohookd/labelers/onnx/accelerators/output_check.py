"""Detect outputs that a working device cannot return."""

from collections.abc import Mapping, Sequence

import numpy as np

from camiohookd.errors import LabelingError
from camiohookd.labelers.onnx.runner import Node, Runner, Tensor
from camiohookd.units import plural


def garbage(names: Sequence[str], nodes: Sequence[Node], outputs: Sequence[Tensor], batch: int) -> str | None:
    """Return what is wrong with the named outputs of a run of `batch` pictures; None if they are plausible.

    `nodes` are the outputs of the graph.
    """
    if len(outputs) != len(names):
        return f"{plural(len(outputs), 'output')} instead of {len(names)}"
    shapes = {node.name: node.shape for node in nodes}
    for name, output in zip(names, outputs, strict=True):
        expected = shapes.get(name, ())
        if not _fits(output.shape, expected, batch):
            return f"output {name!r} of the shape {list(output.shape)}, expected {list(expected)}"
        if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
            return f"output {name!r} contains NaN or infinite values"
    return None


def _fits(shape: Sequence[int], expected: Sequence[int | str | None], batch: int) -> bool:
    if len(shape) != len(expected):
        return False
    wanted = [batch if nth == 0 and not isinstance(each, int) else each for nth, each in enumerate(expected)]
    return all(length == each for length, each in zip(shape, wanted, strict=True) if isinstance(each, int))


class StrictRunner:
    """A `Runner` that raises LabelingError for implausible outputs."""

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
    """Return the number of pictures in a run."""
    return max((len(tensor) for tensor in feeds.values()), default=1)

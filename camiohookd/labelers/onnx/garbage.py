"""Outputs that no working device would give."""

from collections.abc import Sequence

import numpy as np

from camiohookd.labelers.onnx.runner import Node, Tensor


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

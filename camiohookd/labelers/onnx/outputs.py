"""A graph's outputs with the values of a trial run: what the readers of `graph_guess` look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from camiohookd.labelers.onnx.metadata import Metadata
from camiohookd.labelers.onnx.runner import Node, Tensor

_ROUNDING = 0.002  # of float16, above 1; no rounding makes a probability negative


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a graph with an input of `size` (width, height) pixels, in the `layout` of [input].

    `values` are those of a trial run by the outputs' names, with their batch axis. `inputs` are the names of the
    graph's inputs. A node's shape is the run's where there is one.
    """

    nodes: Sequence[Node]
    size: tuple[int, int]
    values: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)
    inputs: Sequence[str] = ()
    layout: str = "NCHW"

    def of_rank(self, rank: int) -> list[Node]:
        return [node for node in self.nodes if len(node.shape) == rank]

    def value(self, node: Node) -> Tensor | None:
        """Return the output's value as float64, None if there was no trial run."""
        value = self.values.get(node.name)
        return None if value is None else np.asarray(value, np.float64)

    def cells(self, *strides: int) -> int:
        """Return how many cells the grids with cells of these sides in pixels have."""
        width, height = self.size
        return sum(-(-width // stride) * -(-height // stride) for stride in strides)


def fractions(values: Tensor | None) -> bool:
    """Return whether all values can be probabilities; True if there are none to look at."""
    return values is None or bool(((values >= 0) & (values <= 1 + _ROUNDING)).all())


def integers(values: Tensor) -> bool:
    return bool((values == np.round(values)).all())


def shown(nodes: Sequence[Node]) -> str:
    return ", ".join(f"{node.name} {node.type} {list(node.shape)}" for node in nodes)


def length(node: Node, axis: int = -1) -> int:
    """Return the length of an axis, 0 if the graph leaves it open."""
    found = node.shape[axis]
    return found if isinstance(found, int) else 0

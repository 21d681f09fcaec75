"""What runs a model: tensors in, tensors out. The seam between the labeler and the devices."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

Tensor = NDArray[Any]


class Node(NamedTuple):
    """An input or output of a graph: `type` as ONNX Runtime writes it, e.g. ``tensor(float)``; in `shape` a length
    that the graph leaves open is its name there, or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Runner(Protocol):
    """A model that is ready on some device. Several threads may call `run` at once."""

    @property
    def device(self) -> str:
        """What it runs on at present: ``cpu``, or an execution provider's name."""
        ...

    @property
    def inputs(self) -> Sequence[Node]: ...

    @property
    def outputs(self) -> Sequence[Node]: ...

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """The named outputs for the inputs in `feeds`. Raises LabelingError."""
        ...

    def close(self) -> None:
        """Let go of the device and of what was started for it."""
        ...

"""The interface between the labeler and the devices: a `Runner` takes tensors and returns tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

Tensor = NDArray[Any]


class Node(NamedTuple):
    """An input or output of a graph.

    `type` is ONNX Runtime's, e.g. ``tensor(float)``. In `shape`, a length that the graph leaves open is a name or None.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Runner(Protocol):
    """A model that is ready on some device. Several threads may call `run` at once."""

    @property
    def device(self) -> str:
        """The device it runs on at present: ``cpu``, or an execution provider's name."""
        ...

    @property
    def inputs(self) -> Sequence[Node]: ...

    @property
    def outputs(self) -> Sequence[Node]: ...

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the named outputs for the inputs in `feeds`. Raises LabelingError."""
        ...

    def close(self) -> None:
        """Release the device and what was started for it."""
        ...

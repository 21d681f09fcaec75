"""A `Runner` on inference servers: the decoders and the rules above it are those of a model on this machine."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from camiohookd.errors import LabelerDown
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, Labeler, LabelRequest
from camiohookd.labelers.onnx.accelerators.output_check import garbage
from camiohookd.labelers.onnx.runner import Node, Tensor
from camiohookd.labelers.remote.balancing import Balancer
from camiohookd.labelers.remote.endpoint import Caller
from camiohookd.labelers.remote.server import Server
from camiohookd.labelers.remote.unusable import Unusable


class RemoteRunner:
    """Runs the model on a server of `balancer`. Several threads may call `run` at once.

    An input of Python's bytes are pictures' files. `outputs` are the nodes that the decoder reads; every answer is
    checked against them.
    """

    def __init__(self, balancer: Balancer, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.device = f"remote ({balancer.names()})"
        self.inputs, self.outputs = inputs, outputs
        self._balancer = balancer

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Raises LabelerDown where no server gives a plausible answer."""
        [value] = feeds.values()
        return self._balancer.ask(lambda server: self._infer(server, outputs, value))

    def close(self) -> None:
        """Do nothing: the connections belong to the labeler."""

    def _infer(self, server: Server, outputs: Sequence[str], value: Tensor) -> Sequence[Tensor]:
        found = server.infer(value)
        tensors = [np.asarray(found[name], np.float32) for name in outputs]
        if trouble := garbage(outputs, self.outputs, tensors, len(value)):
            raise Unusable(f"sent {trouble}")
        return tensors


class RemoteLabeler:
    """A labeler that asks inference servers; it adds to another labeler who answered, and at most `most` at a time.

    `close` keeps requests from waiting for their turn.
    """

    def __init__(self, labeler: Labeler, balancer: Balancer, client: Caller, most: int) -> None:
        self._client = client
        self._labeler = labeler
        self._balancer = balancer
        self._turns = threading.Semaphore(most)
        self.calls_at_once = most
        self._closed = False
        self.device = f"remote ({balancer.names()})"
        self.at_once = labeler.at_once
        self.input_size = labeler.input_size
        self.default_probability = labeler.default_probability

    @property
    def last(self) -> str:
        """The server that answered the calling thread last."""
        return self._balancer.last

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self._labeler.decode_size(request)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        """Raises LabelerDown, LabelingError."""
        with self._turns:
            if self._closed:
                raise LabelerDown("the labeler is closed")
            found = self._labeler.label(frames, request)
        return found._replace(device=self._balancer.last, remote=True)

    def close(self) -> None:
        self._closed = True
        self._balancer.close()
        self._labeler.close()
        self._client.close()

"""ONNX Runtime's sessions: a model's bytes → a `Runner` on one device.

The package's `__init__` has switched the runtime's telemetry off by the time it is imported here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.onnx.runner import Node, Tensor

_ONLY_ERRORS = 3


class Session:
    """One ONNX Runtime session, which several threads may use at once.

    It uses one thread a call: on two cores, two callers label half as many pictures again as one caller whose session
    has two threads.
    """

    device = "cpu"  # the one provider that `open_session` asks for

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs = _nodes(session.get_inputs())
        self.outputs = _nodes(session.get_outputs())

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        try:
            tensors: Sequence[Tensor] = self._session.run(list(outputs), dict(feeds))
        except Exception as error:  # ONNX Runtime's exceptions have no base but this
            raise LabelingError(f"ONNX Runtime: {' '.join(str(error).split())}") from error
        return tensors

    def close(self) -> None:
        pass


def open_session(model: bytes, name: str) -> Session:
    """A session on the CPU; `name` is the model's in errors. Raises ModelError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ONLY_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return Session(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime's exceptions have no base but this
        raise ModelError(f"{name}: ONNX Runtime cannot load the model: {' '.join(str(error).split())}") from error


def _nodes(nodes: Sequence[Any]) -> tuple[Node, ...]:
    return tuple(Node(node.name, node.type, tuple(node.shape)) for node in nodes)

"""A labeler that runs an ONNX model: decoded picture → input tensor → ONNX Runtime → decoder → detections.

The only module that imports onnxruntime; the package's `__init__` has switched its telemetry off by then.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints
from PIL import Image

from camiohookd.detections import Box, Detection
from camiohookd.errors import LabelingError, ModelError
from camiohookd.images import Decoded
from camiohookd.labelers.decoders import DECODERS, Decoder, Floats, suppress
from camiohookd.labelers.inputs import in_picture, tensor
from camiohookd.labelers.model import Input, ModelDescription, load_description, read_model

_ONLY_ERRORS = 3


def open_onnx(folder: Path) -> "OnnxLabeler":
    """Load the model in `folder`, check it against its description, and warm it up; takes 0.1 s and more.

    Raises `ModelError`.
    """
    description = load_description(folder)
    session = _session(folder, read_model(folder, description))
    size = (description.input.width, description.input.height)
    decoder = DECODERS[description.decoder](size, description.labels)
    _check(folder, session, description.input, decoder)
    labeler = OnnxLabeler(session, description, decoder)
    try:
        labeler.detect(Decoded(Image.new("RGB", size), *size))
    except LabelingError as error:
        raise ModelError(f"{folder / description.file}: the model failed its warm-up: {error}") from error
    return labeler


class OnnxLabeler:
    """One ONNX Runtime session, shared by the threads of the label pool: `detect` may be called by several at once.

    A session uses one thread a call: on two cores, two callers label half as many pictures again as one caller whose
    session has two threads.
    """

    device = "cpu"  # the one provider that `_session` asks for

    def __init__(self, session: ort.InferenceSession, description: ModelDescription, decoder: Decoder) -> None:
        self._session = session
        self._description = description
        self._decoder = decoder
        self._outputs = list(decoder.outputs)

    @property
    def input_size(self) -> tuple[int, int]:
        return self._description.input.width, self._description.input.height

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        thresholds = self._description.thresholds
        if min_probability is None:
            min_probability = thresholds.score
        outputs = self._run(tensor(picture.image, self._description.input))
        candidates = in_picture(self._decoder(outputs, min_probability), picture, self._description.input)
        columns = (column.tolist() for column in suppress(candidates, thresholds.iou))
        return [
            Detection(self._description.labels[label], min(probability, 1.0), Box(*box))
            for box, probability, label in zip(*columns, strict=True)
        ]

    def _run(self, tensor: Floats) -> Sequence[Floats]:
        try:
            outputs: Sequence[Floats] = self._session.run(self._outputs, {self._description.input.name: tensor})
        except Exception as error:  # ONNX Runtime's exceptions have no base but this
            raise LabelingError(f"ONNX Runtime: {error}") from error
        for (name, wanted), output in zip(self._decoder.outputs.items(), outputs, strict=True):
            if not _fits(output.shape, wanted):
                raise LabelingError(f"output {name!r} has the shape {list(output.shape)}, expected {_shown(wanted)}")
        return outputs


def _session(folder: Path, model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ONLY_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base but this
        raise ModelError(f"{folder}: ONNX Runtime cannot load the model: {error}") from error


def _check(folder: Path, session: ort.InferenceSession, wanted: Input, decoder: Decoder) -> None:
    """That the graph has the input and the outputs that `model.toml` promises."""
    shape = (1, 3, wanted.height, wanted.width)
    _check_nodes(folder, "input", session.get_inputs(), {wanted.name: shape})
    _check_nodes(folder, "output", session.get_outputs(), decoder.outputs)


def _check_nodes(folder: Path, kind: str, nodes: Sequence[Any], wanted: dict[str, tuple[int | None, ...]]) -> None:
    found = {node.name: node for node in nodes}
    if found.keys() != wanted.keys():
        raise ModelError(
            f"{folder}: the model's {kind}s are {', '.join(found)}; model.toml expects {', '.join(wanted)}"
        )
    for name, shape in wanted.items():
        node = found[name]
        if node.type != "tensor(float)" or not _fits(node.shape, shape):
            raise ModelError(
                f"{folder}: the model's {kind} {name!r} is {node.type} {node.shape}; "
                f"model.toml expects tensor(float) {_shown(shape)}"
            )


def _fits(shape: Sequence[int | str | None], wanted: Sequence[int | None]) -> bool:
    """A length that either side leaves open fits anything; the outputs of a run have the real ones."""
    return len(shape) == len(wanted) and all(
        not isinstance(length, int) or expected in (length, None)
        for length, expected in zip(shape, wanted, strict=True)
    )


def _shown(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if length is None else str(length) for length in shape)}]"

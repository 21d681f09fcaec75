"""A labeler that runs an ONNX model: frames → input tensor → `Runner` → decoder → detections."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from camiohookd.detections import Box, Detection
from camiohookd.errors import LabelingError, ModelError
from camiohookd.images import Decoded
from camiohookd.labelers import Findings, Frame
from camiohookd.labelers.decoders import DECODERS, Decoder, Floats, suppress
from camiohookd.labelers.inputs import in_picture, tensor
from camiohookd.labelers.model import Input, ModelDescription, load_description, read_model
from camiohookd.labelers.onnx.runner import Node, Runner
from camiohookd.labelers.onnx.session import open_session


def open_onnx(folder: Path) -> "OnnxLabeler":
    """Load the model in `folder`, check it against its description, and warm it up; takes 0.1 s and more.

    Raises `ModelError`.
    """
    description = load_description(folder)
    runner = open_session(read_model(folder, description), str(folder))
    size = (description.input.width, description.input.height)
    decoder = DECODERS[description.decoder](size, description.labels)
    _check(folder, runner, description.input, decoder)
    labeler = OnnxLabeler(runner, description, decoder)
    try:
        labeler.detect(Decoded(Image.new("RGB", size), *size))
    except LabelingError as error:
        raise ModelError(f"{folder / description.file}: the model failed its warm-up: {error}") from error
    return labeler


class OnnxLabeler:
    """`label` and `detect` may be called by several threads at once; they share one `Runner`."""

    at_once = 1

    def __init__(self, runner: Runner, description: ModelDescription, decoder: Decoder) -> None:
        self._runner = runner
        self._description = description
        self._decoder = decoder
        self._outputs = list(decoder.outputs)

    @property
    def device(self) -> str:
        return self._runner.device

    @property
    def input_size(self) -> tuple[int, int]:
        return self._description.input.width, self._description.input.height

    def label(self, frames: Sequence[Frame], min_probability: float | None = None) -> Findings:
        return Findings([self.detect(frame.decoded, min_probability) for frame in frames])

    def close(self) -> None:
        self._runner.close()

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
        outputs = self._runner.run(self._outputs, {self._description.input.name: tensor})
        for (name, wanted), output in zip(self._decoder.outputs.items(), outputs, strict=True):
            if not _fits(output.shape, wanted):
                raise LabelingError(f"output {name!r} has the shape {list(output.shape)}, expected {_shown(wanted)}")
        return outputs


def _check(folder: Path, runner: Runner, wanted: Input, decoder: Decoder) -> None:
    """That the graph has the input and the outputs that `model.toml` promises."""
    shape = (1, 3, wanted.height, wanted.width)
    _check_nodes(folder, "input", runner.inputs, {wanted.name: shape})
    _check_nodes(folder, "output", runner.outputs, decoder.outputs)


def _check_nodes(folder: Path, kind: str, nodes: Sequence[Node], wanted: dict[str, tuple[int | None, ...]]) -> None:
    found = {node.name: node for node in nodes}
    if found.keys() != wanted.keys():
        raise ModelError(
            f"{folder}: the model's {kind}s are {', '.join(found)}; model.toml expects {', '.join(wanted)}"
        )
    for name, shape in wanted.items():
        node = found[name]
        if node.type != "tensor(float)" or not _fits(node.shape, shape):
            raise ModelError(
                f"{folder}: the model's {kind} {name!r} is {node.type} {list(node.shape)}; "
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

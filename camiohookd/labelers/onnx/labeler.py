"""A labeler that runs an ONNX model: frames → input tensor → `Runner` → decoder → detections."""

from collections.abc import Callable, Collection, Sequence
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.decoders import Decoder, Floats, decoder, suppress
from camiohookd.labelers.model import Input, ModelDescription, load_description, read_model
from camiohookd.labelers.onnx.runner import Node, Runner, Tensor
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tensors import INTEGER_TYPES, NUMPY_TYPES, PICTURE_TYPES, in_picture, takes_bytes, tensor
from camiohookd.labelers.onnx.tuned_graph import as_it_runs
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection

MAX_BATCH = 16
"""Most pictures in one run of a graph that takes any number; more take memory and save no time."""

DECODED_PART = 0.8
"""The least columns and rows of a decoded picture, as a part of the input's: JPEGs are decoded at 1/2, 1/4 or 1/8.

To enlarge a picture by that little costs no accuracy, see docs/internals/tricks.md.
"""

_OUTPUT_TYPES = ("tensor(float)", "tensor(float16)")

OpenRunner = Callable[[bytes, str], Runner]
"""The model's bytes and its name in errors → the model, ready to run. Raises ModelError."""


def open_onnx(folder: Path, open_runner: OpenRunner = open_session) -> "OnnxLabeler":
    """Load the model in `folder`, check it against its description, and warm it up; takes 0.1 s and more.

    Raises `ModelError`.
    """
    description = load_description(folder)
    decode = open_decoder(folder, description)
    runner = open_runner(read_model(folder, description), str(folder))
    try:
        labeler = OnnxLabeler(folder, runner, description, decode)
        labeler.warm_up()
    except LabelingError as error:
        runner.close()
        raise ModelError(f"{folder / description.file}: the model failed its warm-up: {error}") from error
    except ModelError:
        runner.close()
        raise
    return labeler


def open_decoder(folder: Path, description: ModelDescription) -> Decoder:
    """Return the decoder that the `description` of the model in `folder` names. Raises ModelError."""
    size = (description.input.width, description.input.height)
    try:
        return decoder(description.decoder, size, description.labels, description.options)
    except ModelError as error:
        raise ModelError(f"{folder / 'model.toml'}: {error}") from None


class OnnxLabeler:
    """Finds objects with an ONNX model; several threads may call `label` and `detect` at once.

    `at_once` is how many pictures the graph takes in one run. Raises ModelError if the graph does not have the input
    and the outputs that the description in `folder` names.
    """

    def __init__(self, folder: Path, runner: Runner, description: ModelDescription, decode: Decoder) -> None:
        description = as_it_runs(description, runner.inputs)
        self._runner = runner
        self._description = description
        self._decode = decode
        self._outputs = _named(folder, decode.outputs, description.outputs, runner.outputs)
        wanted = {description.input.name: input_shape(description.input)}
        wanted |= {name: (None, len(values)) for name, values in description.constants.items()}
        _check(folder, "input", runner.inputs, wanted, (*NUMPY_TYPES,))
        integers = {name for role, name in zip(decode.outputs, self._outputs, strict=True) if role == "labels"}
        _check(folder, "output", runner.outputs, self._outputs, _OUTPUT_TYPES, integers)
        self._input = next(node for node in runner.inputs if node.name == description.input.name)
        self._constants = {
            node.name: np.array([description.constants[node.name]], NUMPY_TYPES[node.type])
            for node in runner.inputs
            if node.name in description.constants
        }
        if self._input.type not in PICTURE_TYPES:
            raise ModelError(
                f"{folder}: the model's picture input has the type {self._input.type}, "
                f"expected {' or '.join(PICTURE_TYPES)}"
            )
        self._kind = PICTURE_TYPES[self._input.type]
        if self._kind is np.uint8 and not takes_bytes(description.input):
            raise ModelError(
                f"{folder}: the model's input takes bytes ({self._input.type}): range must be 0..255, "
                "without mean and std"
            )
        is_single = not decode.batched or description.input.layout == "CHW"
        batch = 1 if is_single else self._input.shape[0]
        self._batch = batch if isinstance(batch, int) else None  # None: as many as there are
        self.at_once = self._batch or MAX_BATCH

    @property
    def device(self) -> str:
        return self._runner.device

    @property
    def input_size(self) -> tuple[int, int]:
        return self._description.input.width, self._description.input.height

    @property
    def default_probability(self) -> float:
        return self._description.thresholds.score

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:  # noqa: ARG002  # it looks at pictures as a whole
        return ceil(DECODED_PART * self.input_size[0]), ceil(DECODED_PART * self.input_size[1])

    def warm_up(self) -> None:
        """Run the model on one and, if it takes any number, on two empty pictures. Raises LabelingError."""
        picture = Decoded(Image.new("RGB", self.input_size), *self.input_size)
        self.detect(picture)
        if self._batch is None:
            try:
                self._detect([picture, picture], self.default_probability)
            except LabelingError:
                # Some graphs leave the batch open but contain shapes for one picture.
                self.at_once = 1

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        least = self.default_probability if request.min_probability is None else request.min_probability
        pictures = [frame.decoded for frame in frames]
        found: list[list[Detection]] = []
        for first in range(0, len(pictures), self.at_once):
            found += self._detect(pictures[first : first + self.at_once], least)
        return Findings(found)

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        """Return the objects in one picture, most probable first. Raises LabelingError."""
        return self._detect([picture], self.default_probability if min_probability is None else min_probability)[0]

    def close(self) -> None:
        self._runner.close()

    def _detect(self, pictures: Sequence[Decoded], min_probability: float) -> list[list[Detection]]:
        """Find objects in at most `at_once` pictures."""
        batch = self._feed(pictures)
        if self._batch is not None and len(pictures) < self._batch:
            batch = np.concatenate([batch, np.zeros((self._batch - len(pictures), *batch.shape[1:]), batch.dtype)])
        outputs = self._run(batch)
        return [
            self._detections([output[nth] for output in outputs], picture, min_probability)
            for nth, picture in enumerate(pictures)
        ]

    def _feed(self, pictures: Sequence[Decoded]) -> Tensor:
        """Return what the model gets: one row of the first axis for each picture."""
        return tensor([picture.image for picture in pictures], self._description.input, self._kind)

    def _run(self, batch: Tensor) -> Sequence[Floats]:
        constants = {name: np.repeat(values, len(batch), axis=0) for name, values in self._constants.items()}
        pictures = batch[0] if self._description.input.layout == "CHW" else batch
        outputs = self._runner.run(list(self._outputs), {self._input.name: pictures} | constants)
        for (name, shape), output in zip(self._outputs.items(), outputs, strict=True):
            wanted = (len(batch), *shape[1:]) if self._decode.batched else shape
            if not _fits(output.shape, wanted):
                raise LabelingError(f"output {name!r} has the shape {list(output.shape)}, expected {_shown(wanted)}")
        values = [np.asarray(output, np.float32) for output in outputs]
        return values if self._decode.batched else [each[None] for each in values]

    def _detections(self, outputs: Sequence[Floats], picture: Decoded, min_probability: float) -> list[Detection]:
        thresholds, labels = self._description.thresholds, self._description.labels
        candidates = self._decode(outputs, min_probability).finite()
        boxed = candidates.boxes.shape[1] > 0
        if boxed:
            candidates = in_picture(candidates, picture, self._description.input)
        if not self._decode.separate:
            candidates = suppress(candidates, thresholds.iou)
        boxes, probabilities, found = (column.tolist() for column in candidates.take(slice(thresholds.max_boxes)))
        return [
            Detection(labels[label], min(probability, 1.0), Box(*box) if boxed else None)
            for box, probability, label in zip(boxes, probabilities, found, strict=True)
        ]


TensorShape = tuple[int | None, ...]
"""None is any length."""


def input_shape(wanted: Input) -> TensorShape:
    """Return the shape of the model's picture input."""
    shapes: dict[str, TensorShape] = {
        "NCHW": (None, 3, wanted.height, wanted.width),
        "NHWC": (None, wanted.height, wanted.width, 3),
        "CHW": (3, wanted.height, wanted.width),
    }
    return shapes[wanted.layout]


def _named(
    folder: Path, roles: dict[str, TensorShape], names: dict[str, str], nodes: Sequence[Node]
) -> dict[str, TensorShape]:
    """Return the shapes by the outputs' names in the graph: the given name, the role, or the only output's name."""
    if unknown := names.keys() - roles:
        raise ModelError(
            f"{folder / 'model.toml'}: [outputs] names {', '.join(sorted(unknown))}; "
            f"the decoder reads {', '.join(roles)}"
        )
    if len(roles) == len(nodes) == 1 and not names:
        return dict(zip([nodes[0].name], roles.values(), strict=True))
    return {names.get(role, role): shape for role, shape in roles.items()}


def _check(
    folder: Path,
    kind: str,
    nodes: Sequence[Node],
    wanted: dict[str, TensorShape],
    types: Sequence[str],
    integers: Collection[str] = (),
) -> None:
    """Raise ModelError unless the nodes have the names, shapes and types; those in `integers` may be integers."""
    found = {node.name: node for node in nodes}
    if not wanted.keys() <= found.keys() or (kind == "input" and wanted.keys() != found.keys()):
        raise ModelError(
            f"{folder}: the model's {kind}s are {', '.join(found)}; model.toml expects {', '.join(wanted)}"
        )
    for name, shape in wanted.items():
        node = found[name]
        its_types = (*types, *INTEGER_TYPES) if name in integers else types
        if node.type not in its_types or not _fits(node.shape, shape):
            raise ModelError(
                f"{folder}: the model's {kind} {name!r} is {node.type} {list(node.shape)}; "
                f"model.toml expects {' or '.join(its_types)} {_shown(shape)}"
            )


def _fits(shape: Sequence[int | str | None], wanted: TensorShape) -> bool:
    """Return whether shapes agree; a length that is open on either side fits any length."""
    return len(shape) == len(wanted) and all(
        not isinstance(length, int) or expected in (length, None)
        for length, expected in zip(shape, wanted, strict=True)
    )


def _shown(shape: TensorShape) -> str:
    return f"[{', '.join('any' if length is None else str(length) for length in shape)}]"

"""What a model's backbone computes of a picture, as a few hundred numbers: its features.

model ─▶ `backbone_tensors` ─▶ `with_outputs` ─▶ a session that ends there ─▶ averaged over the picture ─▶ length 1

It is the model that labels, cut off behind its backbone: no second one has to be installed. It has a session of its
own, made when something is taught. One session for labels and features would need 38 instead of 53 MB where something
is taught, and takes as long (ratio 1.00), but 6 MB more (32 instead of 26 MB) on every other box. And its features
would depend on what labels: another device, or the graph that was changed for the CPU (`tuned_graph`). What is taught
has to mean the same after such a change.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.model import Input, ModelDescription, load_description, read_model
from camiohookd.labelers.onnx.graph_outputs import GraphNode, graph_nodes, with_outputs
from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.onnx.session import OnnxSession, open_session
from camiohookd.labelers.onnx.tensors import NUMPY_TYPES, tensor

Floats = NDArray[np.float32]

STRIDES = (32, 16)
"""The side of one cell of each chosen tensor, in pixels of the input. Detectors have tensors of both strides."""

_ACTIVATIONS = {"Conv", "Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Mul", "Add", "Sum", "Concat"}


class FeatureModel:
    """A model's backbone on the CPU; several threads may call `features` at once.

    `tensors` are the names of the tensors in the graph whose averages are the features.
    """

    def __init__(self, session: OnnxSession, description: ModelDescription, tensors: Sequence[str]) -> None:
        self.tensors = tuple(tensors)
        self._session = session
        self._description = description

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height in pixels that a picture is scaled to."""
        return self._description.input.width, self._description.input.height

    def features(self, image: Image.Image) -> Floats:
        """Return the features of an RGB picture: for each tensor its average, of length 1; all together of length 1.

        Raises LabelingError.
        """
        maps = self._session.run(self.tensors, _feeds(self._session, self._description, image))
        parts = [_length_one(np.asarray(np.mean(each[0], axis=(1, 2)), np.float32)) for each in maps]
        found = np.concatenate(parts) / np.float32(len(parts) ** 0.5)
        if not np.isfinite(found).all():
            raise LabelingError("the model's features of a picture are not numbers")
        return np.asarray(found, np.float32)


def open_features(folder: Path, tensors: Sequence[str] = ()) -> FeatureModel:
    """Open the backbone of the model in `folder`, ready to use.

    `tensors` are those that were used earlier; none: those that its description names, else those that are found.
    Raises ModelError if there are none.
    """
    description = load_description(folder)
    model = read_model(folder, description)
    chosen = tuple(tensors) or description.features or backbone_tensors(model, description, str(folder))
    return _open(model, description, chosen, str(folder))


def _open(model: bytes, description: ModelDescription, tensors: Sequence[str], name: str) -> FeatureModel:
    session = open_session(with_outputs(model, tensors), name)
    opened = FeatureModel(session, description, tensors)
    try:
        opened.features(Image.new("RGB", opened.input_size))
    except (LabelingError, ValueError, IndexError) as error:
        raise ModelError(f"{name}: the features {', '.join(tensors)} cannot be computed: {error}") from error
    return opened


def backbone_tensors(model: bytes, description: ModelDescription, name: str) -> tuple[str, ...]:
    """Return, for each of `STRIDES`, the first tensor of the graph that has the most channels. Raises ModelError.

    Shapes are found by a run: few files contain those of all tensors.
    """
    wanted = description.input
    candidates = _candidates(graph_nodes(model))
    if candidates:
        session = open_session(with_outputs(model, candidates), name)
        empty = Image.new("RGB", (wanted.width, wanted.height))
        try:
            made = session.run(candidates, _feeds(session, description, empty))
        except LabelingError as error:
            raise ModelError(f"{name}: {error}") from error
        found = [_widest(candidates, made, wanted, stride) for stride in STRIDES]
        if chosen := tuple(dict.fromkeys(each for each in found if each)):
            return chosen
    raise ModelError(
        f"{name}: the model has no features that labels can be taught with: no tensor [1, channels, height, width] "
        f"with a {' or '.join(f'{stride}th' for stride in STRIDES)} of the input's height and width"
    )


def _feeds(session: OnnxSession, description: ModelDescription, image: Image.Image) -> dict[str, Tensor]:
    """Return the graph's inputs for one picture, repeated if the graph takes a fixed number. Raises ModelError."""
    feeds: dict[str, Tensor] = {}
    for node in session.inputs:
        kind = NUMPY_TYPES.get(node.type)
        if kind is None:
            raise ModelError(f"the model's input {node.name!r} is {node.type}, expected {' or '.join(NUMPY_TYPES)}")
        count = node.shape[0] if node.shape and isinstance(node.shape[0], int) else 1
        if node.name in description.constants:
            feeds[node.name] = np.repeat(np.array([description.constants[node.name]], kind), count, axis=0)
        else:
            feeds[node.name] = tensor([image] * count, description.input, kind)
    return feeds


def _candidates(nodes: Sequence[GraphNode]) -> list[str]:
    """Return the names of the tensors that a backbone's operations compute and other operations read.

    If a tensor is quantized and dequantized at once, its dequantized copy is returned: an output before that keeps ONNX
    Runtime from fusing the operations.
    """
    users: dict[str, list[GraphNode]] = {}
    for node in nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    made = [node.outputs[0] for node in nodes if node.operation in _ACTIVATIONS and node.outputs]
    return list(dict.fromkeys(_dequantized(name, users) for name in made if name in users))


def _dequantized(name: str, users: dict[str, list[GraphNode]]) -> str:
    takers = users[name]
    if len(takers) == 1 and takers[0].operation == "QuantizeLinear" and takers[0].outputs:
        after = users.get(takers[0].outputs[0], [])
        if after and after[0].operation == "DequantizeLinear" and after[0].outputs:
            return after[0].outputs[0]
    return name


def _widest(names: Sequence[str], made: Sequence[Tensor], wanted: Input, stride: int) -> str | None:
    sides = (-(-wanted.height // stride), -(-wanted.width // stride))
    fitting = [
        (each.shape[1], name)
        for name, each in zip(names, made, strict=True)
        if each.ndim == 4 and each.shape[2:] == sides and each.dtype in (np.float32, np.float16)
    ]
    most = max((channels for channels, _ in fitting), default=0)
    return next((name for channels, name in fitting if channels == most), None)


def _length_one(values: Floats) -> Floats:
    length = np.linalg.norm(values)
    return np.asarray(values / length if length else values, np.float32)

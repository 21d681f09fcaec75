"""Find out how to use a model's file: its inputs, and each way to read its outputs that fits a trial run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.model import Input
from camiohookd.labelers.onnx.contract import Contract
from camiohookd.labelers.onnx.graph import Graph, read_graph
from camiohookd.labelers.onnx.graph_guess import PictureInput, constants, picture_input, readings
from camiohookd.labelers.onnx.metadata import Metadata, read_metadata
from camiohookd.labelers.onnx.model_file import resized, stripped
from camiohookd.labelers.onnx.outputs import Outputs
from camiohookd.labelers.onnx.runner import Node, Tensor
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tensors import NUMPY_TYPES, tensor


@dataclass(frozen=True, slots=True)
class Examined:
    """A model's bytes, changed where that is needed; its inputs; the contracts that fit, at least one."""

    model: bytes
    metadata: Metadata
    picture: PictureInput
    constants: dict[str, list[float]]
    contracts: list[Contract]


def examine(
    model: bytes,
    name: str,
    photograph: Image.Image,
    size: tuple[int, int] | None = None,
    decoder: str | None = None,
) -> Examined:
    """Examine a model's bytes; `name` is the file's name in errors. Raises ModelError.

    The model runs on the `photograph` (RGB), once. `size` (width, height) is the input's, if not the file's; `decoder`
    is given if the owner knows it.
    """
    model = stripped(model)
    graph = read_graph(model, name)
    metadata = read_metadata(graph.metadata)
    picture = picture_input(graph.inputs, metadata, size)
    if size and size != (picture.width, picture.height):
        model, graph = _with_size(model, name, graph, picture, size)
        picture = picture_input(graph.inputs, metadata, size)
    others = constants(graph.inputs, picture)
    try:
        values = _trial(model, name, graph, picture, others, photograph)
    except LabelingError as error:
        if size:
            raise ModelError(
                f"{name}: the model does not work with pictures of {size[0]} x {size[1]} pixels: {error}; "
                "leave out --size"
            ) from error
        raise ModelError(f"{name}: the model failed on a photograph: {error}") from error
    nodes = [Node(node.name, node.type, values[node.name].shape) for node in graph.outputs]
    outputs = Outputs(
        nodes,
        (picture.width, picture.height),
        values,
        metadata,
        [node.name for node in graph.inputs],
        picture.layout,
    )
    return Examined(model, metadata, picture, others, readings(outputs, decoder))


def _with_size(
    model: bytes, name: str, graph: Graph, picture: PictureInput, size: tuple[int, int]
) -> tuple[bytes, Graph]:
    node = next(node for node in graph.inputs if node.name == picture.name)
    width, height = size
    shape = {"NCHW": (0, 3, height, width), "NHWC": (0, height, width, 3), "CHW": (3, height, width)}[picture.layout]
    free: dict[int, str] = {}
    if picture.layout != "CHW":
        batch = node.shape[0]
        shape = (batch if isinstance(batch, int) else 0, *shape[1:])
        free = {} if isinstance(batch, int) else {0: str(batch or "batch")}
    changed = resized(model, picture.name, shape, free)
    try:
        return changed, read_graph(changed, name)
    except ModelError as error:
        raise ModelError(f"{error}; the graph does not allow the size {width}x{height}: leave out --size") from error


def _trial(
    model: bytes,
    name: str,
    graph: Graph,
    picture: PictureInput,
    others: Mapping[str, list[float]],
    photograph: Image.Image,
) -> dict[str, Tensor]:
    """Run the model on the photograph; return the outputs by name. Raises LabelingError, ModelError."""
    nodes = {node.name: node for node in graph.inputs}
    kind = NUMPY_TYPES[picture.type]
    wanted = Input(
        name=picture.name,
        width=picture.width,
        height=picture.height,
        color_order="RGB",
        range="0..255" if kind is np.uint8 else "0..1",
        resize="stretch",
        layout=picture.layout,
    )
    batch = nodes[picture.name].shape[0] if picture.layout != "CHW" else 1
    count = batch if isinstance(batch, int) else 1
    pixels = tensor([photograph] * count, wanted, kind)
    feeds: dict[str, Tensor] = {picture.name: pixels[0] if picture.layout == "CHW" else pixels}
    for other, row in others.items():
        feeds[other] = np.array([row] * count, NUMPY_TYPES[nodes[other].type])
    session = open_session(model, name)
    names = [node.name for node in graph.outputs]
    try:
        return dict(zip(names, session.run(names, feeds), strict=True))
    finally:
        session.close()

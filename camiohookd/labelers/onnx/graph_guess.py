"""Guess from a graph, its metadata and a trial run how to prepare its pictures and how to read its outputs.

    inputs, metadata ─▶ `picture_input`  layout, width, height; `constants` of other inputs
                     ─▶ trial run        the values of the outputs for a photograph
                     ─▶ `readings`       decoder, roles of the outputs, how many labels: each way that fits

A graph does not say its color order and range: the decoder's usual ones are assumed and have to be tried out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from camiohookd.errors import ModelError
from camiohookd.labelers.label_names import known_names
from camiohookd.labelers.onnx import readers, readers_of_grids, readers_of_lists
from camiohookd.labelers.onnx.contract import Contract
from camiohookd.labelers.onnx.metadata import Metadata, refuse_other_tasks
from camiohookd.labelers.onnx.outputs import Outputs, shown
from camiohookd.labelers.onnx.runner import Node

OPEN_SIDE = 640
"""Width and height if neither the graph nor its metadata says them: what most detectors are trained with."""

_TYPES = {"tensor(float)", "tensor(float16)", "tensor(uint8)"}
_NUMBERS = {"tensor(float)", "tensor(float16)", "tensor(int64)", "tensor(int32)"}
Layout = Literal["NCHW", "NHWC", "CHW"]

_LAYOUTS: Mapping[tuple[int, int], Layout] = {
    (4, 1): "NCHW",
    (4, 3): "NHWC",
    (3, 0): "CHW",
}  # by rank and the axis of the colors

_READERS: Mapping[str, Callable[[Outputs], list[Contract]]] = {
    "yolox": readers_of_grids.yolox,
    "nanodet": readers_of_grids.nanodet,
    "yolo": readers.yolo,
    "detr": readers.detr,
    "ssd": readers.ssd,
    "tf_od": readers_of_lists.tf_od,
    "torchvision": readers_of_lists.torchvision,
    "listed": readers_of_lists.listed,
    "paddle": readers_of_lists.paddle,
    "classify": readers.classify,
}


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The graph's picture input; `type` is ONNX Runtime's."""

    name: str
    layout: Layout
    width: int
    height: int
    type: str = "tensor(float)"


def picture_input(inputs: Sequence[Node], metadata: Metadata, size: tuple[int, int] | None = None) -> PictureInput:
    """Return the graph's picture input. Raises ModelError.

    `size` (width, height) is what the owner asks for, if anything. Without it, a side that the graph leaves open is the
    metadata's, or `OPEN_SIDE`.
    """
    refuse_other_tasks(metadata)
    pictures = [node for node in inputs if node.type in _TYPES and _layout(node)]
    if len(pictures) != 1:
        raise ModelError(
            f"the model's inputs are {shown(inputs)}; expected one picture input, tensor(float), tensor(float16) or "
            "tensor(uint8), of the shape [batch, 3, height, width], [batch, height, width, 3] or [3, height, width]"
        )
    (node,) = pictures
    layout = _layout(node)
    assert layout is not None
    height, width = node.shape[1:3] if layout in ("NHWC", "CHW") else node.shape[2:]
    if size and any(side % metadata.stride for side in size):
        raise ModelError(
            f"the sides of the model's input have to be multiples of {metadata.stride}, not {size[0]}x{size[1]}"
        )
    wished = size or metadata.size or (OPEN_SIDE, OPEN_SIDE)
    return PictureInput(
        node.name,
        layout,
        width if isinstance(width, int) else wished[0],
        height if isinstance(height, int) else wished[1],
        node.type,
    )


def constants(inputs: Sequence[Node], picture: PictureInput) -> dict[str, list[float]]:
    """Return the values of the inputs besides the picture, for one picture. Raises ModelError for an unknown one.

    The model is told that the picture has the input's size, so that boxes are in the input's pixels. PaddleDetection's
    ``im_shape`` is height and width, and ``scale_factor`` the factors that the picture was resized by
    (`deploy/python/preprocess.py`); RT-DETR's ``orig_target_sizes`` is width and height
    (`rtdetrv2_pytorch/tools/export_onnx.py`).
    """
    known = {
        "im_shape": [float(picture.height), float(picture.width)],
        "scale_factor": [1.0, 1.0],
        "orig_target_sizes": [float(picture.width), float(picture.height)],
    }
    others = [node for node in inputs if node.name != picture.name]
    if unknown := [node for node in others if node.name not in known or node.type not in _NUMBERS]:
        raise ModelError(
            f"the model has unknown inputs besides the picture: {shown(unknown)}; supported are {', '.join(known)}"
        )
    return {node.name: known[node.name] for node in others}


def readings(outputs: Outputs, decoder: str | None = None) -> list[Contract]:
    """Return each way to read the outputs that fits their names, their shapes and the values of a trial run.

    Of several, those with as many labels as the file names are returned, or with a number of labels that is well known.
    `decoder` is given if the owner knows it. Raises ModelError if there is none.
    """
    found = [contract for name, reads in _READERS.items() if decoder in (None, name) for contract in reads(outputs)]
    if found:
        names = len(outputs.metadata.names)
        named = [contract for contract in found if names and contract.labels == names]
        known = [contract for contract in found if not names and known_names(contract.labels)]
        return named or known or found
    nodes = shown(outputs.nodes)
    if decoder is None:
        raise ModelError(
            f"the model's outputs are {nodes}, which no decoder can read; supported are {', '.join(_READERS)}"
        )
    raise ModelError(f"the model's outputs are {nodes}, which the decoder {decoder} cannot read")


def _layout(node: Node) -> Layout | None:
    for (rank, axis), layout in _LAYOUTS.items():
        if len(node.shape) == rank and node.shape[axis] == 3:
            return layout
    # Transformers' exporter leaves the colors open, too.
    return "NCHW" if len(node.shape) == 4 and not any(isinstance(side, int) for side in node.shape[1:]) else None

"""Guess from a graph how to prepare its pictures and how to read its outputs.

    nodes, metadata ─▶ `image_input`  layout, width, height
                    ─▶ `guess`        decoder, roles of the outputs, how many labels
                    ─▶ `label_names`  from the metadata or COCO's

A graph does not say its colour order and range: the decoder's usual ones are assumed and have to be tried out.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.runner import Node

OPEN_SIDE = 640
"""Width and height if the graph leaves them open: what most detectors are trained with."""

_FEW_QUERIES = 1000
_REG_MAX = 7
_TYPES = {"tensor(float)", "tensor(float16)", "tensor(uint8)"}
_CNN = {"color_order": "RGB", "range": "0..1"}
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The graph's picture input; a side that it leaves open is `OPEN_SIDE`."""

    name: str
    layout: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Contract:
    """How a decoder fits the outputs.

    `labels` is how many the outputs tell apart; `outputs` the graph's name of each role, `options` the decoder's, and
    `preparation` keys of ``[input]``: what is usual for such models.
    """

    decoder: str
    labels: int
    outputs: Mapping[str, str]
    preparation: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return "classification" if self.decoder == "classify" else "detection"


def image_input(inputs: Sequence[Node]) -> ImageInput:
    """Return the graph's one input, a picture. Raises ModelError."""
    if len(inputs) != 1:
        raise ModelError(f"the model has {len(inputs)} inputs ({_shown(inputs)}); one, a picture, is supported")
    node = inputs[0]
    if node.type not in _TYPES or len(node.shape) != 4 or 3 not in (node.shape[1], node.shape[3]):
        raise ModelError(
            f"the model's input is {_shown(inputs)}; supported are tensor(float), tensor(float16) and tensor(uint8) "
            "of the shape [batch, 3, height, width] or [batch, height, width, 3]"
        )
    layout = "NCHW" if node.shape[1] == 3 else "NHWC"
    height, width = node.shape[2:] if layout == "NCHW" else node.shape[1:3]
    return ImageInput(node.name, layout, *(side if isinstance(side, int) else OPEN_SIDE for side in (width, height)))


def guess(outputs: Sequence[Node], size: tuple[int, int], decoder: str | None = None) -> Contract:
    """Guess from shapes and names how to read the outputs of a graph with an input of `size` (width, height).

    `decoder` is given if the owner knows it. Raises ModelError.
    """
    for name, reads in _READERS.items():
        if decoder in (None, name) and (contract := reads(outputs, size)):
            return contract
    if decoder is None:
        raise ModelError(
            f"the model's outputs are {_shown(outputs)}, which fit none of the decoders {', '.join(_READERS)}"
        )
    raise ModelError(f"the model's outputs are {_shown(outputs)}, which the decoder {decoder} cannot read")


def label_names(count: int, metadata: Mapping[str, str], coco: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of `count` labels: the exporter's in the metadata, else COCO's if their number fits, else None.

    `coco` are the names by COCO's ids, from 1, with "" for those that were never used.
    """
    names = _names_in(metadata)
    if len(names) == count:
        return names
    known = tuple(name for name in coco if name)
    return {len(known): known, len(coco): tuple(coco), len(coco) + 1: ("", *coco)}.get(count)


def _names_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Ultralytics' exporter writes ``{0: 'person', 1: 'bicycle'}`` under ``names``."""
    try:
        names = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    values = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
    return tuple(map(str, values)) if isinstance(values, list | tuple) else ()


def _yolox(outputs: Sequence[Node], size: tuple[int, int]) -> Contract | None:
    match [node.shape for node in outputs]:
        case [(_, int(rows), int(columns))] if rows == _cells(size, 8, 16, 32) and columns > 5:
            preparation = {"color_order": "BGR", "range": "0..255", "resize": "letterbox"}
            return Contract("yolox", columns - 5, {"output": outputs[0].name}, preparation)
    return None


def _nanodet(outputs: Sequence[Node], size: tuple[int, int]) -> Contract | None:
    match [node.shape for node in outputs]:
        case [(_, int(rows), int(columns))] if columns > 4 * (_REG_MAX + 1):
            for strides in ((8, 16, 32, 64), (8, 16, 32)):
                if rows == _cells(size, *strides):
                    preparation = {
                        "color_order": "BGR",
                        "range": "0..255",
                        "mean": [103.53, 116.28, 123.675],  # of its published configurations
                        "std": [57.375, 57.12, 58.395],
                        "resize": "stretch",
                    }
                    options = {"strides": list(strides), "reg_max": _REG_MAX}
                    labels = columns - 4 * (_REG_MAX + 1)
                    return Contract("nanodet", labels, {"output": outputs[0].name}, preparation, options)
    return None


def _yolo(outputs: Sequence[Node], _size: tuple[int, int]) -> Contract | None:
    if len(outputs) != 1 or len(outputs[0].shape) != 3:
        return None
    preparation = _CNN | {"resize": "letterbox-centred"}
    _, rows, columns = outputs[0].shape
    if columns == 6:
        return Contract("yolo", 0, {"output": outputs[0].name}, preparation, {"end_to_end": True})
    if isinstance(rows, int) and rows > 4 and (not isinstance(columns, int) or columns > rows):
        return Contract("yolo", rows - 4, {"output": outputs[0].name}, preparation)
    return None


def _detr(outputs: Sequence[Node], _size: tuple[int, int]) -> Contract | None:
    pair = _scores_and_boxes(outputs)
    if pair is None:
        return None
    scores, boxes = pair
    queries = scores.shape[1]
    if "logits" not in scores.name and not (isinstance(queries, int) and queries < _FEW_QUERIES):
        return None
    names = {"logits": scores.name, "boxes": boxes.name}
    return Contract("detr", _last(scores), names, _CNN | {"resize": "stretch"})


def _ssd(outputs: Sequence[Node], _size: tuple[int, int]) -> Contract | None:
    pair = _scores_and_boxes(outputs)
    if pair is None:
        return None
    scores, boxes = pair
    names = {"scores": scores.name, "boxes": boxes.name}
    return Contract("ssd", _last(scores), names, {"color_order": "RGB", "range": "0..255", "resize": "stretch"})


def _classify(outputs: Sequence[Node], _size: tuple[int, int]) -> Contract | None:
    match [node.shape for node in outputs]:
        case [(_, int(labels))] if labels > 1:
            preparation = _CNN | _IMAGENET | {"resize": "crop"}
            return Contract("classify", labels, {"output": outputs[0].name}, preparation)
    return None


_READERS: dict[str, Callable[[Sequence[Node], tuple[int, int]], Contract | None]] = {
    "yolox": _yolox,
    "nanodet": _nanodet,
    "yolo": _yolo,
    "detr": _detr,
    "ssd": _ssd,
    "classify": _classify,
}
"""Ordered from the most specific shape to the most general one."""


def _scores_and_boxes(outputs: Sequence[Node]) -> tuple[Node, Node] | None:
    """Two outputs [batch, n, labels] and [batch, n, 4]."""
    if len(outputs) != 2 or any(len(node.shape) != 3 for node in outputs):
        return None
    boxes = [node for node in outputs if node.shape[2] == 4]
    scores = [node for node in outputs if isinstance(node.shape[2], int) and node.shape[2] != 4]
    return (scores[0], boxes[0]) if len(boxes) == len(scores) == 1 else None


def _last(node: Node) -> int:
    length = node.shape[-1]
    assert isinstance(length, int)
    return length


def _cells(size: tuple[int, int], *strides: int) -> int:
    width, height = size
    return sum(-(-width // stride) * -(-height // stride) for stride in strides)


def _shown(nodes: Sequence[Node]) -> str:
    return ", ".join(f"{node.name} {node.type} {list(node.shape)}" for node in nodes)

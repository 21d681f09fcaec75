"""Readers of outputs with a value for each box, each query or each label: YOLO, DETR, SSD, classifiers.

A reader returns the contracts that fit, none if the outputs are of another kind.
"""

import numpy as np

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.contract import BYTES, CNN, IMAGENET, Contract
from camiohookd.labelers.onnx.outputs import Outputs, fractions, integers, length
from camiohookd.labelers.onnx.runner import Node, Tensor

FEW = 1000
"""A model returns at most about so many finished boxes or queries; grids have more places."""

_MOST_QUERIES = 0.5


def yolo(outputs: Outputs) -> list[Contract]:
    """YOLOv5 and later; with a second output of mask prototypes [batch, masks, height, width] in a -seg model."""
    mains, prototypes = outputs.of_rank(3), outputs.of_rank(4)
    if len(mains) != 1 or len(prototypes) > 1 or len(outputs.nodes) != 1 + len(prototypes):
        return []
    (node,) = mains
    masks = length(prototypes[0], 1) if prototypes else 0
    _, rows, columns = node.shape
    preparation, names = {**CNN, "resize": "letterbox-centred"}, {"output": node.name}
    options: dict[str, object] = {"masks": masks} if masks else {}
    if isinstance(columns, int) and columns - masks == 6 and (not isinstance(rows, int) or rows > 6):
        return _six_columns(outputs, node, Contract("", "yolo", 0, names, preparation, options))
    value = outputs.value(node)
    if isinstance(columns, int) and isinstance(rows, int) and rows > columns > 5 + masks:
        labels = columns - 5 - masks
        if length(node, 1) == outputs.cells(8, 16, 32) or not _are_rows(value, labels):
            return []  # YOLOX, or neither
        what = "YOLOv5 or YOLOv7: center, size, objectness and labels in rows"
        return [Contract(what, "yolo", labels, names, preparation, options | {"objectness": True})]
    if isinstance(rows, int) and rows > 4 + masks and (not isinstance(columns, int) or columns > rows):
        labels = rows - 4 - masks
        if value is not None and not fractions(value[:, 4 : 4 + labels]):
            raise ModelError(
                f"the model's output {node.name} {list(node.shape)} has the form of a YOLO's, but the values behind "
                f"its boxes reach {value[:, 4 : 4 + labels].max():.4g} and are no probabilities: it may be a pose "
                "model or one for rotated boxes, which are not supported"
            )
        return [
            Contract("YOLOv8 or later: center, size and labels in columns", "yolo", labels, names, preparation, options)
        ]
    return []


def _are_rows(value: Tensor | None, labels: int) -> bool:
    """Return whether rows can be center, size, objectness and labels: sizes are positive, the rest probabilities."""
    return value is None or (fractions(value[..., 4 : 5 + labels]) and bool((value[..., 2:4] >= 0).all()))


def _six_columns(outputs: Outputs, node: Node, base: Contract) -> list[Contract]:
    """Six columns are a finished box with probability and label, or a box with objectness and one label.

    Ultralytics' RT-DETR has finished boxes, too, as center and size in fractions of the input.
    """
    value, count = outputs.value(node), length(node, 1)
    if outputs.metadata.head == "RTDETRDecoder" or (value is not None and _are_finished_centers(value)):
        what = "RT-DETR by Ultralytics: center and size in fractions, probability and label of finished boxes"
        options = {**base.options, "end_to_end": True, "fractions": True}
        return [Contract(what, "yolo", 0, base.outputs, {**base.preparation, "resize": "stretch"}, options)]
    finished = Contract(
        "end to end: left, top, right, bottom, probability and label of finished boxes",
        "yolo",
        0,
        base.outputs,
        base.preparation,
        {**base.options, "end_to_end": True},
    )
    if outputs.metadata.end_to_end:
        return [finished]
    one = Contract(
        "YOLOv5 or YOLOv7 with one label: center, size, objectness and label",
        "yolo",
        1,
        base.outputs,
        base.preparation,
        {**base.options, "objectness": True},
    )
    if count > FEW:
        if count == outputs.cells(8, 16, 32):
            return []  # YOLOX with one label
        return [one]
    if value is None:
        return [finished, one]
    boxes, probabilities, labels = value[..., :4], value[..., 4], value[..., 5]
    is_finished = integers(labels) and _are_ordered(boxes) and fractions(probabilities)
    fits = [is_finished, not is_finished and _are_rows(value, 1)]
    found = [contract for contract, does in zip([finished, one], fits, strict=True) if does]
    return found or [finished, one]


def _are_ordered(boxes: Tensor) -> bool:
    return bool((boxes[..., 2:4] >= boxes[..., :2]).all())


def _are_finished_centers(value: Tensor) -> bool:
    """Return whether rows can be center, size, probability and label: fractions that are no corners, and integers."""
    return fractions(value[..., :5]) and integers(value[..., 5]) and not _are_ordered(value)


def detr(outputs: Outputs) -> list[Contract]:
    pair = _scores_and_boxes(outputs)
    if pair is None:
        return []
    scores, boxes = pair
    queries, value = length(scores, 1), outputs.value(scores)
    if "logits" not in scores.name and (not 0 < queries < FEW or (value is not None and fractions(value))):
        return []
    names = {"logits": scores.name, "boxes": boxes.name}
    preparation = {**CNN, "resize": "stretch"}
    with_mean, softmax = {**preparation, **IMAGENET}, {"activation": "softmax"}
    rf_detr = {scores.name, boxes.name} == {"labels", "dets"}  # its exporter's names
    labels = length(scores)
    what = "RT-DETR: labels that do not exclude each other, through sigmoid"
    found = [Contract(what, "detr", labels, names, with_mean if rf_detr else preparation)]
    what = "DETR: labels and one for no object, through softmax"
    found.append(Contract(what, "detr", labels - 1, names, with_mean, softmax))
    if value is None or labels == 1:
        return found[:1] if labels == 1 else found
    if np.mean(value.argmax(axis=-1) == labels - 1) > _MOST_QUERIES:
        return found[1:]  # most queries find no object
    if np.mean(value.max(axis=-1) < 0) > _MOST_QUERIES:
        return found[:1]  # most queries give each label less than one half
    return found


def ssd(outputs: Outputs) -> list[Contract]:
    pair = _scores_and_boxes(outputs)
    if pair is None:
        return []
    scores, boxes = pair
    if not fractions(outputs.value(scores)) or "logits" in scores.name:
        return []
    if outputs.value(scores) is None and 0 < length(scores, 1) < FEW:
        return []
    names = {"scores": scores.name, "boxes": boxes.name}
    return [Contract("SSD: scores and boxes of anchors", "ssd", length(scores), names, {**BYTES, "resize": "stretch"})]


def classify(outputs: Outputs) -> list[Contract]:
    if len(outputs.nodes) != 1 or len(outputs.nodes[0].shape) != 2:
        return []
    (node,) = outputs.nodes
    labels, value = length(node), outputs.value(node)
    if labels < 1 or "int" in node.type:
        return []
    preparation = {**CNN, **IMAGENET, "resize": "crop"}
    if outputs.metadata.task == "classify" or outputs.layout == "NHWC":
        # Ultralytics' classifiers and Keras' usual ones hold their own normalization.
        preparation = {**(BYTES if outputs.layout == "NHWC" else CNN), "resize": "crop"}
    names = {"output": node.name}

    def contract(what: str, activation: str) -> Contract:
        options: dict[str, object] = {"activation": activation}
        return Contract(
            what, "classify", labels, names, preparation, options | ({"one_output": True} if labels == 1 else {})
        )

    if labels == 1:
        if value is not None and fractions(value):
            return [contract("a classifier with one output, a probability", "none")]
        return [contract("a classifier with one output, through sigmoid", "sigmoid")]
    if value is None or not fractions(value):
        return [contract("a classifier, through softmax", "softmax")]
    if bool(np.allclose(value.sum(axis=-1), 1, atol=0.01)):
        return [contract("a classifier that ends in its own softmax", "none")]
    found = [contract("a classifier whose outputs are probabilities that do not exclude each other", "none")]
    if labels == 2:  # logits are seldom all between 0 and 1, except when there are few
        found.append(contract("a classifier, through softmax", "softmax"))
    return found


def _scores_and_boxes(outputs: Outputs) -> tuple[Node, Node] | None:
    """Two outputs [batch, n, labels] and [batch, n, 4]; others are masks, or layers that transformers returns, too."""
    nodes = outputs.of_rank(3)
    if len(of_transformers := [node for node in nodes if node.name in ("logits", "pred_boxes")]) == 2:
        box_node, logits = sorted(of_transformers, key=lambda node: node.name == "logits")
        return (logits, box_node) if length(box_node) == 4 and length(logits) else None
    if len(nodes) != 2 or len(outputs.nodes) - len(nodes) > 1 or any(node.type.endswith("int64)") for node in nodes):
        return None
    boxes = [node for node in nodes if length(node) == 4]
    scores = [node for node in nodes if length(node) not in (0, 4)]
    if len(boxes) == 2:  # DETR with three labels and one for no object
        boxes, scores = ([n for n in nodes if "box" in n.name], [n for n in nodes if "box" not in n.name])
    return (scores[0], boxes[0]) if len(boxes) == len(scores) == 1 else None

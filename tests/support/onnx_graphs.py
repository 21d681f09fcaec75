"""Tiny models for tests: their outputs are what the test chose, for every picture."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from camiohookd.labelers.library import to_toml

Array = NDArray[Any]
Shape = Sequence[int | str]


def constant_model(
    outputs: Mapping[str, Array],
    *,
    shape: Shape = (1, 3, 32, 32),
    kind: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
    others: Mapping[str, int] | None = None,
    batched: bool = True,
) -> bytes:
    """Build a model with a picture input "images"; its outputs are `outputs`, one row of the first axis a picture.

    They include the picture times 0, so that no optimizer removes the input. `others` are inputs [1, 2] by name with
    their types, which the model ignores. If it is not `batched`, the outputs have no axis for the pictures.
    """
    batch = shape[0]
    axes = np.arange(1 if batched else 0, len(shape), dtype=np.int64)
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "picture axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    initializers = [
        numpy_helper.from_array(axes, "picture axes"),
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
    ]
    infos = []
    for name, value in outputs.items():
        ones = np.array([-1 if batched else 1] + [1] * (value.ndim - 1), np.int64)
        initializers += [numpy_helper.from_array(value, f"{name} value"), numpy_helper.from_array(ones, f"{name} axes")]
        nodes += [
            helper.make_node("Reshape", ["nothing", f"{name} axes"], [f"{name} rows"]),
            helper.make_node(
                "Cast", [f"{name} rows"], [f"{name} cast"], to=helper.np_dtype_to_tensor_dtype(value.dtype)
            ),
            helper.make_node("Add", [f"{name} cast", f"{name} value"], [name]),
        ]
        element = helper.np_dtype_to_tensor_dtype(value.dtype)
        infos.append(helper.make_tensor_value_info(name, element, [batch if batched else None, *value.shape[1:]]))
    inputs = [helper.make_tensor_value_info("images", kind, list(shape))]
    inputs += [helper.make_tensor_value_info(name, other, [1, 2]) for name, other in (others or {}).items()]
    graph = helper.make_graph(nodes, "tiny", inputs, infos, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    data: bytes = model.SerializeToString()
    return data


def backbone_model() -> bytes:
    """Build a graph for pictures of 64 x 64 pixels with the strides 16 and 32.

    The tensors "fine" and "coarse" have the most channels.
    """
    random = np.random.default_rng(1)
    nodes, initializers = [], []

    def conv(source: str, name: str, channels: tuple[int, int], side: int) -> None:
        weight = random.normal(size=(channels[1], channels[0], side, side)).astype(np.float32)
        initializers.append(numpy_helper.from_array(weight, f"{name} weight"))
        nodes.append(helper.make_node("Conv", [source, f"{name} weight"], [name], strides=[side, side]))

    conv("images", "stem", (3, 4), 16)
    conv("stem", "fine", (4, 8), 1)
    conv("fine", "coarse", (8, 6), 2)
    conv("coarse", "head", (6, 5), 1)
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    nodes.append(helper.make_node("ReduceMean", ["head", "axes"], ["scores"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])],
        [*initializers, axes],
    )
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()
    return data


def model_folder(
    folder: Path,
    model: bytes,
    decoder: str,
    labels: Sequence[str],
    *,
    input: Mapping[str, Any] | None = None,  # noqa: A002  # the table's name
    **more: Any,
) -> Path:
    """Write a model's folder with a `model.toml`; `input` and `tables` change its contents."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "task": "classification" if decoder == "classify" else "detection",
        "decoder": decoder,
        "file": "model.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "licence": "MIT",
        "source": "a test",
        "labels": list(labels),
        "input": {"name": "images", "width": 32, "height": 32, "color_order": "RGB", "range": "0..255"}
        | {"resize": "stretch"}
        | dict(input or {}),
        "thresholds": {"score": 0.5, "iou": 0.6},
    }
    (folder / "model.toml").write_text(to_toml(msgspec.to_builtins(tables | more)))
    (folder / "model.onnx").write_bytes(model)
    return folder

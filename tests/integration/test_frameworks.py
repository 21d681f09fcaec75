"""The examples of docs/frameworks.md, word for word: each with its framework, in an interpreter of its own."""

import io
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from PIL import Image

from camiohookd.config import load
from camiohookd.labelers.open import open_chain
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from tests.support.checkout import ROOT

PAGE = (ROOT / "docs/frameworks.md").read_text()
INSTALL_SECONDS = 1500
PATIENCE = 120.0
CAT = (ROOT / "camiohookd/samples/chelsea.jpg").read_bytes()


class Example(NamedTuple):
    """A section of the page: the commands, the Python file and the settings."""

    commands: str
    code: str
    settings: str

    @property
    def folder(self) -> str:
        """Return where the page puts everything, such as /opt/torch."""
        found = re.search(r"venv (\S+)", self.commands)
        assert found, self.commands
        return found[1]


def examples() -> Iterator[tuple[str, Example]]:
    for section in PAGE.split("\n## ")[1:]:
        blocks = dict(re.findall(r"^```(sh|python|toml)\n(.*?)^```", section, re.DOTALL | re.MULTILINE))
        yield section.partition("\n")[0].partition(" ")[0], Example(blocks["sh"], blocks["python"], blocks["toml"])


EXAMPLES = dict(examples())

# Networks with weights that the tests set by hand: red pictures are the first label, green ones the second.

LITERT_NETWORK = """
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    def make(kind, **fields):
        made = kind()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    def tensor(name, shape, buffer, kind=schema.TensorType.FLOAT32):
        return make(schema.TensorT, name=name, shape=shape, type=kind, buffer=buffer)

    contents = [None, np.array([1, 2], np.int32), np.eye(2, 3, dtype=np.float32), np.zeros(2, np.float32)]
    buffers = [make(schema.BufferT, data=None if each is None else np.frombuffer(each.tobytes(), np.uint8))
               for each in contents]
    tensors = [tensor("image", [1, 32, 48, 3], 0), tensor("axes", [2], 1, schema.TensorType.INT32),
               tensor("mean", [1, 3], 0), tensor("weights", [2, 3], 2), tensor("bias", [2], 3),
               tensor("scores", [1, 2], 0)]
    builtin, options = schema.BuiltinOperator, schema.BuiltinOptions
    codes = [make(schema.OperatorCodeT, builtinCode=each, deprecatedBuiltinCode=each, version=1)
             for each in (builtin.MEAN, builtin.FULLY_CONNECTED)]
    operators = [
        make(schema.OperatorT, opcodeIndex=0, inputs=[0, 1], outputs=[2],
             builtinOptionsType=options.ReducerOptions, builtinOptions=schema.ReducerOptionsT()),
        make(schema.OperatorT, opcodeIndex=1, inputs=[2, 3, 4], outputs=[5],
             builtinOptionsType=options.FullyConnectedOptions, builtinOptions=schema.FullyConnectedOptionsT()),
    ]
    graph = make(schema.SubGraphT, tensors=tensors, inputs=[0], outputs=[5], operators=operators)
    model = make(schema.ModelT, version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    open("model.tflite", "wb").write(builder.Output())
    open("labels.txt", "w").write("red\\ngreen\\n")
"""

TORCH_NETWORK = """
    import torch

    linear = torch.nn.Linear(3, 2, bias=False)
    linear.weight = torch.nn.Parameter(torch.tensor([[3.0, 0, 0], [0, 3.0, 0]]))
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), linear).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 224, 224),)), "model.pt2")
    open("labels.txt", "w").write("red\\ngreen\\n")
"""

PROTOTXT = """
    name: "reddest"
    input: "data"
    input_dim: 1 input_dim: 3 input_dim: 300 input_dim: 300
    layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
    layer { name: "row" type: "InnerProduct" bottom: "mean" top: "row" inner_product_param { num_output: 7 } }
    layer { name: "found" type: "Reshape" bottom: "row" top: "found"
            reshape_param { shape { dim: 1 dim: 1 dim: 1 dim: 7 } } }
"""
"""Caffe's text format. One row: number, label, probability, left, top, right, bottom; the probability is the red."""


def protobuf(*fields: tuple[int, int | bytes]) -> bytes:
    """Encode a message: fields by their number (https://protobuf.dev/programming-guides/encoding)."""

    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def blob(shape: tuple[int, ...], values: list[float]) -> bytes:
    """Encode a BlobProto of caffe.proto: `shape` is field 7, `data` field 5."""
    dimensions = protobuf((1, b"".join(protobuf((0, each))[1:] for each in shape)))
    return protobuf((7, dimensions), (5, struct.pack(f"<{len(values)}f", *values)))


def caffe_network(folder: Path) -> None:
    weights = [0.0] * 21
    weights[2 * 3 + 2] = 1 / 120  # red is the third channel; the example subtracts 123 of it
    layer = protobuf(
        (1, b"row"),
        (2, b"InnerProduct"),
        (7, blob((7, 3), weights)),
        (7, blob((7,), [0, 1, 0, 0.25, 0.2, 0.75, 0.8])),
    )
    (folder / "model.caffemodel").write_bytes(protobuf((1, b"reddest"), (100, layer)))
    (folder / "deploy.prototxt").write_text(dedent(PROTOTXT))


def made_by(script: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        subprocess.run([folder / "bin/python", "-c", dedent(script)], cwd=folder, check=True, timeout=PATIENCE)

    return make


NETWORKS = {"TensorFlow": made_by(LITERT_NETWORK), "PyTorch": made_by(TORCH_NETWORK), "OpenCV": caffe_network}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_python_and_valid_settings(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    assert "compute_labels" in compile(example.code, name, "exec").co_names
    assert name in NETWORKS
    path = tmp_path / "camiohookd.toml"
    path.write_text(example.settings)
    _, own = load.load_config(path, {}).labelers
    assert (own.script, own.interpreter) == (f"{example.folder}/labeler.py", f"{example.folder}/bin/python")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_labels_with_its_framework(name: str, tmp_path: Path, long_run: bool) -> None:
    if not long_run:
        pytest.skip(f"NOT TESTED: own code with {name}, because only --long installs it")
    folder, example = tmp_path / "own", EXAMPLES[name]
    commands = example.commands.replace(example.folder, str(folder)).replace(
        "python3 -m venv", f"{sys.executable} -m venv"
    )
    done = subprocess.run(
        ["/bin/sh", "-ec", commands], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0 and re.search(r"No matching distribution|[Cc]onnection", done.stderr):
        pytest.skip(f"NOT TESTED: own code with {name}, because it cannot be installed: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    NETWORKS[name](folder)
    (folder / "labeler.py").write_text(example.code)
    (tmp_path / "camiohookd.toml").write_text(example.settings.replace(example.folder, str(folder)))
    labelers = load.load_config(tmp_path / "camiohookd.toml", {}).labelers
    if name == "PyTorch":  # a cat is in the photograph
        labelers = tuple(replace(each, on=("cat",)) if each.on else each for each in labelers)
    chain = open_chain(labelers, None, lambda _degraded: None).chain
    try:
        assert not chain.troubles
        event = EventLabeler(chain, PictureLimits(), [], Metrics()).event(
            "front", lambda: [Picture("cat", CAT), Picture("red", _red())], lambda: None
        )
        event.join()
        cat, red = event.done.result(PATIENCE).pictures
    finally:
        chain.close()
    found = {each.labeler: each for each in (*cat.sent, *red.sent)}
    own = found[labelers[1].title]
    assert "cat" in {each.label for each in cat.sent}
    match name:
        case "TensorFlow":
            assert (own.label, round(own.probability, 1), own.box) == ("red", 0.8, None)
        case "PyTorch":
            assert own.label == "red"
            assert own.box == next(each.box for each in cat.sent if each.label == "cat")
        case "OpenCV":
            assert (own.label, round(own.probability, 1)) == ("face", 0.7)
            assert own.box == pytest.approx((50, 20, 150, 80), abs=0.1)


def _red() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (200, 100), (204, 30, 30)).save(file, "JPEG", quality=95)
    return file.getvalue()

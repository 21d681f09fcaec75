"""A quantized graph that takes bytes and adds them finds what the graph in the file finds."""

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.labelers import Frame, LabelRequest
from camiohookd.labelers.model import ModelDescription, find, load_description, read_model
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.labelers.onnx.open import open_configured
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tuned_graph import as_it_runs, tuned
from camiohookd.labelers.open import open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.wire.images import Picture
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import constant_model, model_folder

SHIPPED = find("ssdlite-mobilenet-v2-coco")
SIDE = 32
RANGES = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0)}
Bytes = NDArray[np.uint8]


def quantized_graph(
    *, scale: float, zero_point: int, kind: type[np.generic] = np.uint8, batch: int | str = 1, branch: bool = False
) -> bytes:
    """Build a graph that scales pixels to -1..1, quantizes them, and returns the sum of the result with itself."""
    nodes = [
        helper.make_node("Mul", ["images", "factor"], ["small"]),
        helper.make_node("Sub", ["small", "one"], ["centered"]),
        helper.make_node("QuantizeLinear", ["centered", "scale", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["restored"]),
        helper.make_node("Sum", ["restored", "images" if branch else "restored"], ["sum"]),
    ]
    initializers = [
        numpy_helper.from_array(np.array(2 / 255, np.float32), "factor"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
        numpy_helper.from_array(np.array(scale, np.float32), "scale"),
        numpy_helper.from_array(np.array(zero_point, kind), "zero"),
    ]
    shape = [batch, 3, SIDE, SIDE]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "quantized", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def described(folder: Path, model: bytes, **wanted: object) -> ModelDescription:
    return load_description(model_folder(folder, model, "ssd", ["cat"], input=wanted))


def all_bytes(count: int) -> Bytes:
    return np.random.default_rng(2).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("batch", [1, 2, "n"])
@pytest.mark.parametrize("zero_point", [127, 128])
def test_a_graph_that_quantizes_pictures_takes_their_bytes(tmp_path: Path, batch: int | str, zero_point: int) -> None:
    model = quantized_graph(scale=2 / 255, zero_point=zero_point, batch=batch)
    description = described(tmp_path, model)
    changed = tuned(model, description, "it")
    graph = onnx.load_from_string(changed)
    onnx.checker.check_model(graph)
    assert [node.op_type for node in graph.graph.node] == ["Transpose", "DequantizeLinear", "Add"]
    session = open_session(changed, "it")
    (node,) = session.inputs
    assert (node.type, node.shape[1:]) == ("tensor(uint8)", (SIDE, SIDE, 3))
    assert node.shape[0] == batch
    taken = as_it_runs(description, session.inputs).input
    assert (taken.name, taken.layout, taken.range) == (node.name, "NHWC", "0..255")
    pictures = all_bytes(2 if batch == 2 else 1)
    before = open_session(model, "it").run(["sum"], {"images": pictures.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    after = session.run(["sum"], {node.name: pictures})[0]
    assert np.abs(before - after).max() <= 2 * 2 / 255 + 1e-6  # twice a step, which rounding may add
    assert np.abs(before - after).mean() < 0.25 * 2 / 255


@pytest.mark.parametrize(
    "model",
    [
        quantized_graph(scale=2 / 200, zero_point=100),
        quantized_graph(scale=2 / 255, zero_point=100),
        quantized_graph(scale=2 / 255, zero_point=0, kind=np.int8),
        constant_model({"scores": np.zeros((1, 1, 1), np.float32)}),
        b"no model",
        b"",
    ],
    ids=["other steps", "darker", "signed", "not quantized", "damaged", "empty"],
)
def test_other_graphs_take_what_they_took(tmp_path: Path, model: bytes) -> None:
    description = described(tmp_path, model)
    changed = tuned(model, description, "it")
    assert b" as bytes" not in changed
    if b"quantized" not in model:
        assert changed == model


def test_a_graph_that_needs_the_picture_elsewhere_takes_what_it_took(tmp_path: Path) -> None:
    model = quantized_graph(scale=2 / 255, zero_point=128, branch=True)
    assert b" as bytes" not in tuned(model, described(tmp_path, model), "it")


def test_a_graph_with_another_preparation_takes_what_it_took(tmp_path: Path) -> None:
    model = quantized_graph(scale=2 / 255, zero_point=128)
    for wanted in ({"range": "0..1"}, {"mean": [9.0, 9.0, 9.0]}):
        assert b" as bytes" not in tuned(model, described(tmp_path, model, **wanted), "it")


def test_the_shipped_model_takes_bytes_and_finds_the_same_objects(tmp_path: Path) -> None:
    description = load_description(SHIPPED)
    graph = onnx.load_from_string(tuned(read_model(SHIPPED, description), description, "it"))
    onnx.checker.check_model(graph)
    assert not [node for node in graph.graph.node if node.op_type == "Sum"]
    as_in_file = open_onnx(SHIPPED)
    for _ in ("computed", "from the cache"):
        labeler, _threads = open_configured(SHIPPED, device="cpu", state=tmp_path, on_degraded=print)
        for file in sorted((ROOT / "camiohookd/samples").glob("*.jpg")):
            picture = decode(file.read_bytes(), PictureLimits(), labeler.input_size)
            found, expected = labeler.detect(picture), as_in_file.detect(picture)
            assert [each.label for each in found] == [each.label for each in expected]
            for one, other in zip(found, expected, strict=True):
                assert one.probability == pytest.approx(other.probability, abs=0.1)
    (kept,) = (tmp_path / "graphs").glob("graph-*")
    assert b"images as bytes" in kept.read_bytes()


def test_a_machine_that_shares_its_work_with_servers_finds_what_they_find(tmp_path: Path) -> None:
    nobody = EndpointUrl("http://127.0.0.1:9")
    settings = LabelerSettings(model=str(SHIPPED), device="cpu", remote=RemoteSettings(endpoints=(nobody,)))
    picture = decode((ROOT / "camiohookd/samples/astronaut.jpg").read_bytes(), PictureLimits(), (300, 300))
    with closing(open_labeler(settings, tmp_path, lambda _degraded: None).labeler) as labeler:
        (found,) = labeler.label([Frame(Picture("1", b""), picture)], LabelRequest(detail="whole")).pictures
    expected = open_onnx(SHIPPED).detect(picture)
    assert [(each.label, each.probability) for each in found] == [(each.label, each.probability) for each in expected]

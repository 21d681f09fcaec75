"""A model's features: other outputs of its graph, and what is made of them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from camiohookd.errors import ModelError
from camiohookd.labelers.model import find, load_description, read_model
from camiohookd.labelers.onnx.features import backbone_tensors, open_features
from camiohookd.labelers.onnx.graph_outputs import graph_nodes, with_outputs
from camiohookd.labelers.onnx.session import open_session
from tests.support.onnx_graphs import backbone_model, constant_model, model_folder

SHIPPED = find("ssdlite-mobilenet-v2-coco")


def test_the_outputs_are_replaced_and_all_else_stays() -> None:
    before = onnx.load_from_string(read_model(SHIPPED, load_description(SHIPPED)))
    after = onnx.load_from_string(with_outputs(before.SerializeToString(), ["a", "b" * 300]))
    assert [output.name for output in after.graph.output] == ["a", "b" * 300]
    del after.graph.output[:]
    del before.graph.output[:]
    assert after == before


def test_the_nodes_are_those_that_the_package_onnx_reads() -> None:
    model = read_model(SHIPPED, load_description(SHIPPED))
    expected = [
        (node.op_type, tuple(node.input), tuple(node.output)) for node in onnx.load_from_string(model).graph.node
    ]
    assert [tuple(node) for node in graph_nodes(model)] == expected


@pytest.mark.parametrize("damage", [b"\x3a\xff\xff\xff\x7f", b"\x3b", b"\x80" * 20, b"\x3a"])
def test_bytes_that_are_no_model_are_refused(damage: bytes) -> None:
    with pytest.raises(ModelError, match="the model's file is damaged"):
        graph_nodes(damage)
    with pytest.raises(ModelError, match="the model's file is damaged"):
        with_outputs(damage, ["x"])


def test_the_widest_tensors_of_two_strides_are_found(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, backbone_model(), "classify", list("abcde"), input={"width": 64, "height": 64})
    model = open_features(folder)
    assert model.tensors == ("coarse", "fine")
    found = model.features(Image.effect_noise((50, 30), 80).convert("RGB"))
    assert found.shape == (14,)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


def test_features_are_the_averages_of_the_tensors(tmp_path: Path) -> None:
    model = backbone_model()
    folder = model_folder(tmp_path, model, "classify", list("abcde"), input={"width": 64, "height": 64})
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    fine = open_session(with_outputs(model, ["fine"]), "fine").run(["fine"], {"images": pixels})[0]
    average = fine[0].mean(axis=(1, 2))
    np.testing.assert_allclose(
        open_features(folder, ["fine"]).features(image), average / np.linalg.norm(average), atol=1e-5
    )


def test_the_shipped_model_names_its_tensors_and_keeps_their_size() -> None:
    model = open_features(SHIPPED)
    assert model.tensors == load_description(SHIPPED).features
    assert model.features(Image.new("RGB", (40, 90), (10, 200, 30))).shape == (1280 + 576,)


def test_the_tensors_found_in_a_quantized_graph_are_the_restored_ones() -> None:
    description = load_description(SHIPPED)
    found = backbone_tensors(read_model(SHIPPED, description), description, "the model")
    assert len(found) == 2
    assert all(name.endswith("_DequantizeLinear_Output") for name in found)


def test_a_model_without_such_tensors_says_so(tmp_path: Path) -> None:
    scores = np.array([[3.0, 1.0]], np.float32)
    folder = model_folder(tmp_path, constant_model({"p": scores}), "classify", ["a", "b"])
    with pytest.raises(ModelError, match="no features that labels can be taught with"):
        open_features(folder)


def test_a_tensor_that_is_not_in_the_graph_is_an_error(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, backbone_model(), "classify", list("abcde"), input={"width": 64, "height": 64})
    with pytest.raises(ModelError, match="cannot load the model"):
        open_features(folder, ["nowhere"])

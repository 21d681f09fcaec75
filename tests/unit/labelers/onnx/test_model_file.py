"""Change a model's file: what is not changed stays byte for byte, and damaged files do no harm."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, load_model_from_string, numpy_helper

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.model_file import read_whole, resized, stripped
from tests.support.onnx_graphs import constant_model

MODEL = constant_model({"p": np.array([[0.1, 0.9]], np.float32)}, metadata={"names": "['wet', 'dry']"})


def with_external_data() -> bytes:
    model = load_model_from_string(MODEL)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        external_data_helper.set_external_data(tensor, "weights", offset=0, length=len(tensor.raw_data))
        tensor.ClearField("raw_data")
    data: bytes = model.SerializeToString()
    return data


EXTERNAL = with_external_data()


def test_a_file_without_anything_to_change_stays_as_it_is(tmp_path: Path) -> None:
    assert stripped(MODEL) == MODEL
    (tmp_path / "model.onnx").write_bytes(MODEL)
    assert read_whole(tmp_path / "model.onnx") == MODEL


def test_only_the_input_and_the_declared_shapes_change_with_the_size() -> None:
    changed = load_model_from_string(resized(MODEL, "images", (1, 3, 64, 96), {}))
    sides = [dim.dim_value for dim in changed.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [1, 3, 64, 96]
    before = load_model_from_string(MODEL)
    for field in ("node", "initializer"):
        assert list(getattr(changed.graph, field)) == list(getattr(before.graph, field))
    assert changed.metadata_props == before.metadata_props
    (output,) = changed.graph.output
    assert (output.name, output.type.tensor_type.elem_type) == ("p", TensorProto.FLOAT)
    opened = load_model_from_string(resized(MODEL, "images", (0, 3, 64, 96), {0: "batch"}))
    assert opened.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@settings(max_examples=150)
@given(st.data(), st.sampled_from([MODEL, EXTERNAL]))
def test_a_damaged_file_raises_no_error(data: st.DataObject, model: bytes) -> None:
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    stripped(content)
    resized(content, "images", (1, 3, 64, 96), {})


@settings(max_examples=60)
@given(st.data())
def test_damaged_places_of_weights_raise_nothing_but_a_model_error(data: st.DataObject) -> None:
    damaged = EXTERNAL
    for word in (b"offset", b"length", b"weights"):
        at = damaged.find(word)
        place = at + len(word) + data.draw(st.integers(0, 4))
        damaged = damaged[:place] + bytes([data.draw(st.integers(0, 255))]) + damaged[place + 1 :]
    with TemporaryDirectory() as folder, suppress(ModelError):
        file = Path(folder, "model.onnx")
        file.write_bytes(damaged)
        Path(folder, "weights").write_bytes(bytes(16))
        read_whole(file)

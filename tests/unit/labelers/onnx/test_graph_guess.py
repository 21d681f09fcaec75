"""Derive from a graph how to prepare its pictures and how to read its outputs."""

import numpy as np
import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.label_names import known_names
from camiohookd.labelers.onnx.graph_guess import PictureInput, constants, picture_input, readings
from camiohookd.labelers.onnx.metadata import Metadata, read_metadata
from camiohookd.labelers.onnx.outputs import Outputs
from camiohookd.labelers.onnx.runner import Node

NOTHING = Metadata()
Shape = tuple[int | str | None, ...]


def node(*shape: int | str | None, name: str = "x", kind: str = "tensor(float)") -> Node:
    return Node(name, kind, shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 300, 400), PictureInput("x", "NCHW", 400, 300)),
        (("batch", 224, 192, 3), PictureInput("x", "NHWC", 192, 224)),
        (("batch", 3, "height", None), PictureInput("x", "NCHW", 640, 640)),
        ((3, "height", "width"), PictureInput("x", "CHW", 640, 640)),
        (("batch", "channels", "height", "width"), PictureInput("x", "NCHW", 640, 640)),
    ],
)
def test_reads_layout_and_size_from_the_input(shape: Shape, expected: PictureInput) -> None:
    assert picture_input([node(*shape)], NOTHING) == expected


def test_an_open_size_is_the_metadatas_or_the_owners() -> None:
    open_input = [node("batch", 3, "height", "width")]
    known = read_metadata({"imgsz": "[256, 320]"})
    assert picture_input(open_input, known) == PictureInput("x", "NCHW", 320, 256)
    assert picture_input(open_input, known, (416, 288)) == PictureInput("x", "NCHW", 416, 288)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [node(1, 3, 9, 9), node(1, 3, 9, 9)],
        [node(1, 1, 9, 9)],
        [node(9, 9)],
        [node(1, 3, 9, 9, kind="tensor(int64)")],
    ],
)
def test_refuses_an_input_that_is_not_a_picture(inputs: list[Node]) -> None:
    with pytest.raises(ModelError, match="expected one picture input"):
        picture_input(inputs, NOTHING)


def test_other_inputs_get_the_size_of_the_models_input_or_are_refused() -> None:
    inputs = [node(1, 3, 320, 640), node(1, 2, name="scale_factor"), node(1, 2, name="im_shape")]
    picture = picture_input(inputs, NOTHING)
    assert constants(inputs, picture) == {"scale_factor": [1, 1], "im_shape": [320, 640]}
    sizes = node(1, 2, name="orig_target_sizes", kind="tensor(int64)")
    assert constants([inputs[0], sizes], picture) == {"orig_target_sizes": [640, 320]}
    with pytest.raises(
        ModelError,
        match=r"unknown inputs besides the picture: prompt .* supported are im_shape, scale_factor, orig_target_sizes",
    ):
        constants([inputs[0], node(1, 2, name="prompt")], picture)


SQUARE = (416, 416)  # cells of 8, 16 and 32 pixels: 3549; with 64: 3598


@pytest.mark.parametrize(
    ("outputs", "decoder", "labels"),
    [
        ([node(1, 3549, 85)], "yolox", 80),
        ([node(1, 3598, 112)], "nanodet", 80),
        ([node(1, 84, 3549)], "yolo", 80),
        ([node("batch", 84, "anchors")], "yolo", 80),
        ([node(1, 10647, 85)], "yolo", 80),
        ([node(1, 10647, 6)], "yolo", 1),
        ([node(1, 300, 80, name="logits"), node(1, 300, 4, name="pred_boxes")], "detr", 80),
        ([node(1, 100, 4, name="b"), node(1, 100, 92, name="c")], "detr", 91),
        ([node(1, 1917, 90, name="scores"), node(1, 1917, 4, name="boxes")], "ssd", 90),
        ([node(1, 1000)], "classify", 1000),
    ],
)
def test_derives_the_decoder_and_the_number_of_labels(outputs: list[Node], decoder: str, labels: int) -> None:
    (contract,) = readings(Outputs(outputs, SQUARE))
    assert (contract.decoder, contract.labels) == (decoder, labels)
    assert set(contract.outputs.values()) == {each.name for each in outputs}
    assert contract.task == ("classification" if decoder == "classify" else "detection")


def test_returns_every_decoder_that_fits() -> None:
    outputs = Outputs([node(1, 3549, 40)], SQUARE)
    assert [each.decoder for each in readings(outputs)] == ["yolox", "nanodet"]
    (wished,) = readings(outputs, "nanodet")
    assert wished.options["strides"] == [8, 16, 32]


def test_the_number_of_names_in_the_metadata_decides() -> None:
    outputs = Outputs([node(1, 3549, 85)], SQUARE, metadata=Metadata(names=("x",) * 53))
    assert [each.decoder for each in readings(outputs)] == ["nanodet"]


def test_values_of_a_trial_run_decide_between_decoders_of_the_same_shape() -> None:
    values = np.zeros((1, 3549, 112), np.float32)
    values[..., 90] = -4  # a logit of NanoDet's bins
    (contract,) = readings(Outputs([node(1, 3549, 112)], SQUARE, {"x": values}))
    assert contract.decoder == "nanodet"


def test_names_outputs_that_no_decoder_reads() -> None:
    with pytest.raises(ModelError, match=r"outputs are x tensor\(float\) \[1, 2, 3, 4\], which no decoder can read"):
        readings(Outputs([node(1, 2, 3, 4)], SQUARE))
    with pytest.raises(ModelError, match="which the decoder ssd cannot read"):
        readings(Outputs([node(1, 3549, 85)], SQUARE), "ssd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{0: 'bird', 1: 'cat'}", ("bird", "cat")),
        ("{1: 'cat', 0: 'bird'}", ("bird", "cat")),
        ("['bird', 'cat']", ("bird", "cat")),
        ("{'a': 'bird', 0: 'cat'}", ()),
        ("__import__('os')", ()),
        ("(" * 1000, ()),
    ],
)
def test_reads_the_exporters_label_names(text: str, expected: tuple[str, ...]) -> None:
    assert read_metadata({"names": text}).names == expected


def test_reads_the_exporters_task_size_and_license() -> None:
    license_ = "AGPL-3.0 License (https://ultralytics.com/license)"
    known = read_metadata({"task": "detect", "imgsz": "[480, 640]", "license": license_, "args": "{'nms': True}"})
    assert (known.task, known.size, known.licence, known.end_to_end) == ("detect", (640, 480), "AGPL-3.0", True)
    nonsense = read_metadata({"task": "", "imgsz": "[0, 'x']", "license": "", "args": "{", "end2end": "maybe"})
    assert nonsense == NOTHING


@pytest.mark.parametrize("count", [80, 90, 91, 1000, 1001])
def test_knows_the_names_of_coco_and_imagenet(count: int) -> None:
    names = known_names(count)
    assert names is not None
    assert len(names) == count
    assert names[1 if count in (91, 1001) else 0] == ("person" if count < 1000 else "tench")
    assert known_names(count + 7) is None

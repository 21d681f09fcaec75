"""Derive from a graph how to prepare its pictures and how to read its outputs."""

import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.graph_guess import ImageInput, guess, image_input, label_names
from camiohookd.labelers.onnx.runner import Node

COCO = ("person", "bicycle", "", "car")
Shape = tuple[int | str | None, ...]


def node(*shape: int | str | None, name: str = "x", kind: str = "tensor(float)") -> Node:
    return Node(name, kind, shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 300, 400), ImageInput("x", "NCHW", 400, 300)),
        (("batch", 224, 192, 3), ImageInput("x", "NHWC", 192, 224)),
        (("batch", 3, "height", None), ImageInput("x", "NCHW", 640, 640)),
    ],
)
def test_reads_layout_and_size_from_the_input(shape: Shape, expected: ImageInput) -> None:
    assert image_input([node(*shape)]) == expected


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [node(1, 3, 9, 9), node(1, 3, 9, 9)],
        [node(1, 1, 9, 9)],
        [node(3, 9, 9)],
        [node(1, 3, 9, 9, kind="tensor(int64)")],
    ],
)
def test_refuses_an_input_that_is_not_a_picture(inputs: list[Node]) -> None:
    with pytest.raises(ModelError, match="supported"):
        image_input(inputs)


SQUARE = (416, 416)  # cells of 8, 16 and 32 pixels: 3549; with 64: 3598


@pytest.mark.parametrize(
    ("outputs", "decoder", "labels"),
    [
        ([node(1, 3549, 85)], "yolox", 80),
        ([node(1, 3598, 112)], "nanodet", 80),
        ([node(1, 84, 3549)], "yolo", 80),
        ([node("batch", 84, "anchors")], "yolo", 80),
        ([node(1, 300, 6)], "yolo", 0),
        ([node(1, 300, 80, name="logits"), node(1, 300, 4, name="pred_boxes")], "detr", 80),
        ([node(1, 100, 4, name="b"), node(1, 100, 92, name="c")], "detr", 92),
        ([node(1, 1917, 90, name="scores"), node(1, 1917, 4, name="boxes")], "ssd", 90),
        ([node(1, 1000)], "classify", 1000),
    ],
)
def test_derives_the_decoder_and_the_number_of_labels(outputs: list[Node], decoder: str, labels: int) -> None:
    contract = guess(outputs, SQUARE)
    assert (contract.decoder, contract.labels) == (decoder, labels)
    assert set(contract.outputs.values()) == {each.name for each in outputs}
    assert contract.task == ("classification" if decoder == "classify" else "detection")


def test_uses_the_requested_decoder_if_several_fit() -> None:
    outputs = [node(1, 3549, 112)]
    assert guess(outputs, SQUARE).decoder == "yolox"
    assert guess(outputs, SQUARE, "nanodet").options["strides"] == [8, 16, 32]


def test_names_outputs_that_no_decoder_reads() -> None:
    with pytest.raises(ModelError, match=r"outputs are x tensor\(float\) \[1, 2, 3, 4\], which fit none of"):
        guess([node(1, 2, 3, 4)], SQUARE)
    with pytest.raises(ModelError, match="which the decoder ssd cannot read"):
        guess([node(1, 3549, 85)], SQUARE, "ssd")


@pytest.mark.parametrize(
    ("count", "metadata", "expected"),
    [
        (2, {"names": "{0: 'bird', 1: 'cat'}"}, ("bird", "cat")),
        (2, {"names": "['bird', 'cat']"}, ("bird", "cat")),
        (3, {"names": "{0: 'bird', 1: 'cat'}"}, ("person", "bicycle", "car")),
        (3, {"names": "__import__('os')"}, ("person", "bicycle", "car")),
        (4, {}, COCO),
        (5, {}, ("", *COCO)),
        (2, {}, None),
    ],
)
def test_takes_label_names_from_the_exporter_or_coco(
    count: int, metadata: dict[str, str], expected: tuple[str, ...] | None
) -> None:
    assert label_names(count, metadata, COCO) == expected

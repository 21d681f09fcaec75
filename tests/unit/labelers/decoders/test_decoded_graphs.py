"""Run every decoder on a real graph, from model folder to detections, and every form of picture input."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, load_model_from_string, numpy_helper
from PIL import Image

from camiohookd.errors import ModelError
from camiohookd.labelers import Frame
from camiohookd.labelers.onnx.labeler import MAX_BATCH, open_onnx
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from tests.support.onnx_graphs import Array, Shape, constant_model, model_folder

LABELS = ["cat", "", "dog"]


def about(value: Any, abs: float | None = None) -> Any:  # noqa: A002  # pytest's own name
    """Return `pytest.approx`, typed so that mypy accepts comparisons with it."""
    return pytest.approx(value, abs=abs)


def rows(count: int, columns: int) -> Array:
    return np.zeros((1, count, columns), np.float32)


def look(folder: Path, width: int = 64, height: int = 32) -> list[Detection]:
    return open_onnx(folder).detect(Decoded(Image.new("RGB", (width, height)), width, height))


def test_ssd(tmp_path: Path) -> None:
    scores, boxes = rows(4, 3), rows(4, 4)
    scores[0, 1], boxes[0, 1] = (0.1, 0.9, 0.75), (0.25, 0.0, 0.5, 1.0)  # top, left, bottom, right
    model = constant_model({"class_prob": scores, "loc": boxes})
    names = {"scores": "class_prob", "boxes": "loc"}
    (found,) = look(model_folder(tmp_path, model, "ssd", LABELS, outputs=names))
    assert found == Detection("dog", 0.75, Box(0, 8, 64, 16))
    sides = {"box": "left-top-right-bottom"}
    (found,) = look(model_folder(tmp_path, model, "ssd", LABELS, outputs=names, options=sides))
    assert found.box == (16, 0, 32, 32)


def test_yolox(tmp_path: Path) -> None:
    output = rows(16 + 4 + 1, 5 + 3)
    output[0, 16 + 3] = (0.5, 0.0, math.log(0.5), math.log(1), 0.9, 0.1, 0.9, 0.8)  # x, y of the last cell of 16 pixels
    (found,) = look(model_folder(tmp_path, constant_model({"anything": output}), "yolox", LABELS))
    assert (found.label, found.probability) == ("dog", about(0.72))
    assert found.box == about((40, 8, 56, 24))


def test_yolo_with_raw_output(tmp_path: Path) -> None:
    output = rows(4 + 3, 20)
    output[0, :, 5] = (16, 8, 8, 4, 0.6, 0.9, 0.2)
    output[0, :, 6] = (16, 8, 8, 4, 0.55, 0.0, 0.0)  # the same box again
    (found,) = look(model_folder(tmp_path, constant_model({"output0": output}), "yolo", LABELS))
    assert found == Detection("cat", about(0.6), Box(24, 6, 40, 10))


def test_yolo_end_to_end(tmp_path: Path) -> None:
    output = rows(5, 6)
    output[0, :4] = (
        (2, 4, 12, 14, 0.7, 2),
        (2, 4, 12, 14, 0.65, 2),  # kept, because the model has already suppressed overlaps
        (0, 0, 9, 9, 0.9, 1),  # a label without a name
        (0, 0, 9, 9, 0.9, 7),  # no such label
    )
    folder = model_folder(tmp_path, constant_model({"o": output}), "yolo", LABELS, options={"end_to_end": True})
    assert [(each.label, each.box) for each in look(folder)] == [("dog", (4, 4, 24, 14))] * 2


@pytest.mark.parametrize(
    ("activation", "logits", "probability"),
    [
        ("sigmoid", (-5.0, 3.0, math.log(3)), 0.75),
        ("softmax", (-9.0, -9.0, math.log(3), 0.0), 0.75),
    ],
)
def test_detr(tmp_path: Path, activation: str, logits: tuple[float, ...], probability: float) -> None:
    scores, boxes = rows(6, len(logits)) - 9, rows(6, 4)
    scores[0, :, -1] = 9 if activation == "softmax" else -9
    scores[0, 4], boxes[0, 4] = logits, (0.5, 0.25, 0.5, 0.25)
    model = constant_model({"logits": scores, "pred_boxes": boxes})
    options, names = {"activation": activation}, {"boxes": "pred_boxes"}
    (found,) = look(model_folder(tmp_path, model, "detr", LABELS, options=options, outputs=names))
    assert (found.label, found.probability) == ("dog", about(probability, abs=1e-3))
    assert found.box == about((16, 4, 48, 12))


def test_nanodet(tmp_path: Path) -> None:
    output = rows(16 + 4 + 1 + 1, 3 + 4 * 8)
    output[0, 5, :3] = (0.8, 0.9, 0.1)  # the cell at (1, 1) of 8 pixels
    bins = output[0, 5, 3:].reshape(4, 8)
    bins[:] = -50
    bins[0, 1] = bins[1, 0] = bins[2, 2] = 50  # left, top, right: one bin each
    bins[3, 1] = bins[3, 2] = 50  # bottom: halfway between two bins
    (found,) = look(model_folder(tmp_path, constant_model({"out": output}), "nanodet", LABELS))
    assert found.label == "cat"
    assert found.box == about((0, 8, 48, 20))


@pytest.mark.parametrize(
    ("activation", "scores", "expected"),
    [
        ("softmax", (math.log(3), -20.0, 0.0), [("cat", 0.75)]),
        ("sigmoid", (math.log(3), 9.0, math.log(4)), [("dog", 0.8), ("cat", 0.75)]),
        ("none", (0.6, 0.9, 0.7), [("dog", 0.7), ("cat", 0.6)]),
    ],
)
def test_classify(tmp_path: Path, activation: str, scores: Any, expected: list[tuple[str, float]]) -> None:
    model = constant_model({"p": np.array([scores], np.float32)})
    folder = model_folder(tmp_path, model, "classify", LABELS, options={"activation": activation})
    found = look(folder)
    assert [(each.label, about(each.probability)) for each in found] == expected
    assert all(each.box is None for each in found)
    few = model_folder(tmp_path, model, "classify", LABELS, options={"activation": activation, "top_k": 1})
    assert [each.label for each in look(few)] == [expected[0][0]]


def test_drops_nan_values_and_boxes_over_the_limit(tmp_path: Path) -> None:
    scores, boxes = rows(5, 1), rows(5, 4)
    boxes[0] = (0, 0, 1, 1)
    scores[0, :, 0] = (0.9, 0.8, 0.7, 0.6, np.inf)
    boxes[0, 1] = np.nan
    boxes[0, 2] = (0.5, 0.5, 0.9, 0.9)
    boxes[0, 3] = (0.0, 0.0, 0.2, 0.2)
    model = constant_model({"scores": scores, "boxes": boxes})
    folder = model_folder(tmp_path, model, "ssd", ["cat"])
    assert [each.probability for each in look(folder)] == about([0.9, 0.7, 0.6])
    folder = model_folder(tmp_path, model, "ssd", ["cat"], thresholds={"score": 0.5, "iou": 0.6, "max_boxes": 2})
    assert [each.probability for each in look(folder)] == about([0.9, 0.7])


@pytest.mark.parametrize("options", [{"activation": "tanh"}, {"topk": 3}, {"top_k": 0}])
def test_names_a_wrong_option_of_a_decoder(tmp_path: Path, options: dict[str, Any]) -> None:
    model = constant_model({"p": rows(1, 3)[0]})
    with pytest.raises(
        ModelError, match=r"model\.toml: \[options\] of the decoder classify: .* options: activation, top"
    ):
        open_onnx(model_folder(tmp_path, model, "classify", LABELS, options=options))


def test_names_a_missing_output(tmp_path: Path) -> None:
    model = constant_model({"scores": rows(4, 3), "boxes": rows(4, 4)})
    with pytest.raises(ModelError, match=r"outputs are scores, boxes; model\.toml expects probs, boxes"):
        open_onnx(model_folder(tmp_path, model, "ssd", LABELS, outputs={"scores": "probs"}))
    with pytest.raises(ModelError, match=r"\[outputs\] names probs; the decoder reads scores, boxes"):
        open_onnx(model_folder(tmp_path, model, "ssd", LABELS, outputs={"probs": "scores"}))


# Picture input


def echo_frames(count: int) -> list[Frame]:
    """Return frames, each of a different gray."""
    return [
        Frame(Picture(f"t{nth}", b""), Decoded(Image.new("RGB", (8, 8), (nth, nth, nth)), 8, 8)) for nth in range(count)
    ]


@pytest.mark.parametrize(
    ("shape", "at_once"),
    [((1, 3, 32, 32), 1), ((4, 3, 32, 32), 4), (("batch", 3, 32, 32), MAX_BATCH), (("n", 3, "h", "w"), MAX_BATCH)],
)
def test_runs_an_events_pictures_as_one_batch_if_the_graph_allows(tmp_path: Path, shape: Shape, at_once: int) -> None:
    scores = np.array([[0.75, 0.0, 0.0]], np.float32)
    labeler = open_onnx(
        model_folder(
            tmp_path, constant_model({"p": scores}, shape=shape), "classify", LABELS, options={"activation": "none"}
        )
    )
    assert labeler.at_once == at_once
    runs: list[int] = []
    run = labeler._runner.run

    def counted(outputs: Any, feeds: Any) -> Any:
        runs.append(len(feeds["images"]))
        return run(outputs, feeds)

    labeler._runner.run = counted  # type: ignore[method-assign]  # counts the calls
    found = labeler.label(echo_frames(6)).pictures
    assert [[each.label for each in picture] for picture in found] == [["cat"]] * 6
    assert runs == {1: [1] * 6, 4: [4, 4], MAX_BATCH: [6]}[at_once]


def test_a_graph_that_only_declares_an_open_batch_gets_one_picture_at_a_time(tmp_path: Path) -> None:
    scores = np.array([[0.75, 0.0, 0.0]], np.float32)
    model = constant_model({"p": scores}, shape=("n", 3, 32, 32))
    assert open_onnx(model_folder(tmp_path / "good", model, "classify", LABELS)).at_once == MAX_BATCH
    # This graph declares an open batch, but always returns one row.
    spoilt = load_model_from_string(model)
    spoilt.graph.node.insert(0, helper.make_node("Identity", ["one row"], ["fixed axes"]))
    for node in spoilt.graph.node:
        if node.op_type == "Reshape":
            node.input[1] = "fixed axes"
    spoilt.graph.initializer.append(numpy_helper.from_array(np.array([1, 1], np.int64), "one row"))
    folder = model_folder(tmp_path / "spoilt", spoilt.SerializeToString(), "classify", LABELS)
    labeler = open_onnx(folder)
    assert labeler.at_once == 1
    assert len(labeler.label(echo_frames(3)).pictures) == 3


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_feeds_inputs_of_every_type_and_layout(tmp_path: Path, kind: int, layout: str) -> None:
    shape = (1, 3, 32, 32) if layout == "NCHW" else (1, 32, 32, 3)
    scores = np.array([[0.75, 0.0, 0.0]], np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    model = constant_model({"p": scores}, shape=shape, kind=kind)
    folder = model_folder(tmp_path, model, "classify", LABELS, input={"layout": layout}, options={"activation": "none"})
    assert look(folder) == [Detection("cat", 0.75, None)]


def test_refuses_a_byte_input_with_a_fractional_range(tmp_path: Path) -> None:
    model = constant_model({"p": rows(1, 3)[0]}, kind=TensorProto.UINT8)
    with pytest.raises(ModelError, match=r"takes bytes \(tensor\(uint8\)\): range must be 0\.\.255"):
        open_onnx(model_folder(tmp_path, model, "classify", LABELS, input={"range": "0..1"}))


def test_reports_an_unsupported_operator_in_one_line(tmp_path: Path) -> None:
    model = constant_model({"p": rows(1, 3)[0]}).replace(b"ReduceMean", b"ReduceMood")
    with pytest.raises(ModelError, match="ReduceMood") as error:
        open_onnx(model_folder(tmp_path, model, "classify", LABELS))
    assert "\n" not in str(error.value)

"""`camiohookd models add` with models in the forms that exporters give them: each is used as it was meant."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, external_data_helper, helper, load_model_from_string, numpy_helper
from PIL import Image

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.model import ModelDescription, load_description
from camiohookd.labelers.onnx.contract import IMAGENET
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from tests.support.onnx_graphs import Array, constant_model
from tests.support.terminal import Terminal

NAMES = {"names": "{0: 'cat', 1: 'dog'}"}

Errors = Callable[[], str]


@pytest.fixture
def errors(capfd: pytest.CaptureFixture[str]) -> Errors:
    """Return what was printed on standard error since the last call."""
    return lambda: capfd.readouterr().err


class Folder:
    """Where models are added: `add` runs the command, `found` labels a picture of 64 x 32 pixels."""

    def __init__(self, path: Path) -> None:
        self.file = path / "model.onnx"
        self.added = path / "models" / "model"

    def try_to_add(self, model: bytes, *options: str) -> int:
        self.file.write_bytes(model)
        return run(["models", "add", str(self.file), "--into", str(self.added.parent), *options])

    def add(self, model: bytes, *options: str) -> ModelDescription:
        assert self.try_to_add(model, *options) == ExitStatus.FINE
        return load_description(self.added)

    def found(self, least: float = 0.4) -> list[Detection]:
        return open_onnx(self.added).detect(Decoded(Image.new("RGB", (64, 32)), 64, 32), least)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def about(value: Any) -> Any:
    return pytest.approx(value, abs=1e-3)


def rows(count: int, columns: int) -> Array:
    return np.zeros((1, count, columns), np.float32)


def names_file(tmp_path: Path, *names: str) -> str:
    file = tmp_path / "names.txt"
    file.write_text("".join(f"{name}\n" for name in names))
    return str(file)


# Detectors with a value for each place


@pytest.mark.parametrize("count", [1050, 300])
def test_yolov5_with_one_label_is_not_taken_for_end_to_end(folder: Folder, count: int) -> None:
    output = rows(count, 6)
    output[0, :, :] = (4, 4, 2, 2, 0.01, 0.999)
    output[0, 7] = (16, 16, 8, 4, 0.9, 0.8)  # center and size in the 32 x 32 pixels of the input
    description = folder.add(constant_model({"output0": output}, metadata={"names": "['plate']"}))
    assert description.options == {"objectness": True}
    assert folder.found() == [Detection("plate", about(0.72), about((24, 12, 40, 20)))]


def test_yolov5_with_several_labels_multiplies_objectness_and_label(folder: Folder) -> None:
    output = rows(1050, 7)
    output[0, 7] = (16, 16, 8, 4, 0.9, 0.1, 0.8)
    description = folder.add(constant_model({"output0": output}, metadata=NAMES))
    assert (description.decoder, description.input.range) == ("yolo", "0..1")
    assert folder.found() == [Detection("dog", about(0.72), about((24, 12, 40, 20)))]


def test_yolox_with_its_decoding_inside(folder: Folder) -> None:
    output = rows(16 + 4 + 1, 5 + 2)
    output[0, :, 2:4] = 20
    output[0, 3] = (8, 8, 200, 4, 0.9, 0.1, 0.8)
    description = folder.add(constant_model({"output": output}, metadata=NAMES))
    assert (description.decoder, description.options) == ("yolox", {"decoded": True})
    assert folder.found() == [Detection("dog", about(0.72), about((0, 12, 64, 20)))]


def test_yolox_without_its_decoding_stays_right(folder: Folder) -> None:
    output = rows(16 + 4 + 1, 5 + 2)
    output[0, 16 + 3] = (0.5, 0.0, math.log(0.5), math.log(1), 0.9, 0.9, 0.8)
    assert folder.add(constant_model({"output": output}, metadata=NAMES)).options == {}
    assert folder.found()[0].box == about((40, 16, 56, 32))


@pytest.mark.parametrize("metadata", [{}, {"end2end": "True"}, {"args": "{'nms': True}"}])
def test_end_to_end_takes_its_names_from_the_metadata(folder: Folder, metadata: dict[str, str]) -> None:
    output = rows(300, 6)
    output[0, 0] = (8, 10, 24, 22, 0.9, 1)
    description = folder.add(constant_model({"output0": output}, metadata=NAMES | metadata))
    assert (description.labels, description.options) == (("cat", "dog"), {"end_to_end": True})
    assert folder.found() == [Detection("dog", about(0.9), about((16, 4, 48, 28)))]


@pytest.mark.parametrize("metadata", [{}, {"head": "RTDETRDecoder"}])
def test_rt_detr_of_ultralytics_has_centers_in_fractions(folder: Folder, metadata: dict[str, str]) -> None:
    output = rows(300, 6)
    output[0, 0] = (0.75, 0.5, 0.25, 0.5, 0.9, 1)
    description = folder.add(constant_model({"output0": output}, metadata=NAMES | metadata))
    assert (description.options, description.input.resize) == ({"end_to_end": True, "fractions": True}, "stretch")
    assert folder.found() == [Detection("dog", about(0.9), about((40, 8, 56, 24)))]


def test_end_to_end_without_names_asks_for_them(folder: Folder, errors: Errors) -> None:
    assert folder.try_to_add(constant_model({"output0": rows(300, 6)})) == ExitStatus.CONFIG
    assert "the model's file does not name its labels; give them with --labels FILE" in errors()
    assert len(folder.add(constant_model({"output0": rows(300, 6)}), "--labels", "coco").labels) == 80


def test_boxes_and_labels_of_a_segmenting_model_are_used(folder: Folder) -> None:
    output, masks = rows(4 + 2 + 32, 1344), np.zeros((1, 32, 8, 8), np.float32)
    output[0, 6:] = -3.0
    output[0, :6, 7] = (16, 16, 8, 4, 0.1, 0.8)
    model = constant_model({"output0": output, "output1": masks}, metadata=NAMES | {"task": "segment"})
    assert folder.add(model).options == {"masks": 32}
    assert folder.found() == [Detection("dog", about(0.8), about((24, 12, 40, 20)))]


@pytest.mark.parametrize(("task", "words"), [("pose", "the joints of a body"), ("obb", "rotated boxes")])
def test_pose_and_rotated_boxes_are_refused_in_words(folder: Folder, errors: Errors, task: str, words: str) -> None:
    model = constant_model({"output0": rows(56, 1344)}, metadata={"task": task, "names": "{0: 'person'}"})
    assert folder.try_to_add(model) == ExitStatus.CONFIG
    assert words in errors()


def test_values_that_are_no_probabilities_are_not_taken_for_labels(folder: Folder, errors: Errors) -> None:
    output = rows(56, 1344)
    output[0, 5:] = 300.0  # a joint's place
    assert folder.try_to_add(constant_model({"output0": output})) == ExitStatus.CONFIG
    assert "reach 300 and are no probabilities: it may be a pose model" in errors()
    assert not folder.added.exists()


@pytest.mark.parametrize(
    ("prefix", "strides", "offset", "mean"),
    [
        ("cls", (8, 16, 32), 0.5, 103.53),
        ("save_infer_model/scale", (8, 16, 32, 64), 0.5, 0.485),
    ],
)
def test_nanodet_and_picodet_with_outputs_for_each_grid(
    folder: Folder, prefix: str, strides: tuple[int, ...], offset: float, mean: float
) -> None:
    outputs = {}
    for stride in strides:
        cells = (-(-64 // stride)) ** 2
        outputs[f"{prefix} {stride}"] = rows(cells, 2)
        outputs[f"{prefix} sides {stride}"] = np.full((1, cells, 32), -50, np.float32)
    outputs[f"{prefix} 16"][0, 5] = (0.1, 0.8)  # the cell at (1, 1) of 16 pixels
    outputs[f"{prefix} sides 16"].reshape(1, -1, 4, 8)[0, 5, :, 1] = 50  # each side one cell away
    description = folder.add(constant_model(outputs, shape=(1, 3, 64, 64), metadata=NAMES))
    assert description.options["offset"] == offset
    assert description.input.mean[0] == mean
    assert folder.found() == [Detection("dog", about(0.8), about((8, 4, 40, 20)))]


def test_detr_with_no_object_gets_imagenets_mean(folder: Folder) -> None:
    logits, boxes = rows(100, 92), rows(100, 4)
    logits[0, :, 91] = 9
    logits[0, 3, (17, 91)] = (9, 0)  # COCO's id 17
    boxes[0, 3] = (0.5, 0.5, 0.25, 0.5)
    description = folder.add(constant_model({"logits": logits, "pred_boxes": boxes}))
    assert (description.options, len(description.labels)) == ({"activation": "softmax"}, 91)
    assert list(description.input.mean) == IMAGENET["mean"]
    (found,) = folder.found()
    assert (found.label, found.box) == ("cat", about((24, 8, 40, 24)))


def test_rf_detr_gets_imagenets_mean_and_rt_detr_none(folder: Folder) -> None:
    boxes, logits = rows(300, 4), rows(300, 91) - 5
    description = folder.add(constant_model({"dets": boxes, "labels": logits}))
    assert (description.decoder, list(description.input.std)) == ("detr", IMAGENET["std"])
    description = folder.add(constant_model({"logits": logits[:, :, :80], "pred_boxes": boxes}))
    assert (description.decoder, description.input.std) == ("detr", (1, 1, 1))


def test_transformers_exports_leave_all_sides_open_and_return_layers_too(folder: Folder) -> None:
    logits, boxes = rows(100, 92), rows(100, 4)
    logits[0, :, 91] = 9
    logits[0, 3, (17, 91)] = (9, -9)
    boxes[0, 3] = (0.5, 0.5, 0.25, 0.5)
    outputs = {"logits": logits, "pred_boxes": boxes, "last_hidden_state": rows(100, 256)}
    model = constant_model(outputs | {"encoder_last_hidden_state": rows(50, 256)}, shape=("n", "c", "h", "w"))
    assert folder.add(model, "--size", "320x320").outputs == {"logits": "logits", "boxes": "pred_boxes"}
    assert [(each.label, each.box) for each in folder.found()] == [("cat", about((24, 8, 40, 24)))]


def test_an_untrained_detr_is_read_by_the_number_of_names(folder: Folder, tmp_path: Path, errors: Errors) -> None:
    logits, boxes = rows(100, 4), rows(100, 4)
    logits[0, :, :] = (1.0, 0.5, 0.2, 0.1)  # no query says "nothing", and none says so by low values
    model = constant_model({"logits": logits, "pred_boxes": boxes})
    assert folder.try_to_add(model) == ExitStatus.CONFIG
    assert "choose how to read the model's outputs" in errors()
    description = folder.add(model, "--labels", names_file(tmp_path, "a", "b", "c"))
    assert (description.options, list(description.input.mean)) == ({"activation": "softmax"}, IMAGENET["mean"])
    description = folder.add(model, "--labels", names_file(tmp_path, "a", "b", "c", "d"))
    assert (description.options, description.input.mean) == ({}, (0, 0, 0))
    coco = rows(100, 92)  # 91 names with the background's, and one for no object
    description = folder.add(constant_model({"logits": coco, "pred_boxes": boxes}))
    assert (len(description.labels), list(description.input.mean)) == (91, IMAGENET["mean"])


# Detectors that list finished boxes


@pytest.mark.parametrize("name", ["scale_factor", "im_shape"])
def test_paddles_other_inputs_are_given(folder: Folder, name: str) -> None:
    found = np.array([[1, 0.8, 8, 8, 16, 24], [0, 0.3, 0, 0, 9, 9], [-1, 0.9, 0, 0, 9, 9]], np.float32)
    model = constant_model(
        {"nms": found, "count": np.array([3], np.int32)},
        others={name: TensorProto.FLOAT},
        batched=False,
        metadata=NAMES,
    )
    description = folder.add(model)
    assert description.constants == {name: (1, 1) if name == "scale_factor" else (32, 32)}
    assert folder.found() == [Detection("dog", about(0.8), about((16, 8, 32, 24)))]


def test_rt_detr_of_its_authors_is_told_the_size_of_the_input(folder: Folder) -> None:
    labels, boxes, scores = np.zeros((1, 300), np.int64), rows(300, 4), rows(300, 1)[..., 0]
    labels[0, 5], boxes[0, 5], scores[0, 5] = 1, (8, 8, 16, 24), 0.8
    model = constant_model(
        {"labels": labels, "boxes": boxes, "scores": scores},
        others={"orig_target_sizes": TensorProto.INT64},
        metadata=NAMES,
    )
    assert folder.add(model).constants == {"orig_target_sizes": (32, 32)}
    assert folder.found() == [Detection("dog", about(0.8), about((16, 8, 32, 24)))]


def test_tensorflow_object_detection(folder: Folder, tmp_path: Path) -> None:
    boxes, classes, scores = rows(100, 4), rows(100, 1)[..., 0], rows(100, 1)[..., 0]
    boxes[0, 0], classes[0, 0], scores[0, 0] = (0.25, 0.25, 0.75, 0.5), 2, 0.8  # top, left, bottom, right
    model = constant_model(
        {
            "detection_boxes:0": boxes,
            "detection_classes:0": classes,
            "detection_scores:0": scores,
            "num_detections:0": np.array([1], np.float32),
        },
        shape=(1, "h", "w", 3),
        kind=TensorProto.UINT8,
    )
    description = folder.add(model, "--labels", names_file(tmp_path, "cat", "dog"), "--size", "320x320")
    assert (description.decoder, description.input.layout, description.input.width) == ("tf_od", "NHWC", 320)
    assert folder.found() == [Detection("dog", about(0.8), about((16, 8, 32, 24)))]
    assert folder.add(model, "--labels", "coco").labels[16] == "cat"


def test_torchvision(folder: Folder, tmp_path: Path) -> None:
    found: dict[str, Array] = {
        "boxes": np.array([[8, 8, 16, 24], [0, 0, 9, 9]], np.float32),
        "labels": np.array([2, 0], np.int64),  # 0 is the background
        "scores": np.array([0.8, 0.9], np.float32),
    }
    model = constant_model(found, shape=(3, 32, 32), batched=False)
    description = folder.add(model, "--labels", names_file(tmp_path, "cat", "dog"))
    assert (description.decoder, description.input.layout) == ("torchvision", "CHW")
    assert folder.found() == [Detection("dog", about(0.8), about((16, 16, 32, 32)))]
    nothing = {name: value[:0] for name, value in found.items()}
    folder.add(constant_model(nothing, shape=(3, 32, 32), batched=False), "--labels", "coco")
    assert folder.found() == []


# Classifiers


def test_a_classifier_that_ends_in_softmax_keeps_its_probabilities(folder: Folder) -> None:
    folder.add(constant_model({"p": np.array([[0.02, 0.98]], np.float32)}, metadata=NAMES))
    assert [(each.label, each.probability) for each in folder.found()] == [("dog", about(0.98))]


def test_ultralytics_classifier_gets_no_mean(folder: Folder) -> None:
    model = constant_model({"p": np.array([[0.02, 0.98]], np.float32)}, metadata=NAMES | {"task": "classify"})
    description = folder.add(model)
    assert (description.input.mean, description.input.std, description.input.range) == ((0,) * 3, (1,) * 3, "0..1")


@pytest.mark.parametrize(("value", "probability"), [(0.3, 0.3), (-1.0, 1 / (1 + math.e))])
def test_a_classifier_with_one_output(
    folder: Folder, tmp_path: Path, errors: Errors, value: float, probability: float
) -> None:
    model = constant_model({"p": np.array([[value]], np.float32)})
    assert folder.try_to_add(model) == ExitStatus.CONFIG
    assert "give them with --labels" in errors()
    folder.add(model, "--labels", names_file(tmp_path, "closed", "open"))
    found = [(each.label, each.probability) for each in folder.found(0.1)]
    assert found == [("closed", about(1 - probability)), ("open", about(probability))]
    folder.add(model, "--labels", names_file(tmp_path, "open"))
    assert [(each.label, each.probability) for each in folder.found(0.1)] == [("open", about(probability))]
    assert folder.try_to_add(model, "--labels", names_file(tmp_path, "a", "b", "c")) == ExitStatus.CONFIG
    assert "one output tells one or two labels apart, not 3" in errors()


def test_two_readings_are_shown_and_asked_for(folder: Folder, errors: Errors) -> None:
    model = constant_model({"p": np.array([[0.3, 0.9]], np.float32)}, metadata=NAMES)
    assert folder.try_to_add(model) == ExitStatus.CONFIG
    shown = errors()
    assert "  1  a classifier whose outputs are probabilities that do not exclude each other" in shown
    assert "in the picture: dog 0.90, cat 0.30" in shown
    assert "in the picture: dog 0.65, cat 0.35" in shown
    assert "choose how to read the model's outputs: --reading 1 to 2" in shown
    assert folder.add(model, "--reading", "2").options == {"activation": "softmax"}
    assert folder.try_to_add(model, "--reading", "3") == ExitStatus.USAGE
    assert "there are 2 ways to read the outputs" in errors()


def test_on_a_terminal_the_owner_is_asked_which_reading_is_right(folder: Folder) -> None:
    folder.file.write_bytes(constant_model({"p": np.array([[0.3, 0.9]], np.float32)}, metadata=NAMES))
    arguments = ["models", "add", str(folder.file), "--into", str(folder.added.parent)]
    with Terminal(arguments, os.environ) as terminal:
        terminal.answer("Which one is right?", "3")
        terminal.answer("Which one is right?", "2")
        assert terminal.end() == 0
    assert load_description(folder.added).options == {"activation": "softmax"}


def test_imagenets_names_are_known(folder: Folder) -> None:
    output = np.zeros((1, 1000), np.float32)
    output[0, 281] = 20.0
    folder.add(constant_model({"logits": output}))
    assert [each.label for each in folder.found()] == ["tabby"]


# Files


def test_a_dynamic_export_uses_the_size_and_the_license_in_its_metadata(folder: Folder) -> None:
    metadata = NAMES | {"imgsz": "[320, 416]", "license": "AGPL-3.0 License (https://ultralytics.com/license)"}
    description = folder.add(constant_model({"o": rows(6, 1344)}, shape=("n", 3, "h", "w"), metadata=metadata))
    assert (description.input.width, description.input.height, description.licence) == (416, 320, "AGPL-3.0")


def test_constants_that_are_listed_as_inputs_are_removed_from_the_inputs(folder: Folder) -> None:
    model = load_model_from_string(constant_model({"p": np.array([[0.1, 0.9]], np.float32)}, metadata=NAMES))
    for constant in model.graph.initializer:
        shape = list(constant.dims)
        model.graph.input.append(helper.make_tensor_value_info(constant.name, constant.data_type, shape))
    folder.add(model.SerializeToString(), "--reading", "1")
    added = load_model_from_string((folder.added / "model.onnx").read_bytes())
    assert [each.name for each in added.graph.input] == ["images"]
    assert len(added.graph.initializer) == len(model.graph.initializer)
    assert folder.found()[0].label == "dog"


def test_the_oldest_files_keep_their_constants_among_the_inputs(folder: Folder) -> None:
    model = load_model_from_string(constant_model({"p": np.array([[0.1, 0.9]], np.float32)}, metadata=NAMES))
    model.ir_version, model.opset_import[0].version = 3, 17
    for node in model.graph.node:
        if node.op_type == "ReduceMean":  # which got its axes as an input in opset 18
            node.input.pop()
            node.attribute.append(helper.make_attribute("axes", [1, 2, 3]))
    for constant in model.graph.initializer:
        shape = list(constant.dims)
        model.graph.input.append(helper.make_tensor_value_info(constant.name, constant.data_type, shape))
    folder.add(model.SerializeToString(), "--reading", "1")
    assert folder.found()[0].label == "dog"


def test_weights_in_another_file_are_put_into_the_models_own(folder: Folder, tmp_path: Path, errors: Errors) -> None:
    model = load_model_from_string(constant_model({"p": np.array([[0.0, 5.0, 1.0]], np.float32)}))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        external_data_helper.set_external_data(tensor, "model.onnx.data")
    external_data_helper.write_external_data_tensors(model, str(tmp_path))
    data = model.SerializeToString()
    folder.add(data, "--labels", names_file(tmp_path, "cat", "dog", "bird"))
    assert folder.found()[0].label == "dog"
    (tmp_path / "model.onnx.data").write_bytes(b"")
    assert folder.try_to_add(data) == ExitStatus.CONFIG
    assert "its weights are in model.onnx.data, which is too short" in errors()
    (tmp_path / "model.onnx.data").unlink()
    assert folder.try_to_add(data) == ExitStatus.CONFIG
    assert "its weights are in model.onnx.data, which cannot be read: No such file" in errors()
    assert folder.try_to_add(data.replace(b"model.onnx.data", b"../../etc/passw")) == ExitStatus.CONFIG
    assert "outside its folder; put both into one folder" in errors()


def test_half_precision(folder: Folder) -> None:
    output = rows(6, 1344).astype(np.float16)
    output[0, :, 7] = (16, 16, 8, 4, 0.1, 0.8)
    folder.add(constant_model({"o": output}, kind=TensorProto.FLOAT16, metadata=NAMES))
    assert folder.found() == [Detection("dog", about(0.8), about((24, 12, 40, 20)))]


def test_an_encrypted_file_is_refused_in_one_line(folder: Folder, errors: Errors) -> None:
    noise = np.random.default_rng(7).bytes(4096)
    assert folder.try_to_add(noise) == ExitStatus.CONFIG
    assert "the file is damaged, encrypted, or no ONNX file" in (line := errors())
    assert line.count("\n") == 1


def test_a_file_of_more_than_2_gb_is_refused_before_it_is_read(folder: Folder, errors: Errors) -> None:
    with folder.file.open("wb") as file:
        file.truncate(2**31)
    assert run(["models", "add", str(folder.file)]) == ExitStatus.CONFIG
    assert "the file has 2.1 GB; no ONNX file has more than 2 GB" in errors()


# --size


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (4, 3, 32, 32), ("n", 3, 32, 32), (1, 32, 32, 3)])
def test_the_size_of_a_fixed_graph_is_changed_if_the_graph_allows(folder: Folder, shape: tuple[int | str, ...]) -> None:
    output = rows(6, 1344)
    output[0, :, 7] = (32, 16, 8, 4, 0.1, 0.8)
    description = folder.add(constant_model({"o": output}, shape=shape, metadata=NAMES), "--size", "64x32")
    assert (description.input.width, description.input.height) == (64, 32)
    assert folder.found() == [Detection("dog", about(0.8), about((28, 14, 36, 18)))]


def test_the_size_has_to_fit_the_stride_in_the_metadata(folder: Folder, errors: Errors) -> None:
    model = constant_model({"o": rows(6, 1344)}, shape=("n", 3, "h", "w"), metadata=NAMES | {"stride": "32"})
    assert folder.try_to_add(model, "--size", "416x250") == ExitStatus.CONFIG
    assert "have to be multiples of 32, not 416x250" in errors()
    assert folder.add(model, "--size", "416x256").input.height == 256


def test_a_graph_that_does_not_allow_the_size_is_refused_in_words(folder: Folder, errors: Errors) -> None:
    nodes = [
        helper.make_node("Reshape", ["images", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["p"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 3 * 32 * 32], np.int64), "flat"),
        numpy_helper.from_array(np.ones((3 * 32 * 32, 2), np.float32), "weights"),
    ]
    pictures = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    scores = helper.make_tensor_value_info("p", TensorProto.FLOAT, [1, 2])
    model = helper.make_model(
        helper.make_graph(nodes, "flat", [pictures], [scores], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    helper.set_model_props(model, NAMES)
    folder.add(model.SerializeToString())
    assert folder.try_to_add(model.SerializeToString(), "--size", "64x32") == ExitStatus.CONFIG
    assert "leave out --size" in errors()
    assert load_description(folder.added).input.width == 32

"""Each decoder and the suppression after it, on recorded outputs, compared with one `session.run` of its model.

The outputs of SSDLite and (if its file is there) YOLOX-Nano are recorded from the models on a photograph. For the
others there is no model that may be used: their outputs are made up, with the shapes and number of objects of real
ones, and the run is a stack of dense convolutions with the published number of multiplications. Such a stack runs
faster than the real model, which has more and smaller layers, so the comparison is strict.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints
from numpy.typing import NDArray

from camiohookd.labelers.decoders import Decoder, decoder, suppress
from camiohookd.labelers.model import Input, load_description
from camiohookd.labelers.onnx.tensors import tensor
from camiohookd.pictures.decode import PictureLimits, decode
from tests.bench import rig
from tests.bench.bare_labels import MODEL, session
from tests.bench.harness import Bench, Result, alternate, at_most, result
from tests.bench.pictures import jpegs

Floats = NDArray[np.float32]
YOLOX = rig.ROOT.parent / "shared/models/yolox_nano_416_coco.onnx"
OVERLAP = 0.6
OBJECTS = 40
"""Rows of a made-up output that are above the least probability: some boxes of each of a handful of objects."""
LABELS = [f"label {number}" for number in range(80)]


@dataclass(frozen=True, slots=True)
class Model:
    """One row: a decoder with its `options`, the input's (width, height), outputs for one picture, and a model run."""

    decoder: str
    source: str
    size: tuple[int, int]
    labels: Sequence[str]
    outputs: Sequence[Floats]
    run: Callable[[], object]
    options: dict[str, Any] = field(default_factory=dict)
    score: float = 0.4


def run(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(0.3, 0.02)
    for model in (ssd(), yolox(), yolo(), yolov5(), detr(), nanodet(), picodet(), classify()):
        decoding = decoder(model.decoder, model.size, model.labels, model.options)
        ours = partial(decoded, decoding, model)
        times = alternate({"ours": partial(per_call, ours, seconds), "run": partial(per_call, model.run, seconds)})
        metric = f"{model.decoder}, against {model.source}"
        target = at_most(0.10, 0.03)
        yield result("decode", metric, 1000 * times["ours"], "ms", baseline=1000 * times["run"], target=target)


def decoded(decoding: Decoder, model: Model) -> None:
    found = decoding(model.outputs, model.score).finite()
    if not decoding.separate:
        suppress(found, OVERLAP)


def per_call(work: Callable[[], object], seconds: float) -> float:
    """Return the seconds of one call, averaged over `seconds`."""
    started = time.perf_counter()
    for count in itertools.count(1):
        work()
        if (spent := time.perf_counter() - started) >= seconds:
            return spent / count
    raise AssertionError


def ssd() -> Model:
    description = load_description(MODEL.parent)
    runs = session(1)
    batch = _photograph(description.input)
    scores, boxes = (np.asarray(output)[0] for output in runs.run(["scores", "boxes"], {"images": batch}))
    return Model(
        "ssd",
        "SSDLite-MobileNetV2 int8",
        (300, 300),
        description.labels,
        [scores, boxes],
        lambda: runs.run(None, {"images": batch}),
        score=description.thresholds.score,
    )


def yolox() -> Model:
    if not YOLOX.exists():
        rows = _rows(3549, range(5, 85), 85, 0.01)
        rows[:, 4] = 0.9
        return Model("yolox", _stack_name(1.08), (416, 416), LABELS, [rows], _stack(416, 1.08))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    runs = ort.InferenceSession(YOLOX.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = runs.get_inputs()[0].name
    batch = _photograph(Input(name=name, width=416, height=416, color_order="BGR", range="0..255", resize="letterbox"))
    (rows,) = (np.asarray(output)[0] for output in runs.run(None, {name: batch}))
    return Model("yolox", "YOLOX-Nano", (416, 416), LABELS, [rows], lambda: runs.run(None, {name: batch}))


def yolo() -> Model:
    rows = _rows(8400, range(4, 84), 84, 0.01)
    rows[:, :4] = np.random.default_rng(2).uniform(50, 500, (8400, 4))
    return Model("yolo", _stack_name(8.7, "YOLOv8n"), (640, 640), LABELS, [rows.T.copy()], _stack(640, 8.7))


def yolov5() -> Model:
    rows = _rows(25200, range(5, 85), 85, 0.01)
    rows[:, :4] = np.random.default_rng(2).uniform(50, 500, (25200, 4))
    rows[:, 4] = np.where(rows[:, 5:].max(axis=1) > 0.5, 0.9, 0.01)
    options = {"objectness": True}
    return Model("yolo", _stack_name(4.5, "YOLOv5n"), (640, 640), LABELS, [rows], _stack(640, 4.5), options)


def detr() -> Model:
    logits = _rows(300, range(80), 80, -5.0)
    boxes = np.full((300, 4), 0.25, np.float32)
    return Model("detr", _stack_name(60, "RT-DETR-R18"), (640, 640), LABELS, [logits, boxes], _stack(640, 60))


def nanodet() -> Model:
    rows = np.concatenate([_rows(3598, range(80), 80, 0.01), np.ones((3598, 32), np.float32)], axis=1)
    return Model("nanodet", _stack_name(1.52, "NanoDet-Plus-m"), (416, 416), LABELS, [rows], _stack(416, 1.52))


def picodet() -> Model:
    cells = [(-(-416 // stride)) ** 2 for stride in (8, 16, 32, 64)]
    joined = np.split(_rows(sum(cells), range(80), 80, 0.01), np.cumsum(cells)[:-1])
    outputs = [*joined, *(np.ones((count, 32), np.float32) for count in cells)]
    options = {"joined": False, "offset": 0.5}
    return Model("nanodet", _stack_name(2.5, "PicoDet-S"), (416, 416), LABELS, outputs, _stack(416, 2.5), options)


def classify() -> Model:
    labels = [f"label {number}" for number in range(1000)]
    logits = _rows(1, range(1000), 1000, -5.0)[0]
    return Model("classify", _stack_name(0.6, "MobileNetV2"), (224, 224), labels, [logits], _stack(224, 0.6), score=0.1)


def _photograph(wanted: Input) -> NDArray[Any]:
    picture = decode(jpegs(640, 480)[3], PictureLimits(), (wanted.width, wanted.height))
    return tensor([picture.image], wanted)


def _rows(count: int, labels: range, columns: int, background: float) -> Floats:
    """Return noise around `background`, with some rows in which one of the `labels` (columns) is probable."""
    noise = np.random.default_rng(1)
    rows = (background * (1 + noise.random((count, columns)))).astype(np.float32)
    likely = noise.choice(count, min(OBJECTS, count), replace=False)
    rows[likely, noise.integers(labels.start, labels.stop, len(likely))] = 0.9
    return rows


def _stack_name(giga: float, of: str = "YOLOX-Nano") -> str:
    return f"{giga:g} GFLOP, as {of}"


def _stack(side: int, giga: float) -> Callable[[], object]:
    """Return a run of 3x3 convolutions, 64 channels, an eighth of each side, `giga` * 10^9 operations in total."""
    from onnx import TensorProto, helper, numpy_helper

    channels, cells = 64, (side // 8) ** 2
    layers = max(1, round(giga * 1e9 / (2 * 9 * channels * channels * cells)))
    noise = np.random.default_rng(1)
    nodes, weights, last = [], [], "images"
    for number, (inputs, kernel, stride) in enumerate([(3, 8, 8), *[(channels, 3, 1)] * layers]):
        kernels = noise.standard_normal((channels, inputs, kernel, kernel)).astype(np.float32) / 24
        weights.append(numpy_helper.from_array(kernels, f"w{number}"))
        pads = [(kernel - stride) // 2] * 4
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], strides=[stride] * 2, pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last = f"r{number}"
    pictures = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "stack", [pictures], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    runs = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batch = np.zeros((1, 3, side, side), np.float32)
    return lambda: runs.run(None, {"images": batch})

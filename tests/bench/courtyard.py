"""Measure how well persons are found in a courtyard (one fixed camera), and how often the model runs.

The 20 pictures of ../shared/courtyard are given as 5 events of 4, at score 0.4 and IoU 0.5. The shipped model's false
persons are boxes at people that miss them, or second boxes of a person. YOLOX-Nano takes a sign for a person in nearly
all pictures: its rows measure `static = "drop"` on a real object.
"""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from camiohookd.config.detail import Detail, Looking, Static
from camiohookd.config.rule import Rule
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.detail.labeler import Detailed
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.labelers.onnx.open import open_configured
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from tests.bench.harness import Bench, Result, Target, at_least, at_most, result
from tests.support.box_accuracy import COURTYARD, SHARED, Counted, counted
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
YOLOX = SHARED / "models/yolox_nano_416_coco.onnx"
SCORE = 0.4
SHOWN_SCORE = 0.1
"""The lowest score of the detections that the daemon asks for, because the status page shows them."""

IOU = 0.5
PERSON, STATUE = (641, 240, 681, 321), (60, 300)
"""A person in the first picture: left, top, right, bottom in pixels; and left and top of its copy, the statue."""

EVENT_PICTURES = 4
DETAILS: tuple[Detail, ...] = ("whole", "2x2", "3x3", "auto")
FALSE, FALSE_WITHOUT_STATIC = at_most(22, 8), at_most(8, 4)

DESCRIPTION = """task = "detection"
decoder = "yolox"
file = "{file}"
sha256 = "{sha256}"
licence = "Apache-2.0"
source = "https://github.com/Megvii-BaseDetection/YOLOX"
labels = {labels}
[input]
name = "images"
width = 416
height = 416
color_order = "BGR"
range = "0..255"
resize = "letterbox"
padding = 114
[thresholds]
score = 0.4
iou = 0.45
"""


class Detected(NamedTuple):
    """What was found in each of the courtyard's pictures, by the name of its file, and how often the model ran."""

    found: dict[str, Sequence[Detection]]
    runs: int


def shipped() -> OnnxLabeler:
    """Open the model of the package as the daemon does on a box without an accelerator."""
    labeler, _ = open_configured(SHIPPED, device="cpu", on_degraded=print)
    return labeler


class Counting:
    """Counts in how many pictures or tiles a labeler looks."""

    def __init__(self, labeler: OnnxLabeler) -> None:
        self._labeler = labeler
        self.device, self.at_once = labeler.device, labeler.at_once
        self.input_size, self.default_probability = labeler.input_size, labeler.default_probability
        self.decode_size, self.close = labeler.decode_size, labeler.close
        self.runs = 0

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.runs += len(frames)
        return self._labeler.label(frames, request)


def run(bench: Bench) -> Iterator[Result]:
    if not COURTYARD.is_dir():
        print(f"NOT MEASURED: courtyard, because {COURTYARD} is not there", file=sys.stderr, flush=True)
        return
    labeler = shipped()
    yield from details(labeler)
    yield from statues(labeler)
    yield from sign(bench.place("yolox"))


def details(labeler: OnnxLabeler) -> Iterator[Result]:
    """Look as closely as each detail says; then leave out what always stands there, learned within the sequence."""
    recalls: dict[Detail, float] = {"whole": 0.71, "2x2": 0.86, "3x3": 0.88, "auto": 0.86}
    most = 0
    for detail in DETAILS:
        looked = sequence(labeler, detail)
        outcome = counted(looked.found, COURTYARD, SCORE)
        yield _row(f"{detail}: persons found", outcome.recall, target=at_least(recalls[detail], 0.9))
        yield from _false(detail, outcome, FALSE)
        runs = at_most(0.6, 0.5) if detail == "auto" else None
        yield _row(f"{detail}: model runs", looked.runs, baseline=most if runs else None, target=runs)
        most = max(most, looked.runs)
    for detail in DETAILS:
        outcome = counted(sequence(labeler, detail, "drop").found, COURTYARD, SCORE)
        yield _row(f"{detail}, static = drop: persons found", outcome.recall, target=at_least(recalls[detail], 0.9))
        # "whole" misses this bound, the others hold it: docs/detail.md says why there is nothing static to leave out.
        yield from _false(f"{detail}, static = drop", outcome, FALSE_WITHOUT_STATIC)


def statues(labeler: OnnxLabeler) -> Iterator[Result]:
    """Put a statue into all pictures: after two events it is left out."""
    for manner in ("keep", "drop"):
        looked = sequence(labeler, "3x3", manner, statue)
        reported = sum(any(_is_statue(each) for each in found) for found in looked.found.values())
        target = at_most(2 * EVENT_PICTURES, 2 * EVENT_PICTURES) if manner == "drop" else None
        yield _row(f"3x3, a statue, static = {manner}: pictures that report it", reported, target=target)


def sign(folder: Path) -> Iterator[Result]:
    """Use the model that takes the sign for a person."""
    if not YOLOX.exists():
        print(f"NOT MEASURED: YOLOX-Nano in the courtyard, because {YOLOX} is not there", file=sys.stderr, flush=True)
        return
    labeler = open_onnx(yolox_nano(folder))
    targets: dict[Static, Target] = {"keep": FALSE, "drop": FALSE_WITHOUT_STATIC}
    for manner, target in targets.items():
        outcome = counted(sequence(labeler, "whole", manner).found, COURTYARD, SCORE)
        name = f"YOLOX-Nano, whole, static = {manner}"
        yield _row(f"{name}: persons found", outcome.recall)
        yield from _false(name, outcome, target)


def yolox_nano(folder: Path) -> Path:
    """Write the folder of YOLOX-Nano, with the input and the overlap of boxes that its publisher uses."""
    labels = [label for label in load_description(SHIPPED).labels if label]
    (folder / YOLOX.name).write_bytes(YOLOX.read_bytes())
    digest = hashlib.sha256(YOLOX.read_bytes()).hexdigest()
    (folder / "model.toml").write_text(DESCRIPTION.format(file=YOLOX.name, sha256=digest, labels=labels))
    return folder


_row = partial(result, "courtyard", unit="")


def _false(name: str, outcome: Counted, target: Target) -> Iterator[Result]:
    yield _row(f"{name}: false persons", len(outcome.wrong), target=target)
    yield _row(f"{name}: of these, where no person is", outcome.on_nothing)
    yield _row(f"{name}: of these, second boxes of a person who is found", outcome.second)


def statue(file: Path) -> bytes:
    """Return a picture of the courtyard in which a person of the first picture stands still."""
    with Image.open(min(COURTYARD.glob("*.jpg"))) as first, Image.open(file) as image:
        left, top, right, bottom = PERSON
        image.paste(first.crop((left - 6, top - 6, right + 6, bottom + 6)), STATUE)
        return jpeg(image)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def _is_statue(found: Detection) -> bool:
    place = (STATUE[0] + 6, STATUE[1] + 6, STATUE[0] + 6 + PERSON[2] - PERSON[0], STATUE[1] + 6 + PERSON[3] - PERSON[1])
    return found.label == "person" and found.box is not None and bool(overlaps([found.box], [place])[0, 0] > IOU)


def sequence(
    labeler: OnnxLabeler, detail: Detail, static: Static = "keep", read: Callable[[Path], bytes] = Path.read_bytes
) -> Detected:
    """Look at the courtyard's pictures, given as events in the order of time."""
    counting = Counting(labeler)
    events = EventLabeler(
        Detailed(counting), PictureLimits(), [Rule(min_probability=SCORE)], Metrics(), Looking(detail, static)
    )
    files = sorted(COURTYARD.glob("*.jpg"))
    found: dict[str, Sequence[Detection]] = {}
    for first in range(0, len(files), EVENT_PICTURES):
        some = [Picture(file.name, read(file)) for file in files[first : first + EVENT_PICTURES]]
        event = events.event("courtyard", partial(list, some), lambda: None, SHOWN_SCORE)
        event.join()
        found |= {each.timestamp: each.sent for each in event.done.result().pictures}
    return Detected(found, counting.runs)

"""Measure how well the shipped model finds objects, and how often it runs, for each level of detail.

On the courtyard (one fixed camera, 20 pictures given as 5 events of 4): persons found and false persons, at score 0.4
and IoU 0.5. On COCO photographs: box AP, in color, in gray, at half and a third of the size. Both are read from
../shared; a line says what is not measured because it is not there.
"""

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
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.labelers.onnx.open import open_configured
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from tests.bench.harness import Bench, Result, Target, at_least, at_most, result
from tests.support.box_accuracy import COURTYARD, PHOTOGRAPHS, average_precision, counted
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
SCORE, LOW_SCORE = 0.4, 0.01
SHOWN_SCORE = 0.1
"""The lowest score of the detections that the daemon asks for, because the status page shows them."""

IOU = 0.5
PERSON, STATUE = (641, 240, 681, 321), (60, 300)
"""A person in the first picture: left, top, right, bottom in pixels; and left and top of its copy, the statue."""

EVENT_PICTURES = 4

Change = Callable[[Image.Image], Image.Image]


def smaller(factor: int, image: Image.Image) -> Image.Image:
    """Return the image with so many times fewer pixels on each side."""
    return image.resize((image.width // factor, image.height // factor), Image.Resampling.BOX)


def farther(factor: int, image: Image.Image) -> Image.Image:
    """Return an image of the same size whose objects are smaller: the rest is gray."""
    canvas = Image.new("RGB", image.size, (114, 114, 114))
    canvas.paste(smaller(factor, image), (0, 0))
    return canvas


CHANGES: dict[str, tuple[Change, float]] = {
    "color": (lambda image: image, 1.0),
    "gray": (lambda image: image.convert("L").convert("RGB"), 1.0),
    "half the size": (partial(smaller, 2), 2.0),
    "a third": (partial(smaller, 3), 3.0),
    "half as large in the picture": (partial(farther, 2), 2.0),
    "a third in the picture": (partial(farther, 3), 3.0),
}


class Detected(NamedTuple):
    """What was found in each of the courtyard's pictures, by the name of its file, and how often the model ran."""

    found: dict[str, Sequence[Detection]]
    runs: int


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
    labeler, _ = open_configured(SHIPPED, device="cpu", on_degraded=print)
    for folder, measure in ((COURTYARD, courtyard), (PHOTOGRAPHS, photographs)):
        if folder.is_dir():
            yield from measure(labeler, bench)
        else:
            print(f"NOT MEASURED: {measure.__name__}, because {folder} is not there", file=sys.stderr, flush=True)


def courtyard(labeler: OnnxLabeler, _: Bench) -> Iterator[Result]:
    recalls: dict[Detail, float] = {"2x2": 0.86, "3x3": 0.88, "auto": 0.86}
    most = 0
    for detail in ("whole", "2x2", "3x3", "auto"):
        looked = sequence(labeler, detail)
        outcome = counted(looked.found, COURTYARD, SCORE)
        recall = at_least(recalls[detail], 0.9) if detail in recalls else None
        yield result("courtyard", f"{detail}: persons found", outcome.recall, "", target=recall)
        yield result("courtyard", f"{detail}: false persons", len(outcome.wrong), "", target=at_most(22, 8))
        yield result("courtyard", f"{detail}: of these, where no person is", outcome.on_nothing, "")
        runs = at_most(0.6, 0.5) if detail == "auto" else None
        yield result(
            "courtyard", f"{detail}: model runs", looked.runs, "", baseline=most if runs else None, target=runs
        )
        most = max(most, looked.runs)
    yield from static(labeler)


def static(labeler: OnnxLabeler) -> Iterator[Result]:
    """Leave out what always stands there, learned within the sequence."""
    for detail in ("whole", "2x2", "3x3", "auto"):
        outcome = counted(sequence(labeler, detail, "drop").found, COURTYARD, SCORE)
        yield result("courtyard", f"{detail}, static = drop: persons found", outcome.recall, "")
        # Those of "whole" and "3x3" have no target: they are people who move and whose boxes do not fit, or are second
        # boxes. Only what is where no person is can be static, and "3x3" finds such an object in two events of five.
        target = at_most(8, 4) if detail in ("2x2", "auto") else None
        yield result("courtyard", f"{detail}, static = drop: false persons", len(outcome.wrong), "", target=target)
        yield result("courtyard", f"{detail}, static = drop: of these, where no person is", outcome.on_nothing, "")

    for manner in ("keep", "drop"):
        looked = sequence(labeler, "3x3", manner, statue)
        reported = sum(any(_is_statue(each) for each in found) for found in looked.found.values())
        target = at_most(8, 8) if manner == "drop" else None
        yield result(
            "courtyard", f"3x3, a statue, static = {manner}: pictures that report it", reported, "", target=target
        )


def statue(file: Path) -> bytes:
    """Return a picture of the courtyard in which a person of the first picture stands still."""
    with Image.open(min(COURTYARD.glob("*.jpg"))) as first, Image.open(file) as image:
        left, top, right, bottom = PERSON
        image.paste(first.crop((left - 6, top - 6, right + 6, bottom + 6)), STATUE)
        return _jpeg(image)


def _is_statue(found: Detection) -> bool:
    place = (STATUE[0] + 6, STATUE[1] + 6, STATUE[0] + 6 + PERSON[2] - PERSON[0], STATUE[1] + 6 + PERSON[3] - PERSON[1])
    return found.label == "person" and found.box is not None and bool(overlaps([found.box], [place])[0, 0] > IOU)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


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


def photographs(labeler: OnnxLabeler, bench: Bench) -> Iterator[Result]:
    musts = {"color": at_least(0.28, 0.3), "half the size": at_least(0.18, 0.2)}
    for change, (make, scale) in list(CHANGES.items())[: bench.count(len(CHANGES), 1)]:
        for detail in ("whole", "tiles", "2x2"):
            precision = average_precision(partial(objects, labeler, detail, make), scale=scale)
            target: Target | None = musts.get(change) if detail == "whole" else None
            yield result("photographs", f"{change}, {detail}: box AP", precision.all, "", target=target)
            yield result("photographs", f"{change}, {detail}: box AP of small objects", precision.small, "")


def objects(labeler: OnnxLabeler, detail: Detail, make: Change, file: Path) -> Sequence[Detection]:
    """Return what is found in one changed photograph, from a low score on, as AP needs it."""
    with Image.open(file) as image:
        jpeg = _jpeg(make(image.convert("RGB")))
    events = EventLabeler(Detailed(labeler), PictureLimits(), [], Metrics(), Looking(detail))
    event = events.event(None, lambda: [Picture(file.name, jpeg)], lambda: None, LOW_SCORE)
    event.join()
    (picture,) = event.done.result().pictures
    return picture.found

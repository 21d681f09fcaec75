"""Measure how well objects are found and labels are learned: every bound of quality, each beside its figure.

    courtyard ─▶ persons found, false persons, runs of the model     `courtyard`
    photographs ─▶ box AP of whole pictures and of tiles             here
    gate, kinds, fit ─▶ what is learned from a few pictures          `taught`

On COCO photographs: box AP, in color, in gray, at half and a third of the size. They and the courtyard are read from
../shared; a line says what is not measured because it is not there.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from camiohookd.config.detail import Detail, Looking
from camiohookd.labelers.detail.labeler import Detailed
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Detection
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from tests.bench import courtyard, taught
from tests.bench.harness import Bench, Result, Target, at_least, result
from tests.support.box_accuracy import PHOTOGRAPHS, average_precision

LOW_SCORE = 0.01

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
DETAILS: tuple[Detail, ...] = ("whole", "tiles", "2x2")
MUSTS: dict[tuple[str, Detail], Target] = {
    ("color", "whole"): at_least(0.28, 0.3),
    ("half the size", "whole"): at_least(0.18, 0.2),
    ("half as large in the picture", "2x2"): at_least(0.18, 0.2),
}


def run(bench: Bench) -> Iterator[Result]:
    yield from courtyard.run(bench)
    if PHOTOGRAPHS.is_dir():
        yield from photographs(courtyard.shipped(), bench)
    else:
        print(f"NOT MEASURED: photographs, because {PHOTOGRAPHS} is not there", file=sys.stderr, flush=True)
    yield from taught.run(bench)


def photographs(labeler: OnnxLabeler, bench: Bench) -> Iterator[Result]:
    for change, (make, scale) in list(CHANGES.items())[: bench.count(len(CHANGES), 1)]:
        for detail in DETAILS:
            precision = average_precision(partial(objects, labeler, detail, make), scale=scale)
            target = MUSTS.get((change, detail))
            yield result("photographs", f"{change}, {detail}: box AP", precision.all, "", target=target)
            yield result("photographs", f"{change}, {detail}: box AP of small objects", precision.small, "")


def objects(labeler: OnnxLabeler, detail: Detail, make: Change, file: Path) -> Sequence[Detection]:
    """Return what is found in one changed photograph, from a low score on, as AP needs it."""
    with Image.open(file) as image:
        jpeg = courtyard.jpeg(make(image.convert("RGB")))
    events = EventLabeler(Detailed(labeler), PictureLimits(), [], Metrics(), Looking(detail))
    event = events.event(None, lambda: [Picture(file.name, jpeg)], lambda: None, LOW_SCORE)
    event.join()
    (picture,) = event.done.result().pictures
    return picture.found

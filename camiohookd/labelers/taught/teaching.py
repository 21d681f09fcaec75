"""Pictures with labels ─▶ what is kept under a name: crops, features, the classifier and its report."""

import hashlib
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camiohookd.labelers.taught import crops
from camiohookd.labelers.taught.learning import Examples, learn
from camiohookd.labelers.taught.places import TaughtError, check_name
from camiohookd.labelers.taught.report import ShownExample, judge
from camiohookd.labelers.taught.store import MAX_PICTURES, KeptCrop, Reports, Taught, TaughtZone, check_labels
from camiohookd.labelers.taught.unknown import beyond_all, beyond_most
from camiohookd.pictures.detections import Box, scaled

MAX_RUNS = 400
"""About how often the model runs, at most: with many pictures, fewer variations of each are needed."""

VARIATIONS = 6

_QUALITY = 92
_MAX_CROP_PIXELS = 2 * 4096 * 2 * 4096  # twice the largest input of a model


class Features(Protocol):
    """What gives the features of a picture; see `labelers.onnx.features.FeatureModel`."""

    tensors: tuple[str, ...]

    @property
    def input_size(self) -> tuple[int, int]: ...

    def features(self, image: Image.Image) -> NDArray[np.float32]: ...


class Example(NamedTuple):
    """A picture that shows `label`: RGB `image`, the `box` in its pixels that counts, where it is from, its event."""

    source: str
    label: str
    event: str
    image: Image.Image
    box: Box


class Subject(NamedTuple):
    """What is taught: the name, and a zone or the label of the objects that are refined; see `Taught`."""

    name: str
    zone: TaughtZone | None
    on: str | None
    flip: bool = False
    steady: int = 1
    reports: Reports = "state"


def teach(
    subject: Subject,
    examples: Sequence[Example],
    model: Features,
    checksum: str,
    *,
    keep_crops: bool,
    threads: int = 1,
) -> Taught:
    """Learn from examples; `checksum` is the model's.

    Raises TaughtError if labels or names cannot be used, LabelingError.
    """
    labels = tuple(dict.fromkeys(example.label for example in examples))
    check_name(subject.name)
    check_labels(labels)
    if len(examples) > MAX_PICTURES:
        raise TaughtError(f"given {len(examples)} pictures, at most {MAX_PICTURES} are allowed")
    kept = [_crop(example, labels.index(example.label), model.input_size) for example in examples]
    return _learned(subject, labels, kept, model, checksum, keep_crops, threads)


def teach_again(taught: Taught, model: Features, checksum: str) -> Taught:
    """Learn the same from the crops that were kept, for another model. Raises TaughtError, LabelingError."""
    if not taught.crops:
        raise TaughtError(
            f'"{taught.name}" was taught with another model, and its pictures were not kept: teach it again'
        )
    subject = Subject(taught.name, taught.zone, taught.on, taught.flip, taught.steady, taught.reports)
    return _learned(subject, taught.labels, taught.crops, model, checksum, keep_crops=True)


def _learned(
    subject: Subject,
    labels: tuple[str, ...],
    kept: Sequence[KeptCrop],
    model: Features,
    checksum: str,
    keep_crops: bool,
    threads: int = 1,
) -> Taught:
    found, contents = _features(subject, kept, model, threads)
    events = _events(kept, contents)
    shown = [
        ShownExample(each.source, each.label, nth, what) for each, nth, what in zip(kept, events, contents, strict=True)
    ]
    examples = Examples(found, np.array([each.label for each in kept]), np.array(events))
    lesson = learn(examples, len(labels), beyond_all if subject.zone else beyond_most)
    learned = lesson.learned
    return Taught(
        name=subject.name,
        labels=labels,
        zone=subject.zone,
        on=subject.on,
        model=checksum,
        tensors=model.tensors,
        factors=learned.weights.factors.astype("<f4").tobytes(),
        shifts=tuple(map(float, learned.weights.shifts)),
        temperature=learned.temperature,
        examples=learned.examples.astype("<f2").tobytes(),
        farthest=learned.farthest,
        report=judge(labels, shown, lesson.left_out),
        made=time.time(),
        flip=subject.flip,
        steady=subject.steady,
        reports=subject.reports,
        size=_usual_size(kept) if subject.zone else (0.0, 0.0),
        crops=tuple(kept) if keep_crops else (),
    )


def _features(
    subject: Subject, kept: Sequence[KeptCrop], model: Features, threads: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the features of each crop's variations, [crops, variations, features], and a checksum of each crop."""
    count = min(max(MAX_RUNS // max(len(kept), 1), 1), VARIATIONS + subject.flip)

    def features_of(crop: KeptCrop) -> tuple[list[NDArray[np.float32]], str]:
        image = _opened(crop)
        varied = crops.variations(image, Box(*crop.box), count, flip=subject.flip, noise=subject.zone is not None)
        return [model.features(each) for each in varied], hashlib.sha256(varied[0].tobytes()).hexdigest()

    with ThreadPoolExecutor(threads) as pool:
        found, contents = zip(*pool.map(features_of, kept), strict=True)
    return np.array(found, np.float64), contents


def _usual_size(kept: Sequence[KeptCrop]) -> tuple[float, float]:
    """Return the median width and height of what counts, in pixels."""
    boxes = [Box(*crop.box) for crop in kept]
    return median(box.right - box.left for box in boxes), median(box.bottom - box.top for box in boxes)


def _events(kept: Sequence[KeptCrop], contents: Sequence[str]) -> list[int]:
    """Number the events; the same picture given twice is one event, whatever its name."""
    numbers: dict[str, int] = {}
    events = []
    for crop, content in zip(kept, contents, strict=True):
        number = numbers.get(content, numbers.get(crop.event, len(numbers)))
        numbers.setdefault(crop.event, number)
        numbers.setdefault(content, number)
        events.append(number)
    return events


def _crop(example: Example, label: int, size: tuple[int, int]) -> KeptCrop:
    """Return the part of an example that is kept: its box and a margin, at most twice the model's input size."""
    around = crops.widened(example.box, crops.CONTEXT)
    left, top = max(around.left, 0.0), max(around.top, 0.0)
    part = crops.cut(example.image, around)
    box = Box(example.box.left - left, example.box.top - top, example.box.right - left, example.box.bottom - top)
    scale = min(1.0, 2 * size[0] / part.width, 2 * size[1] / part.height)
    if scale < 1:
        part = part.resize(
            (max(round(part.width * scale), 1), max(round(part.height * scale), 1)), Image.Resampling.BOX
        )
        box = scaled(box, scale, scale)
    file = io.BytesIO()
    part.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return KeptCrop(example.source, label, example.event, file.getvalue(), (box.left, box.top, box.right, box.bottom))


def _opened(crop: KeptCrop) -> Image.Image:
    try:
        with Image.open(io.BytesIO(crop.jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > _MAX_CROP_PIXELS:
                raise TaughtError(f"the kept picture of {crop.source} is too large: {image.width} x {image.height}")
            return image.convert("RGB")
    except TaughtError:
        raise
    except Exception as error:  # noqa: BLE001  # Pillow raises anything on damaged files
        raise TaughtError(f"the kept picture of {crop.source} cannot be decoded: {error}") from None


def without_crops(taught: Taught) -> Taught:
    """Return what labels need, without the pictures."""
    return msgspec.structs.replace(taught, crops=())

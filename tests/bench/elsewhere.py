"""Try the limits that were chosen on the courtyard on other pictures: the COCO photographs of ../shared/coco-subset.

each photograph again and again, in changing light ─▶ how much of what stands still is left out
all photographs as one camera's ─▶ is anything left out wrongly?
people pasted in at other places in each picture ─▶ is any of them left out?
persons and cars are taught, other kinds are shown ─▶ how often is one taken for a person or a car? `other_kinds`
tiles are merged with other limits ─▶ how far precision and recall move
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from camiohookd.config.detail import Looking
from camiohookd.config.rule import Rule
from camiohookd.labelers import Frame, LabelRequest
from camiohookd.labelers.detail import labeler as detail_labeler
from camiohookd.labelers.detail import merging
from camiohookd.labelers.detail.labeler import Detailed
from camiohookd.labelers.detail.merging import Look
from camiohookd.labelers.detail.tiling import Size, decode_size
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Detection
from camiohookd.pictures.overlap import overlaps
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler
from tests.bench import other_kinds
from tests.bench.courtyard import EVENT_PICTURES, IOU, PERSON, SCORE, jpeg, shipped
from tests.bench.harness import Bench, Result, result
from tests.support.box_accuracy import COURTYARD, PHOTOGRAPHS, average_precision, counted

EVENTS, LEARNING = 4, 2
"""Events of a camera, and in how many of them what stands still is learned."""

LOW_SCORE = 0.01
OTHER_LIMITS = {
    "CUT": (0.005, 0.02),
    "SMALL": (0.4, 0.65),
    "SAME_IOU": (0.2, 0.45),
    "SAME_IOS": (0.35, 0.7),
    "RIVAL": (0.3, 0.7),
    "PART_IOS": (0.65, 0.95),
    "TWICE_IOU": (0.4, 0.6),
    "TWICE_IOS": (0.45, 0.75),
}
"""About a quarter to a half less and more than each limit of `merging`."""

Draw = Callable[[Image.Image, np.random.Generator], Image.Image]
_row = partial(result, "elsewhere", unit="")


class Tiled(NamedTuple):
    """What was found in a picture of `size` pixels and in tiles of it, before it is merged."""

    size: Size
    whole: Sequence[Detection]
    tiles: Sequence[Look]


def run(bench: Bench) -> Iterator[Result]:
    if not PHOTOGRAPHS.is_dir() or not COURTYARD.is_dir():
        print(
            f"NOT MEASURED: elsewhere, because {PHOTOGRAPHS} or {COURTYARD} is not there", file=sys.stderr, flush=True
        )
        return
    labeler = shipped()
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[: bench.count(1000, 2)]
    yield from standing(labeler, files)
    yield from changing(labeler, files)
    yield from walking(labeler, files)
    yield from other_kinds.run()
    yield from other_limits(labeler, files)


def standing(labeler: OnnxLabeler, files: Sequence[Path]) -> Iterator[Result]:
    """Show each photograph as a camera's, in changing light: all that is in it stands still."""
    early, late = 0, 0
    for file in files:
        events = _events(labeler)
        found = [_sent(events, file.name, [_again(file, seed) for seed in _seeds(nth)]) for nth in range(EVENTS)]
        early += sum(map(len, found[:LEARNING]))
        late += sum(map(len, found[LEARNING:]))
    yield _row(f"standing still in {len(files)} scenes: reported in the first {LEARNING} events of each", early)
    yield _row(f"standing still in {len(files)} scenes: reported in the next {EVENTS - LEARNING}", late)


def changing(labeler: OnnxLabeler, files: Sequence[Path]) -> Iterator[Result]:
    """Give all photographs to one camera, four an event: nothing in them is the same."""
    keep, drop = (
        sum(
            len(_sent(events, "one", [file.read_bytes() for file in files[first : first + EVENT_PICTURES]]))
            for first in range(0, len(files), EVENT_PICTURES)
        )
        for events in (_events(labeler, "keep"), _events(labeler))
    )
    yield _row(f"one camera, {len(files)} scenes: found", keep)
    yield _row(f"one camera, {len(files)} scenes: left out as always there", keep - drop)


def walking(labeler: OnnxLabeler, files: Sequence[Path]) -> Iterator[Result]:
    """Paste a person at another place into each picture of a scene: none may be left out."""
    with Image.open(min(COURTYARD.glob("*.jpg"))) as first:
        person = first.crop(PERSON)
    found = dict.fromkeys(("keep", "drop"), 0)
    for manner in ("keep", "drop"):
        for file in files:
            events = _events(labeler, manner)
            for nth in range(EVENTS):
                drawn = [_with_person(file, person, seed) for seed in _seeds(nth)]
                sent = events.event(file.name, partial(_pictures, [data for data, _ in drawn]), lambda: None, SCORE)
                sent.join()
                for picture, (_, place) in zip(sent.done.result().pictures, drawn, strict=True):
                    boxes = [each.box for each in picture.sent if each.label == "person" and each.box]
                    found[manner] += bool(boxes) and bool((overlaps(boxes, [place]) > IOU).any())
    yield _row(
        f"a person at another place in each of {EVENTS * EVENT_PICTURES * len(files)} pictures: found", found["keep"]
    )
    yield _row("a person at another place: left out as always there", found["keep"] - found["drop"])


def other_limits(labeler: OnnxLabeler, files: Sequence[Path]) -> Iterator[Result]:
    """Merge what was found in 2x2 tiles by other limits."""
    photographs = {file: tiled(labeler, file, LOW_SCORE) for file in files}
    courtyard = {file.name: tiled(labeler, file, SCORE) for file in sorted(COURTYARD.glob("*.jpg"))}

    def measured() -> tuple[float, float, int]:
        precision = average_precision(lambda file: merging.merged(*photographs[file]) if file in photographs else [])
        outcome = counted({name: merging.merged(*each) for name, each in courtyard.items()}, COURTYARD, SCORE)
        return precision.all, outcome.recall, len(outcome.wrong)

    kept = {name: getattr(merging, name) for name in OTHER_LIMITS}
    yield from _merged("as they are", measured())
    for name, values in OTHER_LIMITS.items():
        for value in values:
            setattr(merging, name, value)
            yield from _merged(f"{name} {value} instead of {kept[name]}", measured())
        setattr(merging, name, kept[name])


def _merged(what: str, figures: tuple[float, float, int]) -> Iterator[Result]:
    precision, recall, wrong = figures
    yield _row(f"limits of merging, {what}: box AP of photographs", precision)
    yield _row(f"limits of merging, {what}: persons found in the courtyard", recall)
    yield _row(f"limits of merging, {what}: false persons there", wrong)


def tiled(labeler: OnnxLabeler, file: Path, least: float) -> Tiled:
    """Look at a picture and 2x2 tiles of it."""
    caught: list[Tiled] = []

    def catch(size: Size, whole: Sequence[Detection], tiles: Sequence[Look]) -> list[Detection]:
        caught.append(Tiled(size, whole, tiles))
        return []

    data = file.read_bytes()
    frame = Frame(Picture(file.name, data), decode(data, PictureLimits(), decode_size("2x2", labeler.input_size)))
    as_it_is, detail_labeler.merged = detail_labeler.merged, catch  # type: ignore[attr-defined]  # it is imported there
    try:
        Detailed(labeler).label([frame], LabelRequest(min_probability=least, detail="2x2"))
    finally:
        detail_labeler.merged = as_it_is  # type: ignore[attr-defined]  # as above
    return caught[0]


def _events(labeler: OnnxLabeler, static: str = "drop") -> EventLabeler:
    looking = Looking("whole", "drop" if static == "drop" else "keep", ())
    return EventLabeler(Detailed(labeler), PictureLimits(), [Rule(min_probability=SCORE)], Metrics(), looking)


def _sent(events: EventLabeler, camera: str, data: Sequence[bytes]) -> list[Detection]:
    """Return what is sent of an event with these files."""
    event = events.event(camera, partial(_pictures, data), lambda: None, SCORE)
    event.join()
    return [each for picture in event.done.result().pictures for each in picture.sent]


def _pictures(data: Sequence[bytes]) -> list[Picture]:
    return [Picture(str(nth), each) for nth, each in enumerate(data)]


def _seeds(event: int) -> range:
    return range(EVENT_PICTURES * event, EVENT_PICTURES * (event + 1))


def _again(file: Path, seed: int) -> bytes:
    """Return a photograph in another light, with a camera's noise."""
    with Image.open(file) as image:
        return jpeg(_in_light(image.convert("RGB"), np.random.default_rng(seed)))


def _in_light(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(chance.uniform(0.75, 1.25))
    values = np.asarray(brighter, np.float32)
    return Image.fromarray((values + chance.normal(0, 4, values.shape)).clip(0, 255).astype(np.uint8))


def _with_person(file: Path, person: Image.Image, seed: int) -> tuple[bytes, tuple[int, int, int, int]]:
    """Return a photograph in another light with a person by chance somewhere, and where."""
    chance = np.random.default_rng(seed)
    with Image.open(file) as image:
        scene = image.convert("RGB")
    height = scene.height // 2
    figure = person.resize((round(person.width * height / person.height), height))
    left, top = (int(chance.integers(0, room)) for room in (scene.width - figure.width, scene.height - figure.height))
    scene.paste(figure, (left, top))
    return jpeg(_in_light(scene, chance)), (left, top, left + figure.width, top + figure.height)

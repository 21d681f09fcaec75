"""Measure how well labels are learned from a few pictures, and how long it takes.

A gate is drawn into the courtyard's frames (or, if those are not beside the checkout, into drawn yards) under random
light, noise and shadow. Its state is taught with 10 open and 10 closed ones, and tested with 200 other ones.
Kinds are learned from COCO's own boxes: each photograph is left out in turn. What is not recognized counts as wrong.
"""

import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.features import FeatureModel, open_features
from camiohookd.labelers.onnx.throughput import cores
from camiohookd.labelers.taught import crops
from camiohookd.labelers.taught.learning import Examples, learn
from camiohookd.labelers.taught.regression import fit
from camiohookd.labelers.taught.store import Taught, TaughtZone
from camiohookd.labelers.taught.teaching import Example, Subject, teach
from camiohookd.labelers.taught.unknown import beyond_all
from camiohookd.pictures.detections import Box, scaled
from tests.bench.harness import Bench, Result, at_least, at_most, result
from tests.support import gates
from tests.support.box_accuracy import PHOTOGRAPHS
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
STATES = ("open", "closed")
SHOWN, UNSEEN = 10, 100
"""Pictures of each state."""

KINDS = ("car", "person")
"""The pair of kinds with a bound."""

LEAST_PHOTOGRAPHS = 3
"""The fewest photographs of a kind that is in the table of all pairs."""

MOST_OBJECTS = 25
LEAST_PIXELS = 400
"""The smallest area of an example's box, in pixels."""


class Kind(NamedTuple):
    """Objects of one kind: the file, the number and the box of each; and how many photographs they are from."""

    name: str
    objects: Sequence[tuple[str, int, Box]]
    photographs: int


def run(bench: Bench) -> Iterator[Result]:
    model = open_features(SHIPPED)
    yield from gate(model, bench.count(UNSEEN, 5))
    yield from kinds(model, bench.quick)
    yield from times(model, bench.count(200, 20))


def gate(model: FeatureModel, count: int) -> Iterator[Result]:
    """Teach the state of a gate, and ask about `count` unseen pictures of each."""
    frames = gates.courtyard_frames()
    where = "courtyard" if frames else "drawn frames"
    frames = frames or gates.made_frames(20, 1)
    taught = taught_gate(model, frames[: len(frames) // 2])
    learned = taught.learned()
    right, unknown = [], 0
    for nth, state in enumerate(taught.labels):
        unseen = gates.pictures(frames[len(frames) // 2 :], count, 50 + nth, closed=state == "closed")
        said = [learned.verdict(features(model, picture)).label for picture in unseen]
        right.append(said.count(nth) / count)
        unknown += said.count(None)
    metric = f"gate in {where}: balanced accuracy from {SHOWN} + {SHOWN} on {2 * count} unseen"
    yield result("taught", metric, sum(right) / 2, "", target=at_least(0.97, 0.99))
    yield result("taught", f"gate in {where}: not recognized, of {2 * count}", float(unknown), "")
    elsewhere = [picture.crop((0, 0, 160, 140)) for picture in gates.pictures(frames, 20, 60, closed=True)]
    reported = sum(learned.verdict(model.features(each).astype(float)).label is not None for each in elsewhere)
    yield result("taught", "another place of the same pictures: wrongly labeled, of 20", float(reported), "")


def taught_gate(model: FeatureModel, frames: Sequence[Image.Image]) -> Taught:
    """Teach the gate from pictures in `frames`."""
    box = scaled(crops.bounds(gates.ZONE), *gates.SIZE)
    examples = [
        Example(f"{state} {nth}", state, f"{state} {nth}", picture, box)
        for seed, state in enumerate(STATES)
        for nth, picture in enumerate(gates.pictures(frames, SHOWN, seed, closed=state == "closed"))
    ]
    subject = Subject("gate", TaughtZone("yard", "gate", gates.ZONE), None)
    return teach(subject, examples, model, load_description(SHIPPED).sha256, keep_crops=False, threads=cores())


def features(model: FeatureModel, picture: Image.Image) -> "np.ndarray[Any, np.dtype[np.float64]]":
    box = scaled(crops.bounds(gates.ZONE), *picture.size)
    return model.features(crops.cut(picture, box)).astype(float)


def kinds(model: FeatureModel, quick: bool) -> Iterator[Result]:
    """Teach every two kinds of objects, and judge each photograph by what was learned from the others."""
    if not PHOTOGRAPHS.is_dir():
        print(f"NOT MEASURED: kinds of objects, because {PHOTOGRAPHS} is not there", file=sys.stderr, flush=True)
        return
    found = {name: kind for name, kind in coco_kinds().items() if kind.photographs >= LEAST_PHOTOGRAPHS}
    pairs = [KINDS, *(pair for pair in itertools.combinations(sorted(found), 2) if pair != KINDS)]
    for pair in pairs[:1] if quick else pairs:
        examples = [example for name in pair for example in read(found[name])]
        taught = teach(Subject("kinds", None, "object", flip=True), examples, model, "0" * 64, keep_crops=False)
        shown = " against ".join(
            f"{len(found[name].objects)} {name} ({found[name].photographs} photographs)" for name in pair
        )
        accuracy = taught.report.accuracy
        if accuracy is not None:
            target = at_least(0.85, 0.95) if pair == KINDS else None
            yield result("taught", f"balanced accuracy, {shown}", accuracy, "", target=target)


def coco_kinds() -> dict[str, Kind]:
    """Return the objects of the photographs by their names, at most `MOST_OBJECTS` of each, chosen by chance."""
    table = json.loads((PHOTOGRAPHS / "instances.json").read_bytes())
    names = {each["id"]: each["name"] for each in table["categories"]}
    files = {each["id"]: each["file_name"] for each in table["images"]}
    large: dict[str, list[tuple[str, int, Box]]] = {}
    for each in table["annotations"]:
        left, top, width, height = each["bbox"]
        if not each.get("iscrowd") and width * height >= LEAST_PIXELS:
            box = crops.widened(Box(left, top, left + width, top + height), crops.MARGIN)
            large.setdefault(names[each["category_id"]], []).append((files[each["image_id"]], each["id"], box))
    chance = random.Random(1)  # the choice need not be secret
    kinds = {}
    for name, objects in large.items():
        some = chance.sample(objects, min(len(objects), MOST_OBJECTS))
        kinds[name] = Kind(name, some, len({file for file, _, _ in some}))
    return kinds


def read(kind: Kind) -> list[Example]:
    """Return the objects of a kind as examples; each photograph is an event."""
    return [Example(f"{file} {number}", kind.name, file, photograph(file), box) for file, number, box in kind.objects]


@cache
def photograph(file: str) -> Image.Image:
    with Image.open(PHOTOGRAPHS / file) as opened:
        return opened.convert("RGB")


def times(model: FeatureModel, count: int) -> Iterator[Result]:
    """Measure the fit, all that is learned, and what one zone costs in each picture."""
    frames = gates.courtyard_frames() or gates.made_frames(20, 1)
    half = count // 2
    pictures = [each for closed in (True, False) for each in gates.pictures(frames, half, 9, closed=closed)]
    labels = np.repeat([0, 1], half)
    started = time.perf_counter()
    plain = np.array([features(model, each) for each in pictures])
    a_picture = (time.perf_counter() - started) / count
    both = np.stack([plain, plain + 1e-3 * np.random.default_rng(1).normal(size=plain.shape)], axis=1)
    flat, twice = both.reshape(2 * count, -1), np.repeat(labels, 2)
    started = time.perf_counter()
    fitted = fit(flat - flat.mean(axis=0), twice, 2, 0.01)
    seconds = time.perf_counter() - started
    assert fitted.converged
    yield result("taught", f"fit for {count} pictures, to convergence", seconds, "s", target=at_most(2.0, 0.5))
    started = time.perf_counter()
    learn(Examples(both, labels, np.arange(count)), 2, beyond_all)
    seconds = time.perf_counter() - started
    yield result("taught", f"fit for {count} pictures, and one without each of them", seconds, "s")
    yield result("taught", "features of one zone in one picture", 1000 * a_picture, "ms")

"""How many threads label at one time, and how many work on one run: measured, once for each model and device.

On two cores two threads that share a session of one thread label half as many pictures again as one thread whose
session has two: decoding and the numpy around a run keep the other core busy. What another machine likes better it
shows in a second.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from camiohookd.errors import CamiohookdError
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.pictures.decode import PictureLimits, decode

SECONDS = 0.3
"""For one measurement; a thread looks at two pictures at least."""

TURNS, TURN_SECONDS = 3, 0.15

_CLEARLY = 1.1  # times faster than what is usual
_SAMPLES = Path(__file__).parents[2] / "samples"

log = logging.getLogger("camiohookd.labeler")


class ThreadLayout(NamedTuple):
    """`label` threads at a time, each of whose runs `intra_op` threads work on."""

    label: int
    intra_op: int


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def usual_shape(count: int) -> ThreadLayout:
    """What is used without a measurement; measured to be best on two cores."""
    return ThreadLayout(count, 1)


def cpu_shapes(count: int) -> list[ThreadLayout]:
    """Those that are worth a measurement on the CPU, the usual one first."""
    shapes = [usual_shape(count), ThreadLayout(max(count // 2, 1), 2), ThreadLayout(1, count)]
    return [shape for shape in dict.fromkeys(shapes) if shape.label * shape.intra_op <= max(count, 1)]


def device_shapes(count: int) -> list[ThreadLayout]:
    """Those for a device that has its own threads: one caller keeps few devices busy."""
    return list(dict.fromkeys([usual_shape(count), ThreadLayout(min(2, count), 1), ThreadLayout(1, 1)]))


def fastest(shapes: Sequence[ThreadLayout], open_labeler: Callable[[ThreadLayout], OnnxLabeler]) -> ThreadLayout:
    """The shape that labels most; the first one, the usual, unless another is clearly faster.

    They take turns, and the best turn of each counts: whatever else the machine does meanwhile makes slower, never
    faster. `open_labeler` gives the labeler of a shape, which is left open. Raises CamiohookdError if the usual one
    fails.
    """
    usual = shapes[0]
    if len(shapes) == 1:
        return usual
    labelers: dict[ThreadLayout, OnnxLabeler] = {}
    rates = dict.fromkeys(shapes, 0.0)
    for _ in range(TURNS):
        for shape in list(rates):
            try:
                labeler = labelers.get(shape) or labelers.setdefault(shape, open_labeler(shape))
                rates[shape] = max(rates[shape], throughput(labeler, shape.label, TURN_SECONDS))
            except CamiohookdError:
                if shape == usual:
                    raise
                del rates[shape]
    for shape, rate in rates.items():
        log.debug("%d label threads with %d on a run: %.1f pictures a second", *shape, rate)
    best = max(rates, key=lambda shape: rates[shape])
    return best if rates[best] > rates[usual] * _CLEARLY else usual


def throughput(labeler: OnnxLabeler, threads: int, seconds: float = SECONDS, *, decoding: bool = True) -> float:
    """Pictures a second that so many threads label, their decoding included unless told otherwise.

    Raises LabelingError.
    """
    data = (_SAMPLES / "chelsea.jpg").read_bytes()
    size = labeler.input_size
    once = decode(data, PictureLimits(), size)
    labeler.detect(once)
    counts, errors = [0] * threads, list[CamiohookdError]()
    started = time.perf_counter()

    def work(nth: int) -> None:
        try:
            while counts[nth] < 2 or time.perf_counter() - started < seconds:
                labeler.detect(decode(data, PictureLimits(), size) if decoding else once)
                counts[nth] += 1
        except CamiohookdError as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(nth,)) for nth in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return sum(counts) / (time.perf_counter() - started)

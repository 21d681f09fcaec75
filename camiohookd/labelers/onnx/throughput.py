"""How many pictures a second a labeler labels, and how many cores there are for it.

By default as many threads label as there are cores, and one thread works on each run of the model: while one picture is
in the model, another is decoded. Sessions with several threads were measured to be no faster.
"""

import os
import threading
import time
from pathlib import Path

from camiohookd.errors import CamiohookdError
from camiohookd.labelers.onnx.labeler import OnnxLabeler
from camiohookd.pictures.decode import PictureLimits, decode

SECONDS = 0.3
"""Duration of one measurement; each thread labels at least two pictures."""

_SAMPLES = Path(__file__).parents[2] / "samples"


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def throughput(labeler: OnnxLabeler, threads: int) -> float:
    """Return the pictures a second that so many threads label, without decoding them. Raises LabelingError."""
    size = labeler.input_size
    picture = decode((_SAMPLES / "chelsea.jpg").read_bytes(), PictureLimits(), size)
    labeler.detect(picture)
    counts, errors = [0] * threads, list[CamiohookdError]()
    started = time.perf_counter()

    def work(nth: int) -> None:
        try:
            while counts[nth] < 2 or time.perf_counter() - started < SECONDS:
                labeler.detect(picture)
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

"""The baseline of `label`: decode, resize and `session.run` in a loop.

    python -m tests.bench.bare_labels WIDTH HEIGHT THREADS INTRA_OP

Reads commands, one per line: ``rate SECONDS`` prints pictures per second, ``event`` the seconds that four pictures
take, ``alone SECONDS`` the pictures per second of an owner's first script, which handles one event after the other as
it was posted, in one thread. With the ``INTRA_OP`` 0, ONNX Runtime chooses the number, as it does for such a script.
"""

import io
import itertools
import json
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints
from PIL import Image

from tests.bench import rig
from tests.bench.camio import Events
from tests.bench.pictures import jpegs

MODEL = rig.ROOT / "models/ssdlite-mobilenet-v2-coco/ssdlite_mobilenet_v2_coco_int8.onnx"
SIDE = 300


def session(intra_op: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = intra_op
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def label(runs: ort.InferenceSession, data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    runs.run(None, {"images": pixels.transpose(2, 0, 1)[None].astype(np.float32)})


class Loop:
    """A loop over the pictures on `threads` threads; each model run uses `intra_op` threads."""

    def __init__(self, width: int, height: int, threads: int, intra_op: int) -> None:
        self._pictures = jpegs(width, height)
        self._threads = threads
        self._session = session(intra_op)
        self.event()

    def rate(self, seconds: float) -> float:
        """Return pictures per second."""
        counts = [0] * self._threads
        started = time.perf_counter()

        def work(nth: int) -> None:
            for data in itertools.cycle(self._pictures):
                label(self._session, data)
                counts[nth] += 1
                if time.perf_counter() - started >= seconds:
                    return

        threads = [threading.Thread(target=work, args=(nth,)) for nth in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def alone(self, seconds: float) -> float:
        """Return pictures per second, from events' bodies, one event after the other."""
        body = b"".join(Events("http://127.0.0.1:9", self._pictures).body("event"))
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            for image in json.loads(body)["images"]:
                label(self._session, b64decode(image["image_b64"]))
                count += 1
        return count / (time.perf_counter() - started)

    def event(self) -> float:
        """Return the seconds for all pictures, one after another."""
        started = time.perf_counter()
        for data in self._pictures:
            label(self._session, data)
        return time.perf_counter() - started


@contextmanager
def loops(width: int, height: int, shapes: dict[str, tuple[int, int]]) -> Iterator[dict[str, Callable[[str], float]]]:
    """Start a process for each (threads, intra_op); yield a function to ask each, by name."""
    with ExitStack() as stack:
        asking: dict[str, Callable[[str], float]] = {}
        for name, shape in shapes.items():
            process = stack.enter_context(rig.program("bare_labels", str(width), str(height), *map(str, shape)))
            asking[name] = partial(rig.ask, process)
        yield asking


def main() -> None:
    loop = Loop(*map(int, sys.argv[1:]))
    for line in sys.stdin:
        word, *seconds = line.split()
        match word:
            case "rate":
                print(loop.rate(float(seconds[0])), flush=True)
            case "alone":
                print(loop.alone(float(seconds[0])), flush=True)
            case _:
                print(loop.event(), flush=True)


if __name__ == "__main__":
    main()

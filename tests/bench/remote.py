"""Measure the time to label a picture by an inference server, against the same model on this machine, in one run.

The server is that of the tests, in a process of its own on this machine, with the model in ONNX Runtime, too: the
difference is the protocol, HTTP, and what a server does with them. Triton is measured, too, if its environment exists
(``pytest --long tests/engines -k pytriton`` makes it). A network adds its own time: a request has 1.1 MB as tensors.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Literal

from camiohookd.config.quantities import Duration
from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.labelers import Frame, Labeler
from camiohookd.labelers.open import open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.wire.images import Picture
from tests.bench.harness import Bench, Result, alternate, result
from tests.bench.pictures import jpegs
from tests.support.checkout import ROOT
from tests.support.engines import ENGINES, is_installed, running
from tests.support.shipped_model_server import FOLDER

FORMS = {"binary form": ("binary",), "JSON": ("JSON",), "the JPEG files": ("binary", "jpeg")}


def run(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(1.0, 0.1)
    with ExitStack() as opened:
        home = opened.enter_context(closing(_open(LabelerSettings(model=str(FOLDER), device="cpu", threads=1))))
        labelers = {"home": home}
        for name, arguments in FORMS.items():
            url = opened.enter_context(server_by_hand(*arguments))
            sends: Literal["tensors", "jpeg"] = "jpeg" if "jpeg" in arguments else "tensors"
            labelers[f"{name}, server by hand"] = opened.enter_context(closing(_remote(url, FOLDER.name, sends)))
        if not bench.quick and is_installed("pytriton"):
            url = opened.enter_context(running("pytriton", ENGINES / "serve_pytriton.py", "ssd", ports=2))
            labelers["binary form, Triton"] = opened.enter_context(closing(_remote(url, "ssd", "tensors")))
        data = next(iter(jpegs(640, 480)))
        frame = Frame(Picture("1", data), decode(data, PictureLimits(), home.input_size))
        times = alternate({name: partial(_per_picture, each, frame, seconds) for name, each in labelers.items()})
    for name in list(labelers)[1:]:
        yield result("remote", f"{name}, against at home", times[name], "ms", baseline=times["home"])


def _per_picture(labeler: Labeler, frame: Frame, seconds: float) -> float:
    """Return milliseconds."""
    started, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds or not count:
        labeler.label([frame])
        count += 1
    return 1000 * passed / count


def _open(settings: LabelerSettings) -> Labeler:
    return open_labeler(settings, None, lambda _degraded: None).labeler


def _remote(url: str, name: str, sends: Literal["tensors", "jpeg"]) -> Labeler:
    remote = RemoteSettings(endpoints=(EndpointUrl(url),), model_name=name, sends=sends, timeout=Duration("60s"))
    return _open(LabelerSettings(kind="remote", model=str(FOLDER), remote=remote))


@contextmanager
def server_by_hand(*arguments: str) -> Iterator[str]:
    """Serve the package's model in a process of its own; yield the server's address."""
    command = [sys.executable, "-m", "tests.support.shipped_model_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()

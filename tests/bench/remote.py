"""Measure the time to label a picture by an inference server, against the same model on this machine, in one run.

The server is that of the tests, in a process of its own on this machine, with the model in ONNX Runtime, too: the
difference is the protocol, HTTP, and what a server does with them. Real servers are measured, too, if their
environments exist (``pytest --long tests/engines`` makes them). A network adds its own time: see "bytes".

The box's own processor time is measured beside it. It does not depend on the server, and hardly on other programs.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Literal, NamedTuple

from camiohookd.config.quantities import Duration
from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.labelers import Frame, Labeler
from camiohookd.labelers.open import open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.wire.images import Picture
from tests.bench.harness import Bench, Median, Result, alternate, result
from tests.bench.pictures import jpegs
from tests.support.checkout import ROOT
from tests.support.engines import ENGINES, is_installed, running
from tests.support.shipped_model_server import FOLDER

FORMS = {"binary form": ("binary",), "JSON": ("JSON",), "the JPEG files": ("binary", "jpeg")}


class Engine(NamedTuple):
    """A real server: its environment, the ports that its script takes, and the name of the model there."""

    environment: str
    ports: int
    model: str = "ssd"
    sends: Literal["tensors", "jpeg"] = "tensors"


REAL = {
    "binary form, Triton": Engine("pytriton", 2),
    "binary form of bytes, likely places only, Triton": Engine("pytriton", 2, "ssd-bytes"),
    "the JPEG files, Triton": Engine("pytriton", 2, "ssd-files", "jpeg"),
    "binary form, KServe": Engine("kserve", 1),
    "the JPEG files in JSON, likely places only, KServe": Engine("kserve", 1, "ssd-files", "jpeg"),
    "JSON, MLServer": Engine("mlserver", 3),
    "the JPEG files in JSON, likely places only, MLServer": Engine("mlserver", 3, "ssd-files", "jpeg"),
}


def run(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(1.0, 0.1)
    with ExitStack() as opened:
        home = opened.enter_context(closing(_open(LabelerSettings(model=str(FOLDER), device="cpu", threads=1))))
        labelers = {"home": home}
        for name, arguments in FORMS.items():
            url = opened.enter_context(server_by_hand(*arguments))
            sends: Literal["tensors", "jpeg"] = "jpeg" if "jpeg" in arguments else "tensors"
            labelers[f"{name}, server by hand"] = opened.enter_context(closing(_remote(url, FOLDER.name, sends)))
        if not bench.quick:
            labelers |= _real(opened)
        data = next(iter(jpegs(640, 480)))
        frame = Frame(Picture("1", data), decode(data, PictureLimits(), home.input_size))
        meters = {name: Meter(each, frame, seconds) for name, each in labelers.items()}
        times = alternate(meters)
    spent = {name: Median(each.spent) for name, each in meters.items()}
    for name in list(labelers)[1:]:
        yield result("remote", f"{name}, against at home", times[name], "ms", baseline=times["home"])
    for name in list(labelers)[1:]:
        metric = f"{name}, processor time of the box, against at home"
        yield result("remote", metric, spent[name], "ms", baseline=spent["home"])


class Meter:
    """Labels a picture again and again; a call returns the milliseconds of one, and adds those of processor time to
    `spent`."""

    def __init__(self, labeler: Labeler, frame: Frame, seconds: float) -> None:
        self._labeler, self._frame, self._seconds = labeler, frame, seconds
        self.spent: list[float] = []

    def __call__(self) -> float:
        started, spent, count = time.perf_counter(), time.process_time(), 0
        while (passed := time.perf_counter() - started) < self._seconds or not count:
            self._labeler.label([self._frame])
            count += 1
        self.spent.append(1000 * (time.process_time() - spent) / count)
        return 1000 * passed / count


def _real(opened: ExitStack) -> dict[str, Labeler]:
    """Start the real servers that are installed; return labelers by the names of their rows."""
    urls: dict[str, str] = {}
    labelers: dict[str, Labeler] = {}
    for name, engine in REAL.items():
        if not is_installed(engine.environment):
            print(f"NOT MEASURED: {name}, because pytest --long tests/engines has not installed it", flush=True)
            continue
        if engine.environment not in urls:
            script = ENGINES / f"serve_{engine.environment}.py"
            urls[engine.environment] = opened.enter_context(
                running(engine.environment, script, engine.model, ports=engine.ports)
            )
        remote = _remote(urls[engine.environment], engine.model, engine.sends)
        labelers[name] = opened.enter_context(closing(remote))
    return labelers


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

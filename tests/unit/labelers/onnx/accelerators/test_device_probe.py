"""Try devices in a separate process, so that a bad driver harms nothing else.

The drivers are real shared libraries, in packages as pip installs them. They misbehave when they are loaded.
"""

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.accelerators import probe
from camiohookd.labelers.onnx.accelerators.agreement import difference
from camiohookd.labelers.onnx.accelerators.probe import Trial
from camiohookd.labelers.onnx.devices import CPU, Device, Library
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import constant_model, model_folder
from tests.unit.labelers.onnx.test_devices import install

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"

# The entry point of a plug-in, https://onnxruntime.ai/docs/execution-providers/plugin-ep-libraries/
DRIVER = """
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
void *CreateEpFactories(const char *name, const void *api, const void *logger, void **factories, size_t max, size_t *n)
{
    (void)name, (void)api, (void)logger, (void)factories, (void)max;
    *n = 0;
    printf("drivers print\\n");
    fflush(stdout);
    %s;
    return NULL;
}
void *ReleaseEpFactory(void *factory) { (void)factory; return NULL; }
"""


@pytest.fixture
def driver(tmp_path: Path) -> "Driver":
    return Driver(tmp_path)


class Driver:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def that(self, does: str) -> Library:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("NOT TESTED: what a plug-in's library does to others, because there is no C compiler")
        library = self._folder / "libdriver.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=DRIVER % does, text=True, check=True
        )
        return Library(path=str(library))


def test_a_driver_that_finds_nothing_offers_nothing(driver: Driver) -> None:
    assert probe.offers(driver.that("")) == []


@pytest.mark.parametrize(
    ("does", "problem"),
    [
        ("abort()", r"crashed \(SIGABRT\)"),
        ("*(volatile int *)0 = 1", r"crashed \(SIGSEGV\)"),
        ("_exit(3)", "ended with status 3"),
    ],
)
def test_survives_a_crashing_driver(driver: Driver, does: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        probe.offers(driver.that(does))


def test_ends_a_hanging_driver(driver: Driver) -> None:
    library = driver.that("pause()")
    started = time.monotonic()
    with pytest.raises(ModelError, match="gave no answer within 2 s"):
        probe.offers(library, seconds=2.0)
    assert time.monotonic() - started < 10


def test_survives_a_package_that_crashes_when_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime-ep-bad", "onnxruntime_ep_bad", "import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"crashed \(SIGABRT\)"):
        probe.offers(Library(package="onnxruntime_ep_bad"))


def test_finds_the_library_of_a_package(tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    path = driver.that("").path
    install(tmp_path, "onnxruntime-ep-good", "onnxruntime_ep_good", f"def get_library_path(): return {path!r}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert probe.offers(Library(package="onnxruntime_ep_good")) == []


def test_reports_a_package_without_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime-ep-odd", "onnxruntime_ep_odd", "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"cannot be loaded as a plug-in: .*get_library_path"):
        probe.offers(Library(package="onnxruntime_ep_odd"))


def test_a_driver_gets_no_key_and_sends_no_telemetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    code = f"import os, pathlib; pathlib.Path({str(seen)!r}).write_text(repr(dict(os.environ)))"
    install(tmp_path, "onnxruntime-ep-nosy", "onnxruntime_ep_nosy", code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CAMIOHOOKD_HOOK_API_KEY", "a-secret-key")
    monkeypatch.setenv("CAMIO_OAUTH_TOKEN", "a-secret-token")
    with pytest.raises(ModelError):
        probe.offers(Library(package="onnxruntime_ep_nosy"))
    assert "a-secret" not in seen.read_text()
    assert "'ORT_DISABLE_TELEMETRY': '1'" in seen.read_text()


def test_the_cpu_runs_the_shipped_model() -> None:
    answer = probe.try_out(Trial(str(SHIPPED), CPU, {}, 2))
    assert answer.problem is None
    assert answer.ms is not None
    assert 0 < answer.ms < 5000


@pytest.mark.parametrize(
    "device",
    [
        Device("CUDAExecutionProvider", "gpu"),
        Device("PluggedExecutionProvider", "gpu", library=Library(path="/nowhere.so")),
    ],
)
def test_reports_a_missing_device(device: Device) -> None:
    answer = probe.try_out(Trial(str(SHIPPED), device, {}, 2))
    assert answer.problem
    assert answer.ms is None


def test_reports_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    assert "model.toml" in str(probe.try_out(Trial(str(tmp_path), CPU, {}, 2)).problem)


def test_reports_a_model_with_implausible_output(tmp_path: Path) -> None:
    model = constant_model({"scores": np.array([[np.nan, 0.5]], np.float32)})
    folder = model_folder(tmp_path, model, "classify", ["cat", "dog"])
    answer = probe.try_out(Trial(str(folder), CPU, {}, 1))
    assert "contains NaN or infinite values" in str(answer.problem)


def boxes(folder: Path, cat: float, dog: float, left: float = 0.1) -> OnnxLabeler:
    """Return the outputs of a detector that finds a cat and a dog in any picture."""
    outputs = {
        "scores": np.array([[[cat, 0], [0, dog]]], np.float32),
        "boxes": np.array([[[left, 0.1, left + 0.4, 0.5], [0.5, 0.5, 0.9, 0.9]]], np.float32),
    }
    return open_onnx(model_folder(folder, constant_model(outputs), "ssd", ["cat", "dog"]))


@pytest.mark.parametrize(
    ("cat", "dog", "left", "problem"),
    [
        (0.9, 0.1, 0.1, None),
        (0.85, 0.1, 0.1, None),
        (0.9, 0.1, 0.12, None),
        (0.9, 0.45, 0.1, None),
        (0.6, 0.1, 0.1, "does not find what the CPU finds: cat 0.90 in astronaut.jpg"),
        (0.9, 0.1, 0.4, "does not find what the CPU finds: cat 0.90 in astronaut.jpg"),
        (0.9, 0.8, 0.1, "finds what the CPU does not find: dog 0.80 in astronaut.jpg"),
        (0.0, 0.0, 0.1, "does not find what the CPU finds: cat 0.90 in astronaut.jpg"),
    ],
)
def test_ignores_small_differences_and_reports_others(
    tmp_path: Path, cat: float, dog: float, left: float, problem: str | None
) -> None:
    cpu, device = boxes(tmp_path / "cpu", 0.9, 0.1), boxes(tmp_path / "device", cat, dog, left)
    assert difference(cpu, device) == problem


@pytest.mark.parametrize(("cat", "problem"), [(0.2, None), (0.02, "does not find what the CPU finds: cat 0.25")])
def test_compares_the_most_probable_detection_if_none_is_certain(
    tmp_path: Path, cat: float, problem: str | None
) -> None:
    cpu, device = boxes(tmp_path / "cpu", 0.25, 0.1), boxes(tmp_path / "device", cat, 0.1)
    found = difference(cpu, device)
    assert found == problem or (problem and found and found.startswith(problem))

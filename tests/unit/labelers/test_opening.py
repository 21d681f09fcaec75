"""Open a model on the device of the settings, or on the CPU if that fails; remember the result of the trial."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camiohookd.errors import ConfigError, ModelError
from camiohookd.labelers.onnx.accelerators.crash_marker import Guard
from camiohookd.labelers.onnx.accelerators.probe import ProbeResult, Trial
from camiohookd.labelers.onnx.accelerators.survey import Survey
from camiohookd.labelers.onnx.cache import Cache
from camiohookd.labelers.onnx.devices import Device, parse_device
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.labelers.onnx.open import RunnerOpener, open_configured
from camiohookd.labelers.onnx.runner import Runner, Tensor
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.throughput import cores
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from tests.support.checkout import ROOT
from tests.support.onnx_graphs import model_folder

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
CAT = (ROOT / "camiohookd/samples/chelsea.jpg").read_bytes()
CPU, FANCY = Device("CPUExecutionProvider", "cpu"), Device("FancyExecutionProvider", "npu")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "camiohookd")
    return caplog


def picture(labeler: OnnxLabeler) -> Decoded:
    return decode(CAT, PictureLimits(), labeler.input_size)


# With this machine's real devices.


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_machine_with_only_a_cpu_labels_on_it_and_logs_nothing(
    tmp_path: Path, device: str, log: pytest.LogCaptureFixture
) -> None:
    degraded: list[bool] = []
    labeler, threads = open_configured(
        SHIPPED, device=device, state=tmp_path, on_degraded=degraded.append, plugin_folder=tmp_path
    )
    assert labeler.detect(picture(labeler))[0].label == "cat"
    assert labeler.device == "cpu"
    assert 1 <= threads <= (os.cpu_count() or 1)
    assert degraded == []
    assert log.messages == []
    assert not (tmp_path / "graphs/device-in-use").exists()


@pytest.mark.parametrize("device", ["gpu", "npu", "CUDAExecutionProvider"])
def test_a_missing_device_is_logged_once_and_the_cpu_is_used(
    tmp_path: Path, device: str, log: pytest.LogCaptureFixture
) -> None:
    degraded: list[bool] = []
    labeler, _ = open_configured(SHIPPED, device=device, on_degraded=degraded.append, plugin_folder=tmp_path)
    assert labeler.detect(picture(labeler))[0].label == "cat"
    assert labeler.device == "cpu"
    assert degraded == [True]
    assert log.messages == [
        f'device "{device}": there is no such device here, see "camiohookd devices"; labeling on the CPU, '
        "next try in 1 min"
    ]
    labeler.close()


def test_an_unloadable_plugin_is_logged_once_and_the_cpu_is_used(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    degraded: list[bool] = []
    missing = str(tmp_path / "missing.so")
    labeler, _ = open_configured(
        SHIPPED, device="auto", plugins=[missing], on_degraded=degraded.append, plugin_folder=tmp_path
    )
    assert labeler.device == "cpu"
    assert degraded == []
    [message] = log.messages
    assert message.startswith(f"{missing} is not used: it cannot be loaded as a plug-in: ")


def test_an_unknown_device_setting_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"labeler\.device"):
        open_configured(SHIPPED, device="gpu fast=1", on_degraded=print)


def test_a_bad_model_stops_the_start_on_any_device(tmp_path: Path) -> None:
    model_folder(tmp_path, b"no model", "classify", ["cat"])
    for device in ("auto", "cpu", "gpu"):
        with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
            open_configured(tmp_path, device=device, on_degraded=print)


def test_uses_one_label_thread_per_core_by_default(tmp_path: Path) -> None:
    assert open_configured(SHIPPED, device="cpu", state=tmp_path, on_degraded=print)[1] == cores()
    assert open_configured(SHIPPED, device="cpu", threads=7, state=tmp_path, on_degraded=print)[1] == 7


# With a simulated device.


class FakeSession:
    """The CPU under another name. It returns NaN if `broken`."""

    def __init__(self, model: bytes, name: str) -> None:
        self._session = open_session(model, name)
        self.device, self.inputs, self.outputs = FANCY.name, self._session.inputs, self._session.outputs
        self.broken = False

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        found = self._session.run(outputs, feeds)
        return [each * np.float32("nan") for each in found] if self.broken else found

    def close(self) -> None:
        pass


@dataclass
class Box:
    """A machine with a simulated device. `problem` is the result of a trial; `error` is what a start raises."""

    state: Path | None
    device: str = "auto"
    problem: str | None = None
    ms: float = 1.0
    error: Exception | None = None
    folder: Path = SHIPPED
    trials: int = 0
    degraded: list[bool] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    waits: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def open(self) -> OnnxLabeler:
        wish = parse_device(self.device)
        survey = Survey(
            self.folder,
            wish,
            [],
            threads=2,
            built_in=lambda: [CPU, FANCY],
            try_out=self.try_out,
        )
        self.opener = RunnerOpener(
            wish,
            survey,
            Cache(self.state, {}) if self.state else None,
            Guard(self.state / "device-in-use" if self.state else None, self.device),
            deadline=30,
            on_degraded=self.degraded.append,
            later=lambda seconds, function: self.waits.append((seconds, function)),
            start=self.start,
        )
        return open_onnx(self.folder, self.opener.open)

    def try_out(self, trial: Trial, seconds: float) -> ProbeResult:
        if trial.device == CPU:
            return ProbeResult(ms=5.0)
        self.trials += 1
        return ProbeResult(problem=self.problem) if self.problem else ProbeResult(ms=self.ms)

    def start(self, model: bytes, name: str, device: Device, **more: Any) -> Runner:
        assert device == FANCY
        if self.error:
            raise self.error
        self.sessions.append(FakeSession(model, name))
        return self.sessions[-1]

    @property
    def in_use(self) -> bool:
        assert self.state
        return (self.state / "device-in-use").exists()


@pytest.mark.parametrize("device", ["auto", "npu", "fancy"])
def test_marks_the_device_as_in_use_until_it_is_closed(tmp_path: Path, device: str) -> None:
    box = Box(tmp_path, device)
    labeler = box.open()
    assert labeler.device == "FancyExecutionProvider"
    assert labeler.detect(picture(labeler))[0].label == "cat"
    assert box.degraded == []
    assert box.in_use
    labeler.close()
    assert not box.in_use


def test_does_not_repeat_the_trial_of_a_chosen_device_at_the_next_start(tmp_path: Path) -> None:
    Box(tmp_path).open().close()
    box = Box(tmp_path)
    labeler = box.open()
    assert (labeler.device, box.trials) == ("FancyExecutionProvider", 0)
    labeler.close()


def test_auto_chooses_the_cpu_if_it_is_faster_and_remembers_it(tmp_path: Path) -> None:
    box = Box(tmp_path, ms=9.0)
    assert box.open().device == "cpu"
    assert not box.in_use
    again = Box(tmp_path)
    assert (again.open().device, again.trials) == ("cpu", 0)
    assert box.degraded == again.degraded == []


def test_tries_a_failed_device_again_at_the_next_start(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    assert Box(tmp_path, problem="crashed (SIGSEGV)").open().device == "cpu"
    assert "FancyExecutionProvider is not used: crashed (SIGSEGV)" in log.messages
    labeler = Box(tmp_path).open()
    assert labeler.device == "FancyExecutionProvider"
    labeler.close()


def test_a_configured_device_that_fails_means_degraded(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    box = Box(tmp_path, "npu", problem="gave no answer within 60 s")
    assert box.open().device == "cpu"
    assert box.degraded == [True]
    assert log.messages == [
        'device "npu": FancyExecutionProvider: gave no answer within 60 s; labeling on the CPU, next try in 1 min'
    ]
    assert not box.in_use


def test_a_remembered_device_that_fails_to_start_means_degraded_and_a_new_trial_before_the_next_start(
    tmp_path: Path,
) -> None:
    Box(tmp_path).open().close()
    box = Box(tmp_path, error=ModelError("the driver is gone"))
    labeler = box.open()
    assert (labeler.device, box.degraded, box.in_use) == ("cpu", [True], False)
    box.problem = "crashed (SIGSEGV)"
    box.error = AssertionError("not started after a failed trial")
    box.waits.pop()[1]()
    assert box.trials == 1
    assert labeler.device == "cpu"
    box.problem = box.error = None
    box.waits.pop()[1]()
    assert labeler.device == "FancyExecutionProvider"
    assert box.degraded == [True, False]
    labeler.close()


def test_nan_output_in_use_loses_no_picture(tmp_path: Path) -> None:
    box = Box(tmp_path)
    labeler = box.open()
    box.sessions[0].broken = True
    assert labeler.detect(picture(labeler))[0].label == "cat"
    assert (labeler.device, box.degraded, box.in_use) == ("cpu", [True], False)
    box.waits.pop()[1]()
    assert labeler.detect(picture(labeler))[0].label == "cat"
    assert (labeler.device, box.degraded, box.in_use) == ("FancyExecutionProvider", [True, False], True)
    labeler.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.labelers.test_opening import Box
box = Box(Path(sys.argv[1]), "npu")
if sys.argv[2] == "start":
    box.start = lambda *a, **b: os.kill(os.getpid(), signal.SIGSEGV)
labeler = box.open()
print(labeler.device, box.degraded, [seconds for seconds, _ in box.waits], flush=True)
if sys.argv[2] == "use":
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def program(state: Path, dies_at: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(state), dies_at], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("dies_at", ["start", "use"])
def test_does_not_start_a_device_again_at_once_that_killed_the_program(tmp_path: Path, dies_at: str) -> None:
    first = program(tmp_path, dies_at)
    assert first.returncode == -signal.SIGSEGV, first.stderr
    second = program(tmp_path, dies_at)
    assert (second.stdout, second.returncode) == ("cpu [True] [60.0]\n", 0 if dies_at == "start" else -signal.SIGSEGV)


def test_does_not_blame_the_device_for_a_normal_exit(tmp_path: Path) -> None:
    for _ in range(2):
        ended = program(tmp_path, "never")
        assert (ended.stdout, ended.returncode) == ("FancyExecutionProvider [] []\n", 0), ended.stderr

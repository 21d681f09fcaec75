"""Choose the fastest device that matches the setting and gives the same detections as the CPU."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.accelerators.probe import ProbeResult, Trial
from camiohookd.labelers.onnx.accelerators.survey import Survey
from camiohookd.labelers.onnx.devices import Device, Library, parse_device

PLUGIN = Library(path="/lib/plugin.so")
BROKEN = Library(path="/lib/broken.so")
EMPTY = Library(package="onnxruntime_ep_empty")
CPU = Device("CPUExecutionProvider", "cpu")
BUILT_IN = Device("FancyExecutionProvider")
GPU, NPU = (Device("PluggedExecutionProvider", hardware, "Acme", 1, PLUGIN) for hardware in ("gpu", "npu"))


class Machine:
    """A simulated machine: its devices, and the result of a trial of each."""

    def __init__(self, **ms: float | str) -> None:
        self.answers = {CPU: ms.get("cpu", 8.0), BUILT_IN: ms.get("fancy", 9.0)}
        self.answers |= {GPU: ms.get("gpu", 3.0), NPU: ms.get("npu", 5.0)}
        self.trials: list[Trial] = []
        self.limits: list[float] = []

    def offers(self, library: Library, seconds: float) -> Sequence[Device]:
        if library == BROKEN:
            raise ModelError("it cannot be loaded as a plug-in: damaged")
        return [GPU, NPU] if library == PLUGIN else []

    def try_out(self, trial: Trial, seconds: float) -> ProbeResult:
        self.trials.append(trial)
        self.limits.append(seconds)
        answer = self.answers[trial.device]
        return ProbeResult(problem=answer) if isinstance(answer, str) else ProbeResult(ms=answer)

    def survey(self, device: str, plugins: Sequence[Library] = (PLUGIN,), built_in: Sequence[Device] = ()) -> Survey:
        return Survey(
            Path("model"),
            parse_device(device),
            plugins,
            threads=2,
            built_in=lambda: [CPU, *built_in],
            offers=self.offers,
            try_out=self.try_out,
        )


def test_auto_chooses_the_fastest_device() -> None:
    assert Machine().survey("auto", built_in=[BUILT_IN]).choose()[0] == GPU
    assert Machine(npu=1.0).survey("auto").choose()[0] == NPU
    assert Machine(cpu=1.0).survey("auto").choose()[0] == CPU


def test_does_not_choose_a_faster_device_with_other_results() -> None:
    machine = Machine(gpu="does not find what the CPU finds: cat 0.93 in chelsea.jpg")
    device, findings = machine.survey("auto").choose()
    assert device == NPU
    assert [each.problem for each in findings if each.device == GPU] == [machine.answers[GPU]]


@pytest.mark.parametrize(
    ("setting", "taken", "tried"),
    [
        ("gpu", GPU, [GPU]),
        ("npu", NPU, [NPU]),
        ("fancy", BUILT_IN, [BUILT_IN]),
        ("plugged", GPU, [GPU, NPU]),
        ("plugged:npu", NPU, [NPU]),
    ],
)
def test_chooses_the_configured_device_even_if_the_cpu_is_faster(
    setting: str, taken: Device, tried: list[Device]
) -> None:
    machine = Machine(cpu=0.1)
    assert machine.survey(setting, built_in=[BUILT_IN]).choose()[0] == taken
    assert [trial.device for trial in machine.trials] == tried


def test_does_not_choose_a_configured_device_that_fails() -> None:
    device, findings = Machine(gpu="crashed (SIGSEGV)").survey("gpu").choose()
    assert device is None
    assert [(each.name, each.problem) for each in findings] == [("PluggedExecutionProvider:gpu", "crashed (SIGSEGV)")]


def test_reports_a_plugin_without_devices_or_that_cannot_be_loaded_and_uses_the_others() -> None:
    device, findings = Machine().survey("auto", plugins=[BROKEN, EMPTY, PLUGIN]).choose()
    assert device == GPU
    assert [(each.name, each.problem) for each in findings if each.device is None] == [
        ("/lib/broken.so", "it cannot be loaded as a plug-in: damaged"),
        ("onnxruntime_ep_empty", "the plug-in finds no device of its kind on this machine"),
    ]


def test_makes_no_trial_if_there_is_only_the_cpu() -> None:
    machine = Machine()
    device, _ = machine.survey("auto", plugins=[EMPTY]).choose()
    assert device is not None
    assert device.is_cpu
    assert machine.trials == []
    assert machine.survey("auto", plugins=[]).is_pointless
    assert not machine.survey("auto", plugins=[], built_in=[BUILT_IN]).is_pointless


def test_passes_options_only_to_their_own_provider() -> None:
    machine = Machine()
    survey = machine.survey("fancy mode=fast", built_in=[BUILT_IN])
    for finding in survey.found():
        survey.tried(finding)
    assert {trial.device: trial.settings for trial in machine.trials} == {
        CPU: {},
        BUILT_IN: {"mode": "fast"},
        GPU: {},
        NPU: {},
    }


def test_limits_the_total_time_of_trials_at_a_start() -> None:
    machine = Machine()
    machine.survey("auto").choose(seconds=2.0)
    assert len(machine.limits) == 3
    assert all(limit <= 2.0 for limit in machine.limits)

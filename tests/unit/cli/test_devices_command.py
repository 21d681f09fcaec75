"""`camiohookd devices`: list the devices that can run the model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.onnx.accelerators import probe
from camiohookd.labelers.onnx.accelerators.probe import ProbeResult, Trial
from camiohookd.labelers.onnx.accelerators.survey import Survey
from camiohookd.labelers.onnx.devices import Device
from tests.support.onnx_graphs import constant_model, model_folder

Output = Callable[[], tuple[str, str]]
CPU, FANCY, SLOW = Device("CPUExecutionProvider", "cpu", "AMD"), Device("FancyExecutionProvider", "npu"), Device("Slow")


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Output:
    """Return what was printed since the last call, on standard output and standard error."""
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))

    def read() -> tuple[str, str]:
        printed = capfd.readouterr()
        return printed.out, printed.err

    return read


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[Device, ProbeResult]:
    """Replace this machine's devices with others, and their trials with given results."""
    answers = {
        CPU: ProbeResult(ms=8.04),
        FANCY: ProbeResult(ms=2.5, nodes="620 of 625"),
        SLOW: ProbeResult(problem="crashed (SIGSEGV)"),
    }

    def try_out(trial: Trial, seconds: float) -> ProbeResult:
        return answers[trial.device]

    defaults = {"built_in": lambda: list(answers), "offers": probe.offers, "try_out": try_out}
    monkeypatch.setattr(Survey.__init__, "__kwdefaults__", defaults)
    return answers


def test_the_cpu_runs_the_model(output: Output) -> None:
    assert run(["devices"]) == ExitStatus.FINE
    head, cpu, *_ = output()[0].splitlines()
    assert head.split() == ["DEVICE", "HARDWARE", "VENDOR", "FROM", "MS", "RUNS"]
    assert cpu.startswith("CPUExecutionProvider")
    assert cpu.endswith("  yes")


def test_the_table_shows_what_runs_how_fast_and_which_device_auto_chooses(
    output: Output, machine: dict[Device, ProbeResult]
) -> None:
    assert run(["devices"]) == ExitStatus.FINE
    _, *rows, nothing, last = output()[0].splitlines()
    assert [" ".join(row.split()) for row in rows[:3]] == [
        "CPUExecutionProvider cpu AMD built in 8.0 yes",
        "FancyExecutionProvider npu - built in 2.5 yes, 620 of 625 nodes",
        "Slow - - built in - no: crashed (SIGSEGV)",
    ]
    assert (nothing, last) == ("", "auto picks FancyExecutionProvider")


def test_json_has_the_same_data(output: Output, machine: dict[Device, ProbeResult]) -> None:
    assert run(["devices", "--json"]) == ExitStatus.FINE
    cpu, fancy, slow, *_ = map(json.loads, output()[0].splitlines())
    assert fancy == {
        "device": "FancyExecutionProvider",
        "provider": "FancyExecutionProvider",
        "hardware": "npu",
        "vendor": None,
        "origin": "built in",
        "runs": True,
        "problem": None,
        "ms": 2.5,
        "nodes": "620 of 625",
        "auto": True,
    }
    assert (cpu["auto"], cpu["vendor"]) == (False, "AMD")
    assert (slow["runs"], slow["problem"], slow["ms"], slow["hardware"]) == (False, "crashed (SIGSEGV)", None, None)


def test_lists_a_plugin_that_cannot_be_loaded(tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing.so")
    monkeypatch.setenv("CAMIOHOOKD_LABELER_PLUGINS", json.dumps([missing]))
    assert run(["devices"]) == ExitStatus.FINE
    [row] = [row for row in output()[0].splitlines() if row.startswith(missing)]
    assert "plug-in" in row
    assert "no: it cannot be loaded as a plug-in: " in row


def test_another_model_can_be_tried(tmp_path: Path, output: Output) -> None:
    model = constant_model({"scores": np.array([[0.25, 0.75]], np.float32)})
    folder = model_folder(tmp_path / "weather", model, "classify", ["wet", "dry"])
    assert run(["devices", "--json", "--model", str(folder)]) == ExitStatus.FINE
    assert json.loads(output()[0].splitlines()[0])["runs"] is True


@pytest.mark.parametrize("broken", ["model.toml", "model.onnx"])
def test_reports_a_broken_model_and_not_a_broken_device(tmp_path: Path, output: Output, broken: str) -> None:
    folder = model_folder(tmp_path / "weather", b"no model", "classify", ["wet", "dry"])
    (folder / broken).write_bytes(b"damaged")
    assert run(["devices", "--model", str(folder)]) == ExitStatus.CONFIG
    assert f"{folder}/{broken}: " in output()[1]

"""ONNX Runtime sends telemetry by default; here it leaves no file and looks up no name.

Each test has a control, the same work without this package, which shows that the test can see telemetry. The
environments have no variables of CI systems, because ONNX Runtime sends nothing there.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.support.checkout import ROOT

MODEL = ROOT / "models/ssdlite-mobilenet-v2-coco"
WATCHER = Path(__file__).parents[1] / "support/lookup_watcher.py"

# Reports are first sent some eight seconds after the start; each program lives until its input ends, a minute at most.
LINGER = "import select, sys; print('done', flush=True); select.select([sys.stdin], [], [], 60)"
OURS = f"""
from camiohookd.cli.label.command import label
label([{str(ROOT / "camiohookd/samples/chelsea.jpg")!r}], standalone_mode=False)
{LINGER}
"""
CONTROL = f"""
import numpy, onnxruntime
session = onnxruntime.InferenceSession({str(MODEL / "ssdlite_mobilenet_v2_coco_int8.onnx")!r})
session.run(None, {{"images": numpy.zeros((1, 3, 300, 300), "float32")}})
{LINGER}
"""


class Running:
    """A Python program with its own home; `prefix` is the command that runs it."""

    def __init__(self, program: str, home: Path, *prefix: str) -> None:
        home.mkdir()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", program],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            self._process.communicate()

    def printed_until(self, start: str) -> list[str]:
        """Return the lines up to the first one with that start, or up to the end."""
        assert self._process.stdout
        lines: list[str] = []
        while (not lines or not lines[-1].startswith(start)) and (line := self._process.stdout.readline()):
            lines.append(line)
        return lines

    def end(self) -> str:
        """Return the rest of its output; check that its exit status is 0."""
        rest, _ = self._process.communicate()
        assert self._process.returncode == 0
        return rest


def files_in(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file()]


def private_network() -> list[str]:
    """Return the command that runs another command with its own network and mounts."""
    try_out = ["mount", "--bind", "/etc/resolv.conf", "/etc/resolv.conf"]
    complaint = ""
    for command in (["unshare", "--net", "--mount"], ["unshare", "--map-root-user", "--net", "--mount"]):
        tried = subprocess.run([*command, *try_out], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return command
        complaint = tried.stderr.strip()
    pytest.skip(f"NOT TESTED: that ONNX Runtime looks up no name; no private network can be made here: {complaint}")


def test_leaves_no_file(tmp_path: Path) -> None:
    for name, program in (("ours", OURS), ("control", CONTROL)):
        with Running(program, tmp_path / name) as running:
            assert running.printed_until("done")[-1] == "done\n"
            running.end()
    assert files_in(tmp_path / "control"), "ONNX Runtime leaves no file without us either: this test sees nothing"
    assert files_in(tmp_path / "ours") == []


def test_looks_up_no_name(tmp_path: Path) -> None:
    watched = [*private_network(), sys.executable, str(WATCHER)]
    with Running(OURS, tmp_path / "ours", *watched) as ours:
        printed = ours.printed_until("done")
        # Ours waits before the control starts, so it has had more time when the control looks up a name.
        with Running(CONTROL, tmp_path / "control", *watched) as control:
            asked = control.printed_until("asked")[-1]
        assert asked.startswith("asked"), "ONNX Runtime looks up no name without us either: this test sees nothing"
        printed += ours.end().splitlines()
    assert any(" cat " in line for line in printed), "the picture was not labeled"
    assert not [line for line in printed if line.startswith("asked")]

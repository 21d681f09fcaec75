"""Fuzz everything that reads input from outside: only the documented errors may be raised.

Continuous integration runs a limited number of inputs, --long a million and more. Each find becomes a file under
`found/`, which every run tries again.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")
SECONDS = 1
LONG_RUNS = {"recovery": 20_000}
LONG_RUNS_OF_OTHERS = 250_000
LONG_SECONDS = 900

_EXECUTED = re.compile(r"stat::number_of_executed_units: +(\d+)")

inputs = sorted(path for folder in ("seeds", "found") for path in (HERE / folder).glob("*/*"))


@pytest.fixture(autouse=True, scope="module")
def temporary_files() -> Iterator[str]:
    """Use a temporary folder, in memory if possible, and remove it: libFuzzer exits without cleaning up."""
    before = tempfile.tempdir
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as tempfile.tempdir:
        yield tempfile.tempdir
    tempfile.tempdir = before


@pytest.mark.parametrize("path", inputs, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_seed_and_earlier_find_is_handled_as_documented(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_no_fault(
    target: str, tmp_path: Path, long_run: bool, sums: Counter[str], temporary_files: str
) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip(f"NOT TESTED: fuzzing of {target}, because atheris has no wheel for this machine")
    limits = ["--seconds", str(SECONDS)]
    if long_run:
        limits = ["--seconds", str(LONG_SECONDS), "--runs", str(LONG_RUNS.get(target, LONG_RUNS_OF_OTHERS))]
    command = [sys.executable, str(HERE / "run.py"), target, "--keep", str(tmp_path), *limits]
    environ = os.environ | {"TMPDIR": temporary_files}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=2 * LONG_SECONDS)
    finds = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert not finds, f"{finds}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, done.stderr[-3000:]
    count = _EXECUTED.search(done.stderr)
    assert count, done.stderr[-3000:]
    sums["fuzz executions without a find"] += int(count[1])
    sums[f"  of {target}"] += int(count[1])

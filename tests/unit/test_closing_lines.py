"""The last lines of a test run: figures and untested parts, from one process or several."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

TESTS = """
import pytest

@pytest.mark.parametrize("number", [1, 2, 3])
def test_that_measures(number, print_figure, sums, not_tested):
    print_figure(f"figure {number}")
    sums["points"] += number
    not_tested("a real disk, because this takes root")

@pytest.mark.parametrize("number", [1, 2])
def test_that_is_skipped(number):
    pytest.skip("NOT TESTED: curl, because it is not installed (apt install curl)")

@pytest.mark.skipif(True, reason="NOT TESTED: what takes root")
def test_of_root(): pass
"""
SILENT = """
def test_that_is_skipped_silently():
    pytest.skip("because of something")
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests/conftest.py", folder)
    (folder / "test_it.py").write_text(text)
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # starts in half the time
    command = [sys.executable, "-m", "pytest", "-q", *options, "test_it.py"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n2"]], ids=["without xdist", "with xdist"])
def test_prints_figures_sums_and_untested_parts_once(tmp_path: Path, options: list[str]) -> None:
    """A skip whose reason does not start with "NOT TESTED: " fails."""
    done = run(tmp_path, TESTS + SILENT, *options)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 3 passed, 3 skipped" in done.stdout
    assert "skipped with the reason 'because of something', which should begin with 'NOT TESTED: '" in done.stdout
    lines = done.stdout.splitlines()
    assert sorted(line for line in lines if line.startswith("figure ")) == ["figure 1", "figure 2", "figure 3"]
    assert "points: 6" in lines
    assert [line for line in lines if line.startswith("NOT TESTED: ")] == [
        "NOT TESTED: a real disk, because this takes root",
        "NOT TESTED: curl, because it is not installed (apt install curl)",
        "NOT TESTED: what takes root",
        "NOT TESTED: 3 things, listed above",
    ]


def test_prints_nothing_if_everything_was_tested(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_it(): pass")
    assert done.returncode == 0
    assert "not tested" not in done.stdout.lower()

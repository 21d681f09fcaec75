"""Virtual environments for what only long runs install: each is made at its first use, and kept."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = 1800


def environment(folder: Path, requirements: Path, interpreter: Callable[[], str], not_tested: str) -> Path:
    """Return the Python of the environment in `folder`, which is made if its requirements are new.

    `interpreter` returns the Python to make it with; it is asked only then. Skip the test if the packages cannot be
    installed: `not_tested` names what is not tested then.
    """
    python = folder / "bin/python"
    if is_made(folder, requirements):
        return python
    subprocess.run([interpreter(), "-m", "venv", "--clear", str(folder)], check=True, timeout=SECONDS)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:", "--no-deps"]
    command = [str(python), "-m", "pip", "install", *options, "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: {not_tested}, because it cannot be installed: {done.stderr.strip()[-300:]}")
    _mark(folder).write_text(_hash(requirements))
    return python


def is_made(folder: Path, requirements: Path) -> bool:
    """Return whether the environment is there and has these requirements."""
    mark = _mark(folder)
    return mark.exists() and mark.read_text() == _hash(requirements)


def _mark(folder: Path) -> Path:
    return folder / "installed"


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

"""Packages that few tests need: each set is installed into a folder of the environment at its first use."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def install(lock: Path, name: str, not_tested: str) -> Path:
    """Make the packages that `lock` lists, with hashes, importable; return their folder, whose name is `name`.

    Skip the test if that fails: `not_tested` says what is not tested then.
    """
    folder = Path(sys.prefix, name)
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    mark = folder / "installed"
    if not (mark.exists() and mark.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(folder)]
        ended = subprocess.run(
            [*pip, *options, "--requirement", str(lock)], capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            reason = (ended.stderr.strip().splitlines() or ["no reason"])[-1]
            pytest.skip(f"{not_tested} cannot be installed: {reason}")
        mark.write_text(wanted)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return folder

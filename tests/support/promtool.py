"""promtool, Prometheus' own checker: the installed one, else the one of Debian's package, unpacked once."""

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PATIENCE = 120
_KEPT = Path(sys.prefix, "promtool", "promtool")
_NOT_TESTED = "NOT TESTED: the alert rules and the metrics by promtool, because "


@functools.cache
def promtool() -> str:
    """Return the path of the program; skip the test if it cannot be had."""
    if (installed := shutil.which("promtool")) is not None:
        return installed
    if not _KEPT.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            pytest.skip(f"{_NOT_TESTED}it is not installed (apt install prometheus)")
        _unpack()
    return str(_KEPT)


def _unpack() -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = functools.partial(subprocess.run, cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
            run(["apt-get", "download", "prometheus"])
            (package,) = Path(folder).glob("prometheus_*.deb")
            run(["dpkg-deb", "--extract", package.name, "tree"])
            _KEPT.parent.mkdir(parents=True, exist_ok=True)
            other = _KEPT.with_name(f"{Path(folder).name}.new")  # another test process may do the same
            shutil.copy(Path(folder, "tree/usr/bin/promtool"), other)
            other.rename(_KEPT)
        except (OSError, ValueError, subprocess.SubprocessError):
            pytest.skip(f"{_NOT_TESTED}it is not installed (apt install prometheus) and cannot be downloaded")


def checked(*arguments: str, stdin: str | None = None) -> str:
    """Run promtool and return what it says; a finding fails the test."""
    ended = subprocess.run(
        [promtool(), *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout

"""The daemon works although it disables core files, which makes its /proc belong to root.

If root runs the test, the daemon runs as the user nobody; otherwise as the same user.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60.0
NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
SYSTEMS_PYTHON = "/usr/bin/python3"  # for the labeler: the user nobody may have no access to this one
LABELER = f"""#!{SYSTEMS_PYTHON}
import json, struct, sys

while size := sys.stdin.buffer.read(4):
    images = json.loads(sys.stdin.buffer.read(*struct.unpack(">I", size)))["images"]
    labels = {{image["timestamp"]: {{"cat": {{"probability": 1}}}} for image in images}}
    answer = json.dumps({{"labels": labels}}).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that belongs to the daemon's user."""
    made = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def python(folder: Path) -> str:
    """Return this interpreter, which an ordinary user runs."""
    if os.geteuid() != 0:
        return sys.executable
    probe = [*AS_NOBODY, sys.executable, "-c", "import camiohookd.cli"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: an ordinary user's daemon, because only root can read this checkout and its Python")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec {" ".join(AS_NOBODY)} {sys.executable} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("kind", ["onnx", "command"])
def test_labels_and_serves_metrics_and_commands(kind: str, folder: Path, python: str) -> None:
    if kind == "command" and not Path(SYSTEMS_PYTHON).exists():
        pytest.skip(f"NOT TESTED: own code of an ordinary user, because there is no {SYSTEMS_PYTHON}")
    command = folder / "labeler"
    command.write_text(LABELER)
    command.chmod(0o755)
    settings = {"CAMIOHOOKD_LABELER_KIND": kind, "CAMIOHOOKD_LABELER_COMMAND": json.dumps([str(command)])}
    with FakeCamioThread() as camio, Daemon(folder, camio.origin, settings, python) as daemon:
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        user = NOBODY if os.geteuid() == 0 else os.geteuid()
        assert f"Uid:\t{user}\t{user}" in status
        assert Path(f"/proc/{daemon.process.pid}/fd").stat().st_uid == 0, "it is not dumpable"
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        assert b'"cat"' in camio.deliveries["one"][0].body
        metrics = daemon.admin("/metrics")[1]
        for name in ("process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total"):
            assert f"\n{name} " in metrics, "read from its own /proc"
        assert "done" in daemon.command("queue", "list").stdout
        assert daemon.command("check").stdout == "ok\n"
        assert "reloaded: " in daemon.reload()
        assert daemon.stop() == 0

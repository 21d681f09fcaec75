"""Real inference servers for tests, each in an environment of its own below .build/engines, made at its first use."""

import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import environments
from tests.support.checkout import ROOT
from tests.support.daemon_process import free_port

ENGINES = ROOT / "tests/engines"
PYTHON = "/usr/bin/python3.11"
"""Debian 12's own: PyTriton fails under some other builds of 3.11, and the requirements are pinned for it."""

START_SECONDS = 240
STOP_SECONDS = 20


def environment(name: str) -> Path:
    """Return the Python of the engine's environment, which is made if its requirements are new.

    Skip the test where that is not possible.
    """
    if not Path(PYTHON).exists():
        pytest.skip(f"NOT TESTED: the engine {name}, because {PYTHON} is missing (it is Debian 12's)")
    return environments.environment(*_places(name), lambda: PYTHON, f"the engine {name}")


def is_installed(name: str) -> bool:
    """Return whether the engine's environment is there."""
    return environments.is_made(*_places(name))


def _places(name: str) -> tuple[Path, Path]:
    """Return the folder of the engine's environment, and its requirements."""
    return ROOT / ".build/engines" / name, ENGINES / "requirements" / f"{name}.txt"


@contextmanager
def running(
    name: str, script: Path, model: str, *arguments: str, ports: int = 1, port_option: Sequence[str] = ()
) -> Iterator[str]:
    """Run a server's script in a session of its own; yield its URL as soon as it serves the `model`.

    `ports` free ports are its first arguments. With `port_option`, that option and one port come after `arguments`
    instead. Afterwards all processes of the session are ended.
    """
    python = environment(name)
    numbers = [str(free_port()) for _ in range(ports)]
    given = [*arguments, *port_option, numbers[0]] if port_option else [*numbers, *arguments]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CAMIOHOOKD_", "PYTHON"))}
    environ = {**inherited, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    url = f"http://127.0.0.1:{numbers[0]}"
    with tempfile.TemporaryDirectory(prefix="engine.") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(python), str(script), *given],
                cwd=folder,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, f"{url}/v2/models/{model}", log)
            yield url
        finally:
            _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < ends, log.read_text()[-3000:]
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes of its session: Triton's and Ray's outlive it otherwise."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for each in _of_session(process.pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    process.wait()


def _of_session(leader: int) -> list[int]:
    """Return the processes in the session that `leader` began, except ended ones."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found

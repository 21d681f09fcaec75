"""The shipped example for HAProxy, run before daemons on this machine."""

import csv
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.checkout import ROOT
from tests.support.daemon_process import KEY, free_port

EXAMPLE = ROOT / "fleet/haproxy.cfg"
PATIENCE = 30.0


def find() -> str | None:
    """Return the path of haproxy, None if it is not installed."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")  # not on an ordinary user's PATH


def program() -> str:
    """Return the path of haproxy; skip the test if it is not installed."""
    found = find()
    if found is None:
        pytest.skip("NOT TESTED: daemons behind HAProxy, because haproxy is not installed (apt install haproxy)")
    return found


def configuration(ports: Sequence[int], listen: int, stats: int, *, balance: str | None = None) -> str:
    """Return the example with servers at `ports` of this machine, and plain http at the port `listen`.

    The port `stats` has its state. `balance` replaces the example's choice of a server, such as "roundrobin".
    """
    text, servers = re.subn(r"^    server .*\n", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert servers == 3
    text = re.sub(r"^    (user|group|log) .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^    bind .*$", f"    bind 127.0.0.1:{listen}", text, flags=re.MULTILINE)
    if balance is not None:
        text = re.sub(r"^    balance .*$", f"    balance {balance}", text, flags=re.MULTILINE)
    text += "".join(f"    server box{nth} 127.0.0.1:{port}\n" for nth, port in enumerate(ports, 1))
    return f"{text}\nfrontend stats\n    bind 127.0.0.1:{stats}\n    stats enable\n    stats uri /\n"


class Balancer:
    """HAProxy in `folder` before daemons at `ports`; ``with`` starts it, waits for its servers, and ends it."""

    def __init__(self, folder: Path, ports: Sequence[int], *, balance: str | None = None) -> None:
        self._program = program()
        self.port, self._stats = free_port(), free_port()
        self._count = len(ports)
        self._file = folder / "haproxy.cfg"
        self._log = folder / "haproxy.log"
        self._file.write_text(configuration(ports, self.port, self._stats, balance=balance))

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-db", "-f", str(self._file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.wait_until(lambda servers: list(servers.values()).count("UP") == self._count)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tasks/{KEY}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def servers(self) -> dict[str, str]:
        """Return the state of each server by its name, such as UP, DOWN or "UP 1/2"; nothing while it starts."""
        return {row["svname"]: row["status"] for row in self._rows()}

    def sent_to(self) -> dict[str, int]:
        """Return the number of requests that each server got, without health checks."""
        return {row["svname"]: int(row["stot"]) for row in self._rows()}

    def wait_until(self, condition: Callable[[dict[str, str]], bool]) -> None:
        """Return as soon as `condition` holds for `servers`."""
        ends = time.monotonic() + PATIENCE
        while not condition(found := self.servers()):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < ends, f"{found}; its log:\n{self._log.read_text()}"
            time.sleep(0.05)

    def _rows(self) -> list[dict[str, str]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._stats}/;csv", timeout=5) as answer:
                lines = answer.read().decode().removeprefix("# ").splitlines()
        except OSError:
            return []
        return [row for row in csv.DictReader(lines) if row["svname"].startswith("box")]


def checked(text: str, folder: Path) -> None:
    """Have HAProxy check a configuration. Raises AssertionError with what it says of a wrong one."""
    file = folder / "checked.cfg"
    file.write_text(text)
    done = subprocess.run([program(), "-c", "-f", str(file)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr

"""Run the commands of docs/install.md in their order, as a user who has just cloned the project."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support import file_server
from tests.support.checkout import ROOT
from tests.support.daemon_process import START_SECONDS, STOP_SECONDS, free_port

PAGE = (ROOT / "docs/install.md").read_text()


def typed_commands() -> list[str]:
    """Return every command of the page's shell blocks.

    build.sh is left out: it runs these tests, and continuous integration runs its demonstration.
    """
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [line for line in lines if not line.startswith(("#", "./build.sh"))]


# Replaces a missing curl: does `curl URL`, and fails at every option.
PLAIN_CURL = """
import sys
import urllib.request

(url,) = sys.argv[1:]
sys.stdout.buffer.write(urllib.request.urlopen(url, timeout=30).read())
"""


class Terminal:
    """A user's shell in the checkout with its own home; `ports` replace the ports on the page."""

    def __init__(self, home: Path, ports: dict[str, int]) -> None:
        self._ports = ports
        self._lasting: list[str] = []
        self._programs = home / "programs"
        self._programs.mkdir()
        self._environ = {
            "PATH": f"{self._programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(home),
            "CAMIO_OAUTH_TOKEN": "token-of-the-owner",
            "CAMIOHOOKD_HOOK_LISTEN": f"127.0.0.1:{ports['8000']}",
            "CAMIOHOOKD_ADMIN_LISTEN": f"127.0.0.1:{ports['8001']}",
        }

    def provide(self, name: str, program: str) -> None:
        """Add a program, written in Python, to the user's PATH."""
        file = self._programs / name
        file.write_text(f"#!{sys.executable}\n{program}")
        file.chmod(0o755)

    def start(self, command: str) -> subprocess.Popen[str]:
        for pages, ours in self._ports.items():
            command = command.replace(f":{pages}", f":{ours}")
        script = "\n".join([*self._lasting, command])
        if command.startswith("export "):
            self._lasting.append(command)
        return subprocess.Popen(
            ["bash", "-euc", script],
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        process = self.start(command)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{command}\n{output}"
        return output

    @contextmanager
    def running(self, command: str) -> Iterator[None]:
        """Run the daemon; enter the block when it is ready, and press Ctrl-C at the end."""
        process = self.start(command)
        try:
            self._wait_until_ready(process)
            yield
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=STOP_SECONDS)
            assert process.returncode == 0, output
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._ports['8001']}/readyz", timeout=5).close()
                return
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < ends
                time.sleep(0.05)


class CamiosApi(BaseHTTPRequestHandler):
    """Accepts a hook and lists it; records what it was sent in `received`."""

    received: list[dict[str, str]]

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.received).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Log nothing."""


@pytest.fixture
def api() -> Iterator[tuple[str, list[dict[str, str]]]]:
    CamiosApi.received = []
    with file_server.running(CamiosApi) as url:
        yield url, CamiosApi.received


def test_the_commands_of_the_page_work_as_written(tmp_path: Path, api: tuple[str, list[dict[str, str]]]) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED: docs/install.md, because openssl is not installed (apt install openssl)")
    url, hooks = api
    terminal = Terminal(tmp_path, {port: free_port() for port in ("8000", "8001", "9000")})
    if shutil.which("curl") is None:
        terminal.provide("curl", PLAIN_CURL)
    daemons = [command for command in typed_commands() if command.endswith("camiohookd serve")]
    outputs: dict[str, str] = {}

    before, between, after = _split_at(typed_commands(), daemons)
    for command in before:
        outputs[command] = terminal.type(command)
    with terminal.running(daemons[0]):
        assert between == []
    with terminal.running(daemons[1]):
        for command in after:
            # Camio's own API is the only thing that the test replaces.
            elsewhere = f" --api {url}" if re.match("camiohookd hooks (create|list)", command) else ""
            outputs[command] = terminal.type(command + elsewhere)

    assert "cat" in outputs["camiohookd label camiohookd/samples/chelsea.jpg"]
    assert len(outputs["camiohookd queue list"].splitlines()) > 1
    assert (tmp_path / "camiohookd").stat().st_mode & 0o777 == 0o700
    (key,) = re.findall(r'^api_key = "(\w{48})"$', (tmp_path / "camiohookd/camiohookd.toml").read_text(), re.MULTILINE)
    assert [hook["callback_url"] for hook in hooks] == [f"https://hook.example.org/tasks/{key}"]
    assert not any(key in output for output in outputs.values())
    for name in ("check", "simulate", "hooks test", "hooks create", "hooks list", "queue list"):
        assert any(command.startswith(f"camiohookd {name}") for command in outputs), name


def _split_at(commands: list[str], marks: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for command in commands:
        if command in marks:
            parts.append([])
        else:
            parts[-1].append(command)
    return parts

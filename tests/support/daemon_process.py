"""The real daemon in its own process, for tests that use it, kill it and restart it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import Any, Self

from tests.support.checkout import ROOT
from tests.support.threaded_simulator import FakeCamioThread

KEY = "a-key-for-tests-0123456789"
SAMPLES = ROOT / "camiohookd" / "samples"
START_SECONDS = 120
STOP_SECONDS = 10


def free_port() -> int:
    """Return a port that is not in use, outside the range that the kernel uses for outgoing connections."""
    while True:
        port = SystemRandom().randrange(10_000, 32_768)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Daemon:
    """``camiohookd serve`` on a state folder; ``with`` starts it, and kills it if it still runs at the end."""

    def __init__(
        self, folder: Path, allow: str, settings: dict[str, str] | None = None, python: str = sys.executable
    ) -> None:
        """`allow` is the origin that callbacks may go to; `settings` are more environment variables."""
        self.python = python
        self.state = folder / "state"
        self.log_path = folder / "daemon.log"
        self.port, self.admin_port = free_port(), free_port()
        # Without a number of threads, each start in a new folder would measure which is the fastest.
        threads = {} if "CAMIOHOOKD_LABELER_KIND" in (settings or {}) else {"CAMIOHOOKD_LABELER_THREADS": "2"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CAMIOHOOKD_")}
        self.environ = inherited | {
            "CONFIGURATION_DIRECTORY": str(folder),
            "STATE_DIRECTORY": str(self.state),
            "RUNTIME_DIRECTORY": str(folder / "run"),
            "CAMIOHOOKD_HOOK_API_KEY": KEY,
            "CAMIOHOOKD_HOOK_LISTEN": f"127.0.0.1:{self.port}",
            "CAMIOHOOKD_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": json.dumps([allow]),
            "CAMIOHOOKD_CALLBACK_RETRY_MIN": "0.2s",
            **threads,
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tasks/{KEY}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def start(self, *, wait: bool = True) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "camiohookd", "serve"], env=self.environ, stdin=subprocess.DEVNULL, stderr=log
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self._wait_until(lambda: self.admin("/readyz")[0] == 200)

    def wait_until_started(self) -> None:
        """Wait until it takes events, though it may not be ready: a callback host may be down."""
        self._wait_until(lambda: self.admin("/healthz")[0] == 200)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"the daemon did not get ready; its log:\n{self.log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Send SIGKILL, as in a crash, and wait for the end."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send SIGTERM, as systemctl stop does; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def reload(self) -> str:
        """Send SIGHUP, as systemctl reload does; return the log since then, up to the line with the result."""
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        ends = time.monotonic() + START_SECONDS
        while not re.search(r"reloaded[:,].*\n", self.log[before:]):
            assert time.monotonic() < ends, f"it did not reload; its log:\n{self.log}"
            time.sleep(0.01)
        return self.log[before:]

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        return self._status_bytes("VmRSS")

    def most_memory(self) -> int:
        """Return the peak of its resident memory in bytes."""
        return self._status_bytes("VmHWM")

    def processor_seconds(self) -> float:
        """Return the processor seconds that it has used, without its children (proc(5): utime and stime)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status_bytes(self, field: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))

    def metric(self, name: str) -> float | None:
        """Return the sample of that name, labels included; None if there is none."""
        lines = self.admin("/metrics")[1].splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"camiohookd_{name} ")), None)

    def admin(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of the private listener; status 0 if nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def pending(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            page: dict[str, Any] = json.load(answer)
            return page

    def wait_until(self, condition: Callable[[], bool], patience: float = START_SECONDS) -> None:
        """Return as soon as `condition` holds. Raises AssertionError after `patience` seconds."""
        ends = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < ends, f"this did not come about; the daemon's log:\n{self.log}"
            time.sleep(0.02)

    def command(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``camiohookd ARGUMENTS`` in the environment of the daemon; `stdin` is what it reads."""
        return subprocess.run(
            [self.python, "-m", "camiohookd", *arguments],
            env=self.environ,
            capture_output=True,
            input=stdin,
            text=True,
            check=check,
            timeout=60,
        )


def event_body(callback_url: str, *, camera: str = "front", pictures: list[bytes] | None = None) -> bytes:
    """Return an event as Camio posts it; without `pictures`, with the sample photograph of a cat."""
    if pictures is None:
        pictures = [(SAMPLES / "chelsea.jpg").read_bytes()]
    images = [
        {"timestamp": f"2017-05-05T01:31:{number:02d}.738647", "image_b64": b64encode(data).decode()}
        for number, data in enumerate(pictures)
    ]
    event = {"callback_url": callback_url, "camera": camera, "user_id": "someone", "images": images}
    return json.dumps(event).encode()


def post_event(daemon: Daemon, camio: FakeCamioThread, name: str, **more: Any) -> dict[str, Any]:
    """Post an event named `name` and return the body of the 200 answer."""
    answer = camio.post(daemon.url, event_body(camio.callback_url(name), **more))
    assert answer.status == 200, answer
    status: dict[str, Any] = json.loads(answer.body)
    return status

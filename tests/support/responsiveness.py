"""How long a daemon takes to answer ``GET /tasks/`` while it has much else to do.

    with Watch(daemon) as watch: ... ─▶ watch.answers

Other programs on the machine delay answers, too. To tell this apart, a bare Tornado server is asked at the same time,
and each answer comes with the time for which the daemon used the processor, and waited for it. The bare server and the
client are processes of their own.

    python -m tests.support.responsiveness serve PORT
    python -m tests.support.responsiveness ask PID PORT BARE_PORT
"""

import asyncio
import http.client
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from tornado.web import Application, RequestHandler

from tests.support.checkout import ROOT
from tests.support.daemon_process import Daemon, free_port
from tests.support.figures import percentile

PAUSE = 0.005
TIMEOUT = 120.0


class Answer(NamedTuple):
    """Seconds from a request to its answer; seconds that the daemon's threads used the processor meanwhile, and waited
    for it, all threads together; and the seconds from a request to the bare server's answer."""

    seconds: float
    used: float
    waited: float
    bare: float

    @property
    def working(self) -> float:
        """The most seconds of the answer's time that the daemon's own work can account for."""
        return min(self.seconds, self.used)

    @property
    def without_queueing(self) -> float:
        """The answer's time without the time that the daemon waited for a processor."""
        return max(0.0, self.seconds - self.waited)


class Watch:
    """Asks from the beginning to the end of the block; `answers` are complete at its end."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        bare = free_port()
        self._server = _program("serve", str(bare))
        self._asker = _program("ask", str(self._daemon.process.pid), str(self._daemon.port), str(bare))
        assert self._asker.stdout is not None
        assert self._asker.stdout.readline() == b"asked\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            told, _ = self._asker.communicate(b"end\n", TIMEOUT)
        finally:
            for process in (self._asker, self._server):
                process.kill()
                process.communicate()
        self.answers = msgspec.json.decode(told, type=list[Answer])

    def sentence(self) -> str:
        """Say what was measured, in milliseconds."""
        rows = {
            "GET /tasks/ waits": [answer.seconds for answer in self.answers],
            "of that for the daemon's own work": [answer.working for answer in self.answers],
            "GET of a bare server beside it": [answer.bare for answer in self.answers],
        }
        return "; ".join(
            f"{name} {1000 * percentile(found, 0.99):.0f} ms (p99), {1000 * max(found):.0f} ms (worst)"
            for name, found in rows.items()
        )


def _program(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.responsiveness", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


class _Status(RequestHandler):
    def get(self) -> None:
        self.write({"status": "ok"})


async def _serve(port: int) -> None:
    Application([(".*", _Status)], log_function=lambda _handler: None).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


def _ask(pid: int, port: int, bare_port: int) -> None:
    """Ask both in turn until a line comes; then write the answers."""
    ours, bare = _connected(port), _connected(bare_port)
    sys.stdout.buffer.write(b"asked\n")
    sys.stdout.buffer.flush()
    answers: list[Answer] = []
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        used, waited = _processor(pid)
        seconds = _seconds(ours)
        used_now, waited_now = _processor(pid)
        answers.append(Answer(seconds, used_now - used, waited_now - waited, _seconds(bare)))
    sys.stdout.buffer.write(msgspec.json.encode(answers))


def _processor(pid: int) -> tuple[float, float]:
    """Return for how long the threads of a process have used the processor, and waited for it, in seconds.

    The files are described in Documentation/scheduler/sched-stats.rst of Linux.
    """
    used = waited = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # it has ended, or this kernel does not count
            fields = (thread / "schedstat").read_text().split()
            used, waited = used + int(fields[0]), waited + int(fields[1])
    return used / 1e9, waited / 1e9


def _connected(port: int) -> http.client.HTTPConnection:
    """Return a connection over which the first request is answered."""
    ends = time.monotonic() + TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            _seconds(connection)
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(PAUSE)
        else:
            return connection


def _seconds(connection: http.client.HTTPConnection) -> float:
    started = time.perf_counter()
    connection.request("GET", "/tasks/")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return time.perf_counter() - started


if __name__ == "__main__":
    what, *ports = sys.argv[1:]
    if what == "serve":
        asyncio.run(_serve(int(*ports)))
    else:
        _ask(*map(int, ports))

"""The real daemon for benchmarks: its costs, state folders with tasks in them, and helper programs."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from camiohookd.queue.task_queue import TaskQueue
from camiohookd.wire.event import Event
from camiohookd.wire.images import Picture
from tests.support.daemon_process import KEY, Daemon, free_port
from tests.support.queue_factory import ROOMY

ROOT = Path(__file__).parents[2]
PATH = f"/tasks/{KEY}"
START_SECONDS = 120.0
_CPUCLOCK_SCHED = 2
# Answers the first request, which every labeler gets at its start, and no other until the daemon ends.
_STALLED = """
import sys
sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "big"))
answer = b'{"labels": {}}'
sys.stdout.buffer.write(len(answer).to_bytes(4, "big") + answer)
sys.stdout.flush()
while sys.stdin.buffer.read(65536):
    pass
"""
WHOLE = {"CAMIOHOOKD_LABELER_DETAIL": "whole"}
STALLED_LABELER = {
    "CAMIOHOOKD_LABELER_KIND": "command",
    "CAMIOHOOKD_LABELER_COMMAND": json.dumps([sys.executable, "-c", _STALLED]),
    "CAMIOHOOKD_LABELER_DEADLINE": "24h",
}
"""Settings of a daemon that takes events and labels none, so that nothing but the taking is measured."""

SPACIOUS = {"CAMIOHOOKD_QUEUE_MAX_TASKS": "1000000", "CAMIOHOOKD_QUEUE_MAX_BYTES": "50 GB"}


def daemon(folder: Path, origin: str = "http://127.0.0.1:9", settings: dict[str, str] | None = None) -> Daemon:
    """Return a daemon that is not started yet. Its state is in ``folder/state``, which may exist.

    It looks at whole pictures only, as its baselines do.
    """
    folder.mkdir(exist_ok=True)
    return Daemon(folder, origin, SPACIOUS | WHOLE | (settings or {}))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def wait_until_idle(running: Daemon) -> None:
    """Wait until its queue is empty."""
    ends = time.monotonic() + START_SECONDS
    while running.pending()["pending"]:
        assert time.monotonic() < ends, f"there is still something waiting; its log:\n{running.log}"
        time.sleep(0.05)


def cpu_seconds(*pids: int) -> float:
    """Return the processor seconds that these processes have used, without their children.

    Read from the clocks that clock_getcpuclockid(3) names: proc(5) counts in hundredths of a second, too coarse for a
    turn of a second.
    """
    return sum(time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED) for pid in pids)


def children(pid: int) -> list[int]:
    """Return the running child processes of `pid`."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def disk_writes(pid: int) -> int:
    """Return the bytes that a process has made the kernel write to disk (whole pages)."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def forget_peak(pid: int) -> None:
    """Reset a process's peak memory, see proc(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def seconds_to_ready(waiting: Daemon) -> float:
    """Start it; return the seconds from exec to READY=1."""
    with Notices(waiting) as notices:
        started = time.perf_counter()
        waiting.start(wait=False)
        notices.wait_until_ready()
        return time.perf_counter() - started


class Notices:
    """The socket on which a daemon notifies systemd."""

    def __init__(self, of: Daemon) -> None:
        self._path = of.state.parent / "notify"
        self._daemon = of
        of.environ["NOTIFY_SOCKET"] = str(self._path)

    def __enter__(self) -> "Notices":
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.settimeout(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        del self._daemon.environ["NOTIFY_SOCKET"]

    def wait_until_ready(self) -> None:
        while b"READY=1" not in self._socket.recv(4096).split(b"\n"):
            pass


def event(number: int, pictures: Sequence[bytes], origin: str) -> Event:
    """Make an event as `parse_event` returns it."""
    timestamps = [f"2017-05-05T01:31:{nth:02d}.738647" for nth in range(len(pictures))]
    url, camera = f"{origin}/callback/w{number}", f"camera {number % 20}"
    images = [{"timestamp": timestamp, "type": "image/jpeg"} for timestamp in timestamps]
    return Event(
        callback_url=url,
        camera=camera,
        user_id="someone",
        pictures=tuple(map(Picture, timestamps, pictures)),
        rejected=(),
        warnings=(),
        rest={"callback_url": url, "camera": camera, "user_id": "someone", "images": images},
        digest=f"{number:032x}",
    )


def prefill(
    state: Path, count: int, pictures: Sequence[bytes], origin: str = "http://127.0.0.1:9", *, tidy: bool = True
) -> None:
    """Make a state folder with `count` waiting tasks, through the store.

    `tidy`: in a snapshot, as after a clean stop; otherwise only in the journal, as after a crash.
    """
    queue = TaskQueue(state, backoff=lambda _: 5.0, bounds=ROOMY)
    for first in range(0, count, 1000):
        with queue.batch():
            for number in range(first, min(first + 1000, count)):
                queue.put(event(number, pictures, origin))
            queue.commit()
    if tidy:
        queue.close()
        return
    crashed = state.with_name(state.name + ".crashed")
    shutil.copytree(state, crashed)
    queue.close()
    shutil.rmtree(state)
    crashed.rename(state)


@contextmanager
def program(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of this folder as a process that reads commands line by line; end it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def ask(process: subprocess.Popen[str], question: str) -> float:
    """Send a line and return the program's answer, a number."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(question + "\n")
    stdin.flush()
    answer = stdout.readline()
    if not answer:
        raise RuntimeError(f"{process.args!r} ended with status {process.wait()}")
    return float(answer)


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run a module of this folder that serves a port (its first argument); yield the port and the process."""
    port = free_port()
    with program(module, str(port), *arguments) as process:
        wait_for_port(port)
        yield port, process


def wait_for_port(port: int) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)

"""Compared with a service in the shape of Camio's example (`peer_app`): accepts, their cost, and latency.

The latency is for one event every 15 seconds on average. The peer starts labeling when it polls, every 10 seconds. A
fixed pace of 15 seconds would sample only a few of its possible waits.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench import rig
from tests.bench.accept import events
from tests.bench.camio import TIMEOUT, Connection, Events, Receiver, accepts, unique
from tests.bench.harness import Bench, Result, Target, alternate, at_least, at_most, result
from tests.bench.pictures import jpegs
from tests.support.daemon_process import free_port

PAUSES = (15, 11, 19, 13, 17)
"""Seconds from one event to the next."""


def run(bench: Bench) -> Iterator[Result]:
    yield from accepting(bench)
    yield latency(bench)


def accepting(bench: Bench) -> Iterator[Result]:
    seconds, bodies = bench.scaled(2, 0.3), events()
    spent: dict[str, list[float]] = {"ours": [], "peer": []}

    def contestant(name: str, port: int, *pids: int) -> Callable[[], float]:
        def measured() -> float:
            before = rig.cpu_seconds(*pids)
            rate = accepts(port, rig.PATH, bodies, seconds)
            spent[name].append(rate * seconds / (rig.cpu_seconds(*pids) - before))
            return rate

        return measured

    place = bench.place("peer-accepts")
    with rig.daemon(place, settings=rig.STALLED_LABELER) as ours, web(place) as (port, pids):
        rates = alternate(
            {"ours": contestant("ours", ours.port, ours.process.pid), "peer": contestant("peer", port, *pids)}
        )
    each = {name: statistics.median(found) for name, found in spent.items()}
    yield result("peer", "accepts", rates["ours"], "/s", baseline=rates["peer"], target=at_least(1.5, 1.5))
    yield result(
        "peer", "accepts per CPU second", each["ours"], "/s", baseline=each["peer"], target=Target(None, goal=3)
    )


def latency(bench: Bench) -> Result:
    """Measure both at the same time: they are idle most of it."""
    place, pauses = bench.place("peer-latency"), (0,) if bench.quick else PAUSES
    found: dict[str, list[float]] = {"ours": [], "peer": []}
    with Receiver() as receiver, rig.daemon(place, receiver.origin) as ours, web(place) as (port, _), polling(place):
        bodies = Events(receiver.origin, jpegs(640, 480))
        for pause in pauses:
            started = time.monotonic()
            sent = {name: post(to, bodies) for name, to in (("ours", ours.port), ("peer", port))}
            for name, (event, at) in sent.items():
                receiver.wait_for(partial(receiver.arrived.__contains__, event))
                found[name].append(receiver.arrived[event] - at)
            time.sleep(max(0.0, started + pause - time.monotonic()))
    medians = {name: 1000 * statistics.median(each) for name, each in found.items()}
    metric = "latency of an event every 15 s"
    return result("peer", metric, medians["ours"], "ms", baseline=medians["peer"], target=at_most(1 / 20, 1 / 50))


def post(port: int, bodies: Events) -> tuple[str, float]:
    """Post one event; return its name and the time."""
    name, connection = unique(), Connection(port, rig.PATH)
    at = time.perf_counter()
    assert connection.post(*bodies.body(name)) == 200
    connection.close()
    return name, at


@contextmanager
def web(place: Path) -> Iterator[tuple[int, list[int]]]:
    """Start the peer's two workers; yield their port and process ids."""
    port = free_port()
    arguments = ["-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    with started(place, [*arguments, "tests.bench.peer_app:app"]) as process:
        rig.wait_for_port(port)
        ends = time.monotonic() + TIMEOUT
        while len(workers := rig.children(process.pid)) < 2:
            assert time.monotonic() < ends, "gunicorn did not start its workers"
            time.sleep(0.05)
        yield port, [process.pid, *workers]


@contextmanager
def polling(place: Path) -> Iterator[None]:
    with started(place, ["-m", "tests.bench.peer_app"]):
        yield


@contextmanager
def started(place: Path, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    environ = os.environ | {"PEER_DATABASE": str(place / "peer.sqlite")}
    process = subprocess.Popen([sys.executable, *arguments], cwd=rig.ROOT, env=environ)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()

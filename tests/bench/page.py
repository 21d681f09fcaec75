"""What the status page costs while it is open: two daemons take turns, one remembers nothing and shows nothing.

The page is open twice, as the first page and as the list of events, whose new thumbnails are fetched; it stays open
for the whole benchmark. Rates are measured with more events than can be labeled at once. After each turn both daemons
are given the time to end what they put off (thumbnails, snapshots of the queue), so that none works in the other's
turn. The processor seconds of each daemon stand beside the rates: on a machine that does something else, too, they are
disturbed less. Least disturbed is the time that the open page itself takes, which is measured while nothing arrives.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.bench import rig
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.harness import Bench, Median, Result, alternate, at_least, at_most, result
from tests.bench.label import labeled
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

LABEL_ROUNDS = 9
ACCEPT_ROUNDS = 25
"""Many and short, because the disk is disturbed for seconds at a time."""

QUIET_SECONDS = 0.3
SETTLE_SECONDS = 2.0
WITHOUT = {"CAMIOHOOKD_ADMIN_HISTORY": "0"}
_THUMBNAIL = re.compile(rb"/events/\d+/pictures/\d+\.jpg")


class Viewer:
    """A browser that has the page open; `thumbnails` counts those that it has fetched."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.thumbnails = 0
        self._connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2)]

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._watch, args=(connection, page))
            for connection, page in zip(self._connections, ("now", "events"), strict=True)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _watch(self, connection: http.client.HTTPConnection, page: str) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", f"/live?page={page}")
            response = connection.getresponse()
            assert response.status == 200, f"the answer to /live was {response.status}"
            while line := response.readline():
                for path in _THUMBNAIL.findall(line):
                    self._fetch(path.decode())
        connection.close()

    def _fetch(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", path)
        self.thumbnails += connection.getresponse().status == 200
        connection.close()


def run(bench: Bench) -> Iterator[Result]:
    yield from label(bench)
    yield from accept(bench)
    yield memory(bench)


def label(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(4, 0.5)
    with (
        Receiver() as receiver,
        rig.daemon(bench.place("page"), receiver.origin) as ours,
        rig.daemon(bench.place("no-page"), receiver.origin, WITHOUT) as without,
    ):
        events = Events(receiver.origin, jpegs(640, 480))

        def rate(daemon: Daemon) -> tuple[float, float]:
            before, count = rig.cpu_seconds(daemon.process.pid), len(receiver.arrived)
            found = labeled(daemon, receiver, events, seconds)
            spent = rig.cpu_seconds(daemon.process.pid) - before
            return 4 * found, spent / (len(receiver.arrived) - count)

        names = ("pictures labeled", "processor time for an event")
        with Viewer(ours.admin_port):
            yield from _compare(names, ours, without, rate, LABEL_ROUNDS)


def accept(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(1, 0.3)
    bodies = Events("http://127.0.0.1:9", jpegs(640, 480))
    with (
        rig.daemon(bench.place("accept-page"), settings=rig.STALLED_LABELER) as ours,
        rig.daemon(bench.place("accept-no-page"), settings=rig.STALLED_LABELER | WITHOUT) as without,
    ):

        def rate(daemon: Daemon) -> tuple[float, float]:
            before = rig.cpu_seconds(daemon.process.pid)
            found = accepts(daemon.port, rig.PATH, bodies, seconds)
            return found, (rig.cpu_seconds(daemon.process.pid) - before) / (found * seconds)

        names = ("durable accepts", "processor time for an accept")
        with Viewer(ours.admin_port):
            yield from _compare(names, ours, without, rate, bench.count(ACCEPT_ROUNDS, LABEL_ROUNDS))
            while_open = _used_a_second(ours, bench.scaled(20, 1))
        closed = _used_a_second(ours, bench.scaled(20, 1))
    yield result("page", "processor time of the open page a second", while_open - closed, "ms", target=at_most(20, 10))


def memory(bench: Bench) -> Result:
    """Measure an idle daemon whose pages were all shown, and two of which are open."""
    with rig.daemon(bench.place("page-memory")) as daemon, Viewer(daemon.admin_port):
        for path in ("/", "/events", "/trends", "/cameras", "/failed", "/doctor"):
            assert daemon.admin(path)[0] == 200
        time.sleep(SETTLE_SECONDS)
        return result("page", "memory, idle, with the page open", daemon.memory() / 1e6, "MB", target=at_most(150, 110))


def _used_a_second(daemon: Daemon, seconds: float) -> float:
    """Return the milliseconds of processor time that it uses a second while events wait and none arrive."""
    before = rig.cpu_seconds(daemon.process.pid)
    time.sleep(seconds)
    return 1000 * (rig.cpu_seconds(daemon.process.pid) - before) / seconds


def _compare(
    names: tuple[str, str],
    ours: Daemon,
    without: Daemon,
    rate: Callable[[Daemon], tuple[float, float]],
    rounds: int,
) -> Iterator[Result]:
    """Yield the medians of both figures that `rate` measures, under these `names`."""
    costs: dict[Daemon, list[float]] = {ours: [], without: []}

    def turn(daemon: Daemon) -> float:
        found, cost = rate(daemon)
        costs[daemon].append(cost)
        _wait_until_quiet(daemon)
        return found

    rates = alternate({"with": lambda: turn(ours), "without": lambda: turn(without)}, rounds)
    for name, unit, value, baseline, target in (
        (names[0], "/s", rates["with"], rates["without"], at_least(0.98, 0.99)),
        (names[1], "ms", _milliseconds(costs[ours]), _milliseconds(costs[without]), at_most(1.02, 1.01)),
    ):
        yield result("page", f"{name}, with the page open", value, unit, baseline=baseline, target=target)


def _milliseconds(costs: Sequence[float]) -> Median:
    return Median(1000 * each for each in costs)


def _wait_until_quiet(daemon: Daemon) -> None:
    ends = time.monotonic() + rig.START_SECONDS
    while True:
        before = rig.cpu_seconds(daemon.process.pid)
        time.sleep(QUIET_SECONDS)
        if rig.cpu_seconds(daemon.process.pid) - before <= QUIET_SECONDS / 10 or time.monotonic() > ends:
            return

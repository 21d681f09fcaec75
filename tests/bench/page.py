"""What the status page costs while it is open: the same daemon takes turns, with the page open and without.

The page is open twice, as the first page and as the list of events, whose new thumbnails are fetched. Rates are
measured with more events than can be labeled at once. Before each turn the daemon is given the time to end what it put
off (thumbnails, snapshots of the queue). It has to be the same daemon: two processes of the same program and settings
differ by up to a tenth. What the history costs, too, is measured with a second daemon all the same, without a bound.

The processor seconds stand beside the rates: on a machine that does something else, too, they are disturbed less.
Least disturbed is the time that the open page itself takes, which is measured while nothing arrives.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from tests.bench import rig
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.harness import Bench, Median, Result, alternate, at_least, at_most, result
from tests.bench.label import labeled
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

LABEL_ROUNDS, QUICK_ROUNDS = 9, 3
ACCEPT_ROUNDS = 25
"""Many and short, because the disk is disturbed for seconds at a time."""

QUIET_SECONDS = 0.3
SETTLE_SECONDS = 2.0
WITHOUT = {"CAMIOHOOKD_ADMIN_HISTORY": "0"}
_THUMBNAIL = re.compile(rb"/events/\d+/pictures/\d+\.jpg")


class Turn(NamedTuple):
    """What was measured in a turn: a rate a second, and milliseconds of processor time for each event."""

    rate: float
    milliseconds: float


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

        def measure(daemon: Daemon) -> Turn:
            before, count = rig.cpu_seconds(daemon.process.pid), len(receiver.arrived)
            found = labeled(daemon, receiver, events, seconds)
            spent = rig.cpu_seconds(daemon.process.pid) - before
            return Turn(4 * found, 1000 * spent / (len(receiver.arrived) - count))

        turns = _turns(
            {
                "open": lambda: _watched(ours, measure),
                "closed": lambda: _quiet(ours, measure),
                "neither": lambda: _quiet(without, measure),
            },
            bench.count(LABEL_ROUNDS, QUICK_ROUNDS),
        )
    names = ("pictures labeled", "processor time for an event")
    yield from _results(names, turns)
    for name, unit, figures in zip(names, ("/s", "ms"), (_rates(turns), _costs(turns)), strict=True):
        metric = f"{name}, with page and history against neither"
        yield result("page", metric, figures["open"], unit, baseline=figures["neither"])


def accept(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(0.5, 0.3)
    bodies = Events("http://127.0.0.1:9", jpegs(320, 240))  # all rounds together fit in 4 GB of disk
    with rig.daemon(bench.place("accept-page"), settings=rig.STALLED_LABELER) as ours:

        def measure(daemon: Daemon) -> Turn:
            before = rig.cpu_seconds(daemon.process.pid)
            found = accepts(daemon.port, rig.PATH, bodies, seconds)
            spent = rig.cpu_seconds(daemon.process.pid) - before
            return Turn(found, 1000 * spent / (found * seconds))

        contestants = {"open": lambda: _watched(ours, measure), "closed": lambda: _quiet(ours, measure)}
        turns = _turns(contestants, bench.count(ACCEPT_ROUNDS, QUICK_ROUNDS))
        closed = _used_a_second(ours, bench.scaled(20, 1))
        with Viewer(ours.admin_port):
            while_open = _used_a_second(ours, bench.scaled(20, 1))
    yield from _results(("durable accepts", "processor time for an accept"), turns)
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


def _watched(daemon: Daemon, measure: Callable[[Daemon], Turn]) -> Turn:
    """Measure with the page open."""
    _wait_until_quiet(daemon)
    with Viewer(daemon.admin_port):
        return measure(daemon)


def _quiet(daemon: Daemon, measure: Callable[[Daemon], Turn]) -> Turn:
    """Measure without the page."""
    _wait_until_quiet(daemon)
    return measure(daemon)


def _turns(contestants: Mapping[str, Callable[[], Turn]], rounds: int) -> dict[str, list[Turn]]:
    """Return the turns of each contestant."""
    turns: dict[str, list[Turn]] = {name: [] for name in contestants}

    def take(name: str) -> float:
        turns[name].append(contestants[name]())
        return turns[name][-1].rate

    alternate({name: partial(take, name) for name in contestants}, rounds)
    return turns


def _rates(turns: Mapping[str, Sequence[Turn]]) -> dict[str, Median]:
    return {name: Median(turn.rate for turn in found) for name, found in turns.items()}


def _costs(turns: Mapping[str, Sequence[Turn]]) -> dict[str, Median]:
    return {name: Median(turn.milliseconds for turn in found) for name, found in turns.items()}


def _results(names: tuple[str, str], turns: Mapping[str, Sequence[Turn]]) -> Iterator[Result]:
    """Yield how the page changes the rate and the processor time, under these `names`."""
    rates, costs = _rates(turns), _costs(turns)
    for name, unit, figures, target in (
        (names[0], "/s", rates, at_least(0.98, 0.99)),
        (names[1], "ms", costs, at_most(1.02, 1.01)),
    ):
        metric = f"{name}, with the page open"
        yield result("page", metric, figures["open"], unit, baseline=figures["closed"], target=target)


def _wait_until_quiet(daemon: Daemon) -> None:
    ends = time.monotonic() + rig.START_SECONDS
    while True:
        before = rig.cpu_seconds(daemon.process.pid)
        time.sleep(QUIET_SECONDS)
        if rig.cpu_seconds(daemon.process.pid) - before <= QUIET_SECONDS / 10 or time.monotonic() > ends:
            return

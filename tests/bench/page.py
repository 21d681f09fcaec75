"""What the status page costs while it is open: two daemons take turns, one remembers nothing and shows nothing.

The page is open twice, as the first page and as the list of events, whose new thumbnails are fetched. Rates are
measured with more events than can be labeled at once. The processor seconds of each daemon stand beside them: on a
machine that does something else, too, they are disturbed less.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.bench import rig
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.harness import Bench, Result, alternate, at_least, at_most, result
from tests.bench.label import labeled
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

ROUNDS = 9
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

        yield from _compare("pictures labeled", "processor time for an event", ours, without, rate)


def accept(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(2, 0.3)
    bodies = Events("http://127.0.0.1:9", jpegs(640, 480))
    with (
        rig.daemon(bench.place("accept-page"), settings=rig.STALLED_LABELER) as ours,
        rig.daemon(bench.place("accept-no-page"), settings=rig.STALLED_LABELER | WITHOUT) as without,
    ):

        def rate(daemon: Daemon) -> tuple[float, float]:
            before = rig.cpu_seconds(daemon.process.pid)
            found = accepts(daemon.port, rig.PATH, bodies, seconds)
            return found, (rig.cpu_seconds(daemon.process.pid) - before) / (found * seconds)

        yield from _compare("durable accepts", "processor time for an accept", ours, without, rate)


def memory(bench: Bench) -> Result:
    """Measure an idle daemon whose pages were all shown, and two of which are open."""
    with rig.daemon(bench.place("page-memory")) as daemon, Viewer(daemon.admin_port):
        for path in ("/", "/events", "/trends", "/cameras", "/failed", "/doctor"):
            assert daemon.admin(path)[0] == 200
        time.sleep(SETTLE_SECONDS)
        return result("page", "memory, idle, with the page open", daemon.memory() / 1e6, "MB", target=at_most(150, 110))


def _compare(
    rate_name: str, cost_name: str, ours: Daemon, without: Daemon, rate: Callable[[Daemon], tuple[float, float]]
) -> Iterator[Result]:
    """Yield the rates, and the least processor seconds: what else runs can only add to them."""
    costs: dict[str, list[float]] = {"with": [], "without": []}

    def with_page() -> float:
        with Viewer(ours.admin_port):
            found, cost = rate(ours)
        costs["with"].append(cost)
        _wait_until_quiet(ours)  # thumbnails that waited are made now: not in the other one's turn
        return found

    def without_page() -> float:
        found, cost = rate(without)
        costs["without"].append(cost)
        return found

    rates = alternate({"with": with_page, "without": without_page}, ROUNDS)
    yield from _results(rate_name, cost_name, rates, costs)


def _results(
    rate: str, cost: str, rates: Mapping[str, float], costs: Mapping[str, Sequence[float]]
) -> Iterator[Result]:
    yield result(
        "page",
        f"{rate}, with the page open",
        rates["with"],
        "/s",
        baseline=rates["without"],
        target=at_least(0.98, 0.99),
    )
    least = {name: 1000 * min(found) for name, found in costs.items()}
    yield result(
        "page",
        f"{cost}, with the page open",
        least["with"],
        "ms",
        baseline=least["without"],
        target=at_most(1.02, 1.01),
    )


def _wait_until_quiet(daemon: Daemon) -> None:
    ends = time.monotonic() + rig.START_SECONDS
    while True:
        before = rig.cpu_seconds(daemon.process.pid)
        time.sleep(QUIET_SECONDS)
        if rig.cpu_seconds(daemon.process.pid) - before <= QUIET_SECONDS / 10 or time.monotonic() > ends:
            return

"""What the status page's history costs: two daemons, one of which remembers events, take turns.

Rates are measured with events of four pictures from several cameras, always more than can be labelled at once; so are
the processor seconds of each daemon, which a busy machine disturbs less.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from tests.bench import rig
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.harness import Bench, Result, alternate, at_least, at_most, result
from tests.bench.label import labelled
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

ROUNDS = 9
QUIET_SECONDS = 0.3
WITHOUT = {"CAMIOHOOKD_ADMIN_HISTORY": "0"}


def run(bench: Bench) -> Iterator[Result]:
    yield from label(bench)
    yield from accept(bench)


def label(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(4, 0.5)
    with (
        Receiver() as receiver,
        rig.daemon(bench.place("with"), receiver.origin) as ours,
        rig.daemon(bench.place("without"), receiver.origin, WITHOUT) as without,
    ):
        events = Events(receiver.origin, jpegs(640, 480))
        costs: dict[str, list[float]] = {"with": [], "without": []}

        def rate(name: str, daemon: Daemon) -> float:
            before, count = rig.cpu_seconds(daemon.process.pid), len(receiver.arrived)
            found = 4 * labelled(daemon, receiver, events, seconds)
            costs[name].append((rig.cpu_seconds(daemon.process.pid) - before) / (len(receiver.arrived) - count))
            _wait_until_quiet(daemon)  # thumbnails that waited are made now: not in the other one's turn
            return found

        rates = alternate({"with": partial(rate, "with", ours), "without": partial(rate, "without", without)}, ROUNDS)
    yield from _results("pictures labelled", "processor time for an event", rates, costs)


def accept(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(2, 0.3)
    bodies = Events("http://127.0.0.1:9", jpegs(640, 480))
    with (
        rig.daemon(bench.place("accept-with"), settings=rig.STALLED_LABELER) as ours,
        rig.daemon(bench.place("accept-without"), settings=rig.STALLED_LABELER | WITHOUT) as without,
    ):
        costs: dict[str, list[float]] = {"with": [], "without": []}

        def rate(name: str, daemon: Daemon) -> float:
            before = rig.cpu_seconds(daemon.process.pid)
            found = accepts(daemon.port, rig.PATH, bodies, seconds)
            costs[name].append((rig.cpu_seconds(daemon.process.pid) - before) / (found * seconds))
            return found

        rates = alternate({"with": partial(rate, "with", ours), "without": partial(rate, "without", without)}, ROUNDS)
    yield from _results("durable accepts", "processor time for an accept", rates, costs)


def _results(
    rate: str, cost: str, rates: Mapping[str, float], costs: Mapping[str, Sequence[float]]
) -> Iterator[Result]:
    yield result(
        "history",
        f"{rate}, against history = 0",
        rates["with"],
        "/s",
        baseline=rates["without"],
        target=at_least(0.98, 0.99),
    )
    spent = {name: 1000 * min(found) for name, found in costs.items()}  # what disturbs only adds
    yield result(
        "history",
        f"{cost}, against history = 0",
        spent["with"],
        "ms",
        baseline=spent["without"],
        target=at_most(1.02, 1.01),
    )


def _wait_until_quiet(daemon: Daemon) -> None:
    ends = time.monotonic() + rig.START_SECONDS
    while True:
        before = rig.cpu_seconds(daemon.process.pid)
        time.sleep(QUIET_SECONDS)
        if rig.cpu_seconds(daemon.process.pid) - before <= QUIET_SECONDS / 10 or time.monotonic() > ends:
            return

"""Latency of an event of four pictures on an idle box: from sending the POST until the labels arrive.

The baseline is the bare loop's median time for these four pictures, with one thread and the better `intra_op`. How
much the machine itself varies is seen in the bare loop's own 99th percentile.

What keeps it from less, on 28 November 2026, from the times at which the parts of an event began and ended: 3.8 ms
until the first picture is decoded, of which 1 ms is the disk; then two pictures after each other in each of two
threads; 1.2 ms for the reply, 1 ms until it is on the disk, so that no model runs twice, and 2 ms for the delivery.
The slowest events waited for the disk, on a busy machine up to 0.3 s.
"""

import itertools
import time
from collections.abc import Iterator

from tests.bench import rig
from tests.bench.bare_labels import loops
from tests.bench.camio import Connection, Events, Receiver, unique
from tests.bench.harness import ROUNDS, Bench, Median, Result, at_most, result
from tests.bench.pictures import jpegs
from tests.support.figures import percentile


def run(bench: Bench) -> Iterator[Result]:
    count = bench.count(40, 3)
    shapes = {f"intra_op = {number}": (1, number) for number in sorted({1, rig.cores()})}
    ours: list[list[float]] = []  # by round
    theirs: dict[str, list[list[float]]] = {shape: [] for shape in shapes}
    with (
        Receiver() as receiver,
        loops(640, 480, shapes) as bare,
        rig.daemon(bench.place("latency"), receiver.origin) as daemon,
    ):
        events = Events(receiver.origin, jpegs(640, 480))
        timed(daemon.port, receiver, events)  # warm
        for _ in range(ROUNDS):
            ours.append([1000 * timed(daemon.port, receiver, events) for _ in range(count)])
            for shape, asked in bare.items():
                theirs[shape].append([1000 * asked("event") for _ in range(count // 2 + 1)])
    fastest = min(theirs.values(), key=lambda rounds: float(of_all(rounds, 0.5)))
    best = of_all(fastest, 0.5)
    for metric, part, target in (("p50", 0.5, at_most(1.25, 0.8)), ("p99", 0.99, at_most(2, 1.1))):
        yield result("latency", f"{metric} of an event", of_all(ours, part), "ms", baseline=best, target=target)
    metric = "p99 of an event, against the bare loop's own"
    yield result("latency", metric, of_all(ours, 0.99), "ms", baseline=of_all(fastest, 0.99))


def of_all(rounds: list[list[float]], part: float) -> Median:
    """Return the percentile of what was measured in all rounds, with those of each round."""
    return Median((percentile(each, part) for each in rounds), percentile(list(itertools.chain(*rounds)), part))


def timed(port: int, receiver: Receiver, events: Events) -> float:
    """Return the seconds from sending one event until its labels arrive."""
    connection, name = Connection(port, rig.PATH), unique()
    body = events.body(name)
    started = time.perf_counter()
    status = connection.post(*body)
    assert status == 200, f"the answer to an event was {status}"
    receiver.wait_for(lambda: name in receiver.arrived)
    connection.close()
    return receiver.arrived[name] - started

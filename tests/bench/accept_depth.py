"""What the queue's verbs cost on this machine's disk, with few and with many tasks waiting.

The first column of the printed table is the baseline of the others, measured in the same run. The results are those of
an accept. tests/faults/test_costs.py counts bytes and steps; times are measured here.
"""

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camiohookd.queue import views
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import tinydb_storage as storage
from camiohookd.wire.event import Event
from tests.bench.harness import Bench, Result, at_most, result
from tests.support.queue_factory import REPLY, ROOMY, commit, make_event, seed

PICTURES = 8
PICTURE_BYTES = 50_000
DECODED = PICTURES * PICTURE_BYTES
DEPTHS = (10, 1_000, 100_000)


def run(bench: Bench) -> Iterator[Result]:
    watches = verbs_by_depth(bench.place("accept_depth"), bench.count(300, 50))
    accept_beside_compaction(bench.place("compaction"), bench.count(100_000, 20_000))
    few, many = (watches[depth].series["accept"] for depth in (DEPTHS[0], DEPTHS[-1]))
    target, where = at_most(1.25, 1.05), f"{DEPTHS[-1]:,} waiting"
    yield result("accept_depth", f"an accept, {where}", many.median, "ms", baseline=few.median, target=target)
    each = many.bytes_each() / 1000, few.bytes_each() / 1000
    yield result("accept_depth", f"written for it, {where}", each[0], "kB", baseline=each[1], target=target)


@dataclass(slots=True)
class Series:
    """The calls of one verb at one depth: milliseconds each, and bytes written by all of them."""

    milliseconds: list[float] = field(default_factory=list)
    written: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        return sorted(self.milliseconds)[int(0.99 * len(self.milliseconds))]

    def bytes_each(self) -> float:
        return self.written / len(self.milliseconds)


class Stopwatch:
    """Call the queue's verbs, and record the time of each and the bytes it wrote."""

    def __init__(self, queue: TaskQueue) -> None:
        self.queue = queue
        self.series: dict[str, Series] = {}

    def do(self, verb: str, operation: Callable[[TaskQueue], Any]) -> Any:
        written, started = self.queue.store.disk.written, time.perf_counter()
        result = commit(self.queue, operation)
        series = self.series.setdefault(verb, Series())
        series.milliseconds.append(1000 * (time.perf_counter() - started))
        series.written += self.queue.store.disk.written - written
        return result

    def accept(self, each: Event) -> None:
        prepared = self.queue.prepare(each)  # the daemon does this on another thread
        self.do("accept", lambda q: q.put(prepared))

    def life(self, each: Event) -> None:
        """Accept one event, label one and deliver one. They differ when others wait."""
        self.accept(each)
        claimed = int(self.do("claim", TaskQueue.claim).id)
        self.do("labelled", lambda q: q.labelled(claimed, REPLY))
        delivery = self.do("take delivery", lambda q: q.deliveries.take())
        self.do("done", lambda q: q.deliveries.done(int(delivery.task.id)))
        self.do("landed", lambda q: q.deliveries.landed(delivery, success=True))
        self.do("first page", lambda q: views.page(q, 5, None))


def event(number: int) -> Event:
    return make_event(number, pictures=PICTURES, size=PICTURE_BYTES, camera=f"camera {number % 20}")


def open_queue(folder: Path) -> TaskQueue:
    return TaskQueue(folder, backoff=lambda _: 5.0, bounds=ROOMY)


def verbs_by_depth(folder: Path, rounds: int) -> dict[int, Stopwatch]:
    """Measure each verb at each depth. The depths take turns, so that a disk that slows down affects all."""
    watches = {}
    for depth in DEPTHS:
        seed(folder / str(depth), depth)
        memory, started = resident_bytes(), time.perf_counter()
        queue = open_queue(folder / str(depth))
        opened, memory = time.perf_counter(), resident_bytes() - memory
        commit(queue, lambda q: q.deliveries.take())
        first = 1000 * (time.perf_counter() - opened)
        print(
            f"opening with {depth:7,} waiting: {opened - started:5.2f} s, {memory / 1e6:.1f} MB of memory, "
            f"the first delivery {first:.1f} ms"
        )
        watches[depth] = Stopwatch(queue)
    gc.collect()
    turns = list(watches.values())
    for number in range(rounds):
        each = event(number)
        for watch in turns:
            watch.life(each)
        turns.append(turns.pop(0))  # an accept that waits for another's sync takes longer
    print_verbs(watches)
    for watch in watches.values():
        watch.queue.close()
    return watches


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def print_verbs(watches: dict[int, Stopwatch]) -> None:
    base = next(iter(watches.values())).series
    print(f"\nof an event with {PICTURES} pictures, {DECODED:,} bytes decoded; medians and 99th percentiles in ms")
    print(f"{'':14}" + "".join(f"{depth:>32,} waiting" for depth in watches))
    for verb in base:
        cells = []
        for watch in watches.values():
            one = watch.series[verb]
            ratio = one.median / base[verb].median
            cells.append(f"{one.bytes_each():9.0f} B {one.median:8.3f} {one.p99:8.3f} x{ratio:4.2f}")
        print(f"{verb:14}" + "".join(f"{cell:>40}" for cell in cells))
    for depth, watch in watches.items():
        rounds = len(watch.series["accept"].milliseconds)
        written = sum(series.written for series in watch.series.values()) / rounds
        print(f"bytes written per event at {depth:7,}: {written:,.0f} = {written / DECODED:.4f} x decoded", end="")
        print(f" (allowed {1.1 * DECODED + 2048:,.0f})")


def accept_beside_compaction(folder: Path, depth: int) -> None:
    """Measure accepts between the steps of a compaction, as the store thread runs them under steady load."""
    seed(folder, depth)
    queue = open_queue(folder)
    queue.store.storage.files.must_compact = True  # asks for a compaction
    quiet, busy = Stopwatch(queue), Stopwatch(queue)
    for number in range(30):
        quiet.accept(event(number))
    housekeeper = Housekeeper(queue)
    steps: list[float] = []
    more, number = True, 100
    while more:
        started = time.perf_counter()
        more = housekeeper.step()
        steps.append(1000 * (time.perf_counter() - started))
        busy.accept(event(number))
        number += 1
    queue.close()
    waits = [step + accept for step, accept in zip(steps, busy.series["accept"].milliseconds, strict=True)]
    print(f"\ncompaction at {depth:,} waiting: {len(steps)} steps of at most {storage.STEP_BYTES:,} bytes")
    print(f"a step: median {statistics.median(steps):.2f} ms, worst {max(steps):.2f} ms")
    print(f"an accept without it: median {quiet.series['accept'].median:.2f} ms")
    print(f"an accept behind a step: median {statistics.median(waits):.2f} ms, worst {max(waits):.2f} ms")

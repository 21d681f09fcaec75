"""What the queue's verbs cost with 10, 1,000 and 100,000 tasks waiting, and how fast events are taken in.

    .venv/bin/python tests/bench/accept_depth.py [--fast] [--folder DIR]

The three depths take turns, and so do the ways of storing, so that all meet the same noise; times are medians, each
beside the baseline of the same run. The folder should be on the disk that is asked about.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from camiohookd import snapshot, views
from camiohookd.disk import Disk
from camiohookd.payload import Event
from camiohookd.segments import Place
from camiohookd.storethread import StoreThread
from camiohookd.taskqueue import TaskQueue
from camiohookd.tasks import Task
from tests.queue_fixtures import REPLY, ROOMY, make_event

DEPTHS = (10, 1_000, 100_000)
VERBS = ("accept", "claim", "labelled", "done", "first page")
SMALL_PICTURE = 20_000
BODY_PICTURES, BODY_PICTURE_BYTES = 5, 80_000  # 534 KB as base64 in JSON
CONNECTIONS = 8
ENDLESS = replace(ROOMY, max_tasks=10**9)


class Cost(NamedTuple):
    """One run of a verb and its commit."""

    milliseconds: float
    bytes_written: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--fast", action="store_true", help="a tenth of the rounds")
    arguments.add_argument("--folder", type=Path, help="where to write; the system's folder for temporary files")
    options = arguments.parse_args()
    rounds = 30 if options.fast else 300
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print_costs(measure_depths(Path(folder) / "depths", rounds))
        print_worst_accept(Path(folder) / "compaction", rounds)
        asyncio.run(print_throughput(Path(folder) / "throughput", rounds))


# The cost of a verb at a depth


def measure_depths(folder: Path, rounds: int) -> dict[int, dict[str, list[Cost]]]:
    queues = {depth: open_seeded(folder / str(depth), depth) for depth in DEPTHS}
    costs: dict[int, dict[str, list[Cost]]] = {depth: defaultdict(list) for depth in DEPTHS}
    for number in range(rounds):
        for depth, queue in queues.items():
            for verb, cost in one_life(queue, number):
                costs[depth][verb].append(cost)
    for queue in queues.values():
        queue.close()
    return costs


def open_seeded(folder: Path, depth: int) -> TaskQueue:
    """A queue with that many pending tasks, whose payloads nobody will ask for."""
    folder.mkdir(parents=True)
    documents = {str(number): waiting_task(number).to_document() for number in range(1, depth + 1)}
    snapshot.write_all(Disk(), folder / "queue.json", documents)
    (folder / "format").write_text("2\n")
    return TaskQueue(folder, backoff=lambda _: 5.0, bounds=ENDLESS, newest_first=True)


def waiting_task(number: int) -> Task:
    event = make_event(number, size=1)
    return Task(
        digest=event.digest,
        images=1,
        camera=event.camera,
        callback_url=event.callback_url,
        payload=Place(10**7, 0, 0),
    )


def one_life(queue: TaskQueue, number: int) -> Iterator[tuple[str, Cost]]:
    """Accept an event, which is then claimed first, labelled and delivered."""
    event = make_event(10**6 + number, size=SMALL_PICTURE)
    with queue.batch():
        yield "accept", timed(queue, lambda: queue.put(event))
        yield "claim", timed(queue, queue.claim)
        task_id = max(queue.index.in_hand)
        yield "labelled", timed(queue, lambda: queue.labelled(task_id, REPLY))
        delivery = queue.take_delivery()
        assert delivery is not None
        yield "done", timed(queue, lambda: queue.done(task_id))
        queue.landed(delivery, success=True)
        yield "first page", timed(queue, lambda: views.page(queue, DEPTHS[0], None))


def timed(queue: TaskQueue, act: Callable[[], object]) -> Cost:
    before, started = queue.disk.written, time.perf_counter()
    act()
    queue.commit()
    return Cost((time.perf_counter() - started) * 1000, queue.disk.written - before)


def print_costs(costs: dict[int, dict[str, list[Cost]]]) -> None:
    print(f"{'verb':<12}{'waiting':>9}{'bytes':>9}{'ms':>9}{'p99 ms':>9}   ms and bytes beside 10 waiting")
    for verb in VERBS:
        base = median(costs[DEPTHS[0]][verb])
        for depth in DEPTHS:
            here = median(costs[depth][verb])
            times = sorted(cost.milliseconds for cost in costs[depth][verb])
            ratio = f"{here.milliseconds / base.milliseconds:.2f}"
            if base.bytes_written:
                ratio += f"  {here.bytes_written / base.bytes_written:.2f}"
            p99 = times[int(len(times) * 0.99)]
            print(f"{verb:<12}{depth:>9}{here.bytes_written:>9}{here.milliseconds:>9.3f}{p99:>9.3f}   {ratio}")
    for depth in DEPTHS:
        total = sum(cost.bytes_written for verb in VERBS for cost in costs[depth][verb])
        count = len(costs[depth]["accept"])
        over = total / count - SMALL_PICTURE
        print(f"bytes per event, accept to done, at {depth}: payload {SMALL_PICTURE} + {over:.0f}")


def median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.milliseconds for cost in costs),
        round(statistics.median(cost.bytes_written for cost in costs)),
    )


# The worst accept while the journal is compacted


def print_worst_accept(folder: Path, rounds: int) -> None:
    queue = open_seeded(folder, DEPTHS[-1])
    alone, meanwhile = [], []
    events = (make_event(number, size=SMALL_PICTURE) for number in count(10**7))
    for event in islice(events, rounds):
        with queue.batch():
            alone.append(timed(queue, partial(queue.put, event)))
    done = False
    while not done:
        event = next(events)
        started = time.perf_counter()
        done = queue.storage.compact_step()
        with queue.batch():
            queue.put(event)
            queue.commit()
        meanwhile.append((time.perf_counter() - started) * 1000)
    queue.close()
    worst_alone, worst = max(cost.milliseconds for cost in alone), max(meanwhile)
    middle = statistics.median(meanwhile)
    print(
        f"an accept that waits for a step of a compaction of {DEPTHS[-1]} tasks: median {middle:.1f} ms, "
        f"worst of {len(meanwhile)} {worst:.1f} ms; without one, worst of {rounds} {worst_alone:.1f} ms"
    )


# Events a second, by way of storing


async def print_throughput(folder: Path, rounds: int) -> None:
    events = [make_event(number, pictures=BODY_PICTURES, size=BODY_PICTURE_BYTES) for number in range(rounds)]
    ways = {
        "stored by nobody": storing_nothing,
        "one commit for all who wait": storing_together,
        "a file and an fsync each": storing_alone,
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for turn in range(5):
        for name, way in ways.items():
            with way(folder / f"{name}-{turn}") as store:
                rates[name].append(await rate(store, events))
    base = statistics.median(rates["stored by nobody"])
    print(f"events of {BODY_PICTURES} pictures of {BODY_PICTURE_BYTES // 1000} KB, {CONNECTIONS} at a time:")
    for name, each in rates.items():
        middle = statistics.median(each)
        print(f"  {name:<29}{middle:>9.0f} a second   {middle / base:.2f}")


Store = Callable[[Event], Awaitable[object]]


async def rate(store: Store, events: list[Event]) -> float:
    waiting = iter(events)

    async def connection() -> None:
        for event in waiting:
            checksum(event)
            await store(event)

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return len(events) / (time.perf_counter() - started)


def checksum(event: Event) -> None:
    """What a listener does in any case: about as much as decoding the base64 of these pictures."""
    import base64

    for picture in event.pictures:
        base64.b64decode(base64.b64encode(picture.data), validate=True)


@contextmanager
def storing_nothing(_folder: Path) -> Iterator[Store]:
    async def store(_event: Event) -> None:
        await asyncio.sleep(0)

    yield store


@contextmanager
def storing_together(folder: Path) -> Iterator[Store]:
    folder.parent.mkdir(exist_ok=True)
    thread = StoreThread(TaskQueue(folder, backoff=lambda _: 5.0, bounds=ROOMY))

    async def store(event: Event) -> None:
        prepared = await asyncio.to_thread(thread.prepare, event)
        await thread.call(lambda queue: queue.put(prepared))

    yield store
    thread.stop()


@contextmanager
def storing_alone(folder: Path) -> Iterator[Store]:
    folder.mkdir(parents=True)

    def write(event: Event) -> None:
        with (folder / event.digest).open("wb") as file:
            for picture in event.pictures:
                file.write(picture.data)
            file.flush()
            os.fsync(file.fileno())
        Disk().sync_folder(folder)

    async def store(event: Event) -> None:
        await asyncio.to_thread(write, event)

    yield store


if __name__ == "__main__":
    main()

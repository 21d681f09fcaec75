"""What the queue's verbs cost on this machine's disk, with few and with very many tasks waiting.

    .venv/bin/python tests/bench/accept_depth.py [--fast] [--folder DIR]

All of a table stands against the first column, measured in the same run. The tests count bytes and steps
(tests/faults/test_costs.py); the times are here.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, it finds `tests`

from camiohookd import storage, views
from camiohookd.disk import Disk
from camiohookd.housekeeping import Housekeeper
from camiohookd.payload import Event, parse_event
from camiohookd.storethread import StoreThread
from camiohookd.taskqueue import TaskQueue
from tests.queue_fixtures import REPLY, ROOMY, commit, make_event, seed

PICTURES = 8
PICTURE_BYTES = 50_000
DECODED = PICTURES * PICTURE_BYTES
CONNECTIONS = 8


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
    """Does things with a queue, and notes how long they take and what they write."""

    def __init__(self, queue: TaskQueue) -> None:
        self.queue = queue
        self.series: dict[str, Series] = {}

    def do(self, verb: str, operation: Callable[[TaskQueue], Any]) -> Any:
        written, started = self.queue.disk.written, time.perf_counter()
        result = commit(self.queue, operation)
        series = self.series.setdefault(verb, Series())
        series.milliseconds.append(1000 * (time.perf_counter() - started))
        series.written += self.queue.disk.written - written
        return result

    def accept(self, each: Event) -> None:
        prepared = self.queue.prepare(each)  # on another thread than the store's, in the daemon
        self.do("accept", lambda q: q.put(prepared))

    def life(self, each: Event) -> None:
        """One event is accepted, one labelled, one delivered: not the same one, when others wait."""
        self.accept(each)
        claimed = int(self.do("claim", TaskQueue.claim).id)
        self.do("labelled", lambda q: q.labelled(claimed, REPLY))
        delivery = self.do("take delivery", TaskQueue.take_delivery)
        self.do("done", lambda q: q.done(int(delivery.task.id)))
        self.do("landed", lambda q: q.landed(delivery, success=True))
        self.do("first page", lambda q: views.page(q, 5, None))


def event(number: int) -> Event:
    return make_event(number, pictures=PICTURES, size=PICTURE_BYTES, camera=f"camera {number % 20}")


def open_queue(folder: Path) -> TaskQueue:
    return TaskQueue(folder, backoff=lambda _: 5.0, bounds=ROOMY)


def verbs_by_depth(folder: Path, depths: list[int], rounds: int) -> None:
    """The depths take turns, so that a disk that grows tired is tired for all."""
    watches = {}
    for depth in depths:
        seed(folder / str(depth), depth)
        started = time.perf_counter()
        queue = open_queue(folder / str(depth))
        opened = time.perf_counter()
        commit(queue, TaskQueue.take_delivery)
        first = 1000 * (time.perf_counter() - opened)
        print(f"opening with {depth:7,} waiting: {opened - started:5.2f} s, the first delivery {first:.1f} ms")
        watches[depth] = Stopwatch(queue)
    gc.collect()
    for number in range(rounds):
        each = event(number)
        for watch in watches.values():
            watch.life(each)
    print_verbs(watches)
    for watch in watches.values():
        watch.queue.close()


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
    """Accepts between the steps of a compaction, as the store thread does it when events come in all the time."""
    seed(folder, depth)
    queue = open_queue(folder)
    queue.storage.damaged = True  # one way to ask for a compaction
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


Take = Callable[[Event], Awaitable[object]]


class EventHandler(RequestHandler):
    """As the hook's, without the checks: the answer leaves when the event is taken."""

    def initialize(self, take: Take) -> None:
        self.take = take

    async def post(self) -> None:
        await self.take(parse_event(self.request.body))


def throughput(folder: Path, count: int) -> None:
    """Events a second of eight connections that each send the next event as soon as the last is answered."""
    print(f"\n{count} events of {DECODED:,} decoded bytes on {CONNECTIONS} connections, the median of three runs")
    rates: dict[str, list[float]] = {"a handler that stores nothing": [], "the queue": [], "a file and fsync each": []}
    for attempt in range(3):
        for number, name in enumerate(rates):
            place = folder / f"{attempt}-{number}"
            place.mkdir()
            taker = (take_nothing, take_into_queue, take_into_files)[number]
            with taker(place) as take:
                rates[name].append(asyncio.run(serve(take, count)))
    base = statistics.median(rates["a handler that stores nothing"])
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"{name:30} {rate:7.1f} events a second = {rate / base:.2f} x")


@contextmanager
def take_nothing(_: Path) -> Iterator[Take]:
    async def take(_: Event) -> None:
        return

    yield take


@contextmanager
def take_into_queue(folder: Path) -> Iterator[Take]:
    store = StoreThread(open_queue(folder))

    async def take(each: Event) -> None:
        prepared = await asyncio.to_thread(store.prepare, each)
        await store.call(lambda queue: queue.put(prepared))

    yield take
    store.stop()


@contextmanager
def take_into_files(folder: Path) -> Iterator[Take]:
    """What comes to mind first; each in a thread, so that the loop does not wait."""

    def keep(each: Event) -> None:
        path = folder / each.digest
        with path.open("wb") as file:
            file.write(msgspec.json.encode(each.rest))
            file.writelines(picture.data for picture in each.pictures)
            file.flush()
            os.fsync(file.fileno())
        disk.sync_folder(folder)

    disk = Disk()

    async def take(each: Event) -> None:
        await asyncio.get_running_loop().run_in_executor(None, keep, each)

    yield take


async def serve(take: Take, count: int) -> float:
    """Serve the clients, who are a process of their own; returns the events a second."""
    (listener,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", EventHandler, {"take": take})], log_function=lambda _: None))
    server.add_socket(listener)
    port = listener.getsockname()[1]
    clients = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--clients", str(port), str(count), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await clients.communicate()
    server.stop()
    await server.close_all_connections()
    return float(output)


def clients(port: int, count: int) -> None:
    """Post events as fast as they are taken, and print how many that were a second."""
    pictures = [{"timestamp": str(number), "image_b64": os.urandom(PICTURE_BYTES)} for number in range(PICTURES)]
    rest = msgspec.json.encode(pictures)

    def client(first: int) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        for number in range(first, count, CONNECTIONS):
            body = b'{"callback_url": "https://camio.test/%d", "images": %b}' % (number, rest)
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

    threads = [Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(count / (time.perf_counter() - started))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="fewer rounds, in half a minute")
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    parser.add_argument("--clients", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clients:
        clients(*options.clients)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        verbs_by_depth(folder, [10, 1_000, 100_000], rounds=50 if options.fast else 300)
        accept_beside_compaction(folder / "compaction", 20_000 if options.fast else 100_000)
        throughput(folder, 80 if options.fast else 400)


if __name__ == "__main__":
    main()

"""Compare the simulation of a fleet with 1, 2 and 3 daemons behind HAProxy, at the same load.

The boxes share this machine's processors. So that this does not limit the measured rate, each labels with own code
that takes a fixed time a picture and no processor, as a box with an accelerator would. The code notes when it begins
and ends, so the simulation gets the seconds of the very run that it is compared with: other programs on this machine
make both slower.
"""

import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from tests.bench import rig
from tests.bench.camio import Events, Receiver
from tests.bench.fleet_model import Arrival, Boxes, Load, arrivals, latencies_of
from tests.bench.harness import Bench, Result, result
from tests.bench.label import labeled
from tests.bench.latency import timed
from tests.bench.pictures import jpegs
from tests.support.figures import percentile
from tests.support.haproxy import Balancer, find

COUNTS = (1, 2, 3)
PICTURE_SECONDS = 0.1
ROUNDS = 20
"""How often the simulation draws."""

LOAD = 0.7
"""The share of the boxes' time that the measured load takes."""

_LABELER = """
import time

def compute_labels(images):
    began = time.perf_counter()
    time.sleep({seconds} * len(images))
    with open({file!r}, "a") as calls:
        print(images[0]["timestamp"], began, time.perf_counter(), file=calls)
    return {{}}
"""


class Event(NamedTuple):
    """A measured event: when it was posted, by which box and when it was labeled, and when its labels arrived.

    All are moments of Linux's monotonic clock, which all processes share.
    """

    posted: float
    box: int
    began: float
    ended: float
    arrived: float


def run(bench: Bench) -> Iterator[Result]:
    if not can_run():
        return
    for count in COUNTS:
        events = measured(bench, count)
        baseline = 1000 * percentile([each.arrived - each.posted for each in events], 0.95)
        replayed, drawn = simulated(events, count)
        metric = f"95 % of the events, {LOAD:.0%} load, boxes: {count}"
        yield result("fleet", f"{metric}, simulated event by event", 1000 * replayed, "ms", baseline=baseline)
        yield result("fleet", f"{metric}, simulated at random", 1000 * drawn, "ms", baseline=baseline)


def can_run() -> bool:
    """Return whether HAProxy is installed; say so if not."""
    if find() is not None:
        return True
    print("NOT MEASURED: daemons behind HAProxy, because haproxy is not installed (apt install haproxy)", flush=True)
    return False


@contextmanager
def fleet(bench: Bench, count: int, receiver: Receiver) -> Iterator[tuple[Balancer, list[Path]]]:
    """Start `count` daemons and HAProxy, as the shipped example sets it up.

    Yield HAProxy and, for each daemon, the file with a line for each event that it has labeled.
    """
    place = bench.place(f"fleet-{len(list(bench.folder.iterdir()))}")
    files = [place / f"box{nth}.calls" for nth in range(count)]
    with ExitStack() as running:
        daemons = [rig.daemon(place / f"box{nth}", receiver.origin, _settings(each)) for nth, each in enumerate(files)]
        for daemon in daemons:
            running.enter_context(daemon)
        yield running.enter_context(Balancer(place, [daemon.port for daemon in daemons])), files


def _settings(file: Path) -> dict[str, str]:
    script = file.with_suffix(".py")
    script.write_text(_LABELER.format(seconds=PICTURE_SECONDS, file=str(file)))
    return {
        "CAMIOHOOKD_LABELER_KIND": "python",
        "CAMIOHOOKD_LABELER_SCRIPT": str(script),
        "CAMIOHOOKD_LABELER_THREADS": "1",
        "CAMIOHOOKD_HOOK_TRUSTED_PROXIES": json.dumps(["127.0.0.1"]),
    }


def events_a_second(bench: Bench, count: int) -> float:
    """Return events labeled and delivered per second by `count` boxes, whose queues are never empty."""
    with Receiver() as receiver, fleet(bench, count, receiver) as (balancer, _):
        events = Events(receiver.origin, jpegs(160, 120)[:1])
        labeled(balancer, receiver, events, bench.scaled(1, 0.3))  # warm
        return labeled(balancer, receiver, events, bench.scaled(8, 0.8))


def measured(bench: Bench, count: int) -> list[Event]:
    """Have `count` boxes label events that are sent at random moments; return them in the order of their posting."""
    load = Load(cameras=count, per_minute=60 * LOAD / PICTURE_SECONDS, pictures=1)
    with Receiver() as receiver, fleet(bench, count, receiver) as (balancer, files):
        labeled(balancer, receiver, Events(receiver.origin, jpegs(160, 120)[:1]), bench.scaled(1, 0.3))  # warm
        posts = post_at(arrivals(load, bench.count(400, 10)), balancer, receiver)
        calls = {
            timestamp.rpartition(".")[2]: (box, float(began), float(ended))
            for box, file in enumerate(files)
            for timestamp, began, ended in map(str.split, file.read_text().splitlines())
        }
    return sorted(Event(posted, *calls[fraction], arrived) for fraction, (posted, arrived) in posts.items())


def simulated(events: Sequence[Event], count: int) -> tuple[float, float]:
    """Return the 95th percentile of the seconds that `events` take, simulated in two ways.

    The first has each event at the box and with the seconds that it really had: it tests the rules of the simulation.
    The second draws both at random, as for a fleet that does not exist: it tests what docs/capacity.md says.
    """
    spent = Spent.of(events)
    moments = [each.posted for each in events]
    boxes = [each.box for each in events]
    first, second = [], []
    for seed in range(ROUNDS):
        random = Random(seed)
        first.append(spent.latencies(moments, boxes, spent.thread, random))
        drawn = random.choices(spent.thread, k=len(events))
        second.append(spent.latencies(moments, random.choices(range(count), k=len(events)), drawn, random))
    of_first, of_second = (statistics.median(percentile(each, 0.95) for each in rounds) for rounds in (first, second))
    return of_first, of_second


class Spent(NamedTuple):
    """Where the seconds of measured events went.

    `thread` is the time of the box's thread for each event, in the order of the events; `before` what passed before it
    began on an event that it was free for, and `after` what passed after each labeling.
    """

    thread: list[float]
    before: list[float]
    after: list[float]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Self:
        thread: dict[Event, float] = {}
        before: list[float] = []
        alone: list[Event] = []
        free: dict[int, float] = {}
        for each in sorted(events, key=lambda event: event.began):
            since = free.get(each.box, each.posted)
            if each.posted > since - PICTURE_SECONDS / 2:
                alone.append(each)
                before.append(each.began - max(each.posted, since))
            else:  # it waited, so that the thread took it as soon as it could
                thread[each] = each.ended - since
            free[each.box] = each.ended
        labeling = statistics.fmean(each.ended - each.began for each in thread) if thread else 0.0
        around = statistics.fmean(thread.values()) - labeling if thread else 0.0
        thread |= {each: each.ended - each.began + around for each in alone}
        return cls([thread[each] for each in events], before, [each.arrived - each.ended for each in events])

    def latencies(
        self, moments: Sequence[float], boxes: Sequence[int], thread: Sequence[float], random: Random
    ) -> list[float]:
        """Return the simulated seconds of events at `moments`; what is spent before and after is drawn."""
        before, after = (random.choices(each, k=len(moments)) for each in (self.before, self.after))
        events = sorted(
            (Arrival(moment + wait, box, [own]), wait + more)
            for moment, wait, box, own, more in zip(moments, before, boxes, thread, after, strict=True)
        )
        own = latencies_of((each for each, _ in events), Boxes(max(boxes) + 1, 1, self.thread))
        return [seconds + besides for seconds, (_, besides) in zip(own, events, strict=True)]


def post_at(moments: Sequence[float], balancer: Balancer, receiver: Receiver) -> dict[str, tuple[float, float]]:
    """Post events at `moments`, in seconds from now, without waiting for the earlier ones.

    Return by the fraction of its timestamp when each was really posted, and when its labels arrived.
    """
    found: dict[str, tuple[float, float]] = {}
    pictures = jpegs(160, 120)[:1]
    began = time.perf_counter()

    def post(events: Events, fraction: str) -> None:
        posted = time.perf_counter()
        found[fraction] = posted, posted + timed(balancer.port, receiver, events)

    posters: list[threading.Thread] = []
    for nth, moment in enumerate(moments):
        fraction = f"{nth:06d}"
        poster = threading.Thread(target=post, args=(Events(receiver.origin, pictures, fraction=fraction), fraction))
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        poster.start()
        posters.append(poster)
    for poster in posters:
        poster.join()
    assert len(found) == len(moments), f"only {len(found)} of {len(moments)} events were delivered"
    return found

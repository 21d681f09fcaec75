"""Compare the simulation of a fleet with 1, 2 and 3 daemons behind HAProxy, at the same load.

The boxes share this machine's processors. So that this does not limit the measured rate, each labels with own code
that takes a fixed time a picture and no processor, as a box with an accelerator would. The code notes when it begins
and ends, so the simulation gets the seconds of the very run that it is compared with: other programs on this machine
make both slower.

What a run measures is partly chance: with these very rules, the 95th percentile of 400 events at 70 % load is between
0.73 and 1.8 times its median (nine in ten of 200 runs of `latencies_of`). So the simulation that draws at random also
tells the bounds of nine in ten of its rounds. What is measured has to lie between them; closer agreement would be luck.
"""

import json
import math
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

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
ROUNDS = 100
"""How often the simulation draws."""

SHARES = (0.05, 0.5, 0.95)
"""The rounds that are reported: the one that this share of all rounds is below."""

BLOCK = 20
"""Events in a row whose seconds are drawn together: what disturbs one disturbs its neighbors as well."""

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
        metric = f"95 % of the events, {LOAD:.0%} load, boxes: {count}, simulated"
        yield result("fleet", f"{metric} event by event", 1000 * replayed, "ms", baseline=baseline)
        for share in SHARES:
            seconds = percentile(drawn, share)
            yield result("fleet", f"{metric} at random, {share:.0%} below", 1000 * seconds, "ms", baseline=baseline)


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


def simulated(events: Sequence[Event], count: int) -> tuple[float, list[float]]:
    """Return the 95th percentile of the seconds that `events` take, simulated in two ways.

    The first has each event at the box and with the seconds that it really had: it tests the rules of the simulation.
    The second draws both at random, as for a fleet that does not exist, in `ROUNDS` rounds, which are returned: it
    tests what docs/capacity.md says.
    """
    spent = spent_by(events)
    moments = [each.posted for each in events]

    def draw(random: Random) -> float:
        boxes = random.choices(range(count), k=len(events))
        return percentile(latencies_with(in_blocks(spent, random), moments, boxes), 0.95)

    really = percentile(latencies_with(spent, moments, [each.box for each in events]), 0.95)
    return really, [draw(Random(seed)) for seed in range(ROUNDS)]


class Spent(NamedTuple):
    """Where the seconds of an event went.

    `before` is what passes before a free thread begins, `thread` the time of the box's thread, with all that kept it
    from beginning earlier, and `after` what passes after the labeling.
    """

    before: float
    thread: float
    after: float


def spent_by(events: Sequence[Event]) -> list[Spent]:
    """Return where the seconds of measured events went, in the order of the events."""
    ended: dict[int, float] = {}
    free: dict[Event, float] = {}
    for each in sorted(events, key=lambda event: event.began):
        free[each] = ended.get(each.box, -math.inf)
        ended[each.box] = each.ended
    before = statistics.median(each.began - each.posted for each in events if each.posted >= free[each])
    return [
        Spent(before, each.ended - max(free[each], each.posted + before), each.arrived - each.ended) for each in events
    ]


def in_blocks(spent: Sequence[Spent], random: Random) -> list[Spent]:
    """Return as many, drawn at random in blocks of neighbors (a block bootstrap, Künsch 1989)."""
    found: list[Spent] = []
    while len(found) < len(spent):
        start = random.randrange(max(1, len(spent) - BLOCK + 1))
        found += spent[start : start + BLOCK]
    return found[: len(spent)]


def latencies_with(spent: Sequence[Spent], moments: Sequence[float], boxes: Sequence[int]) -> list[float]:
    """Return the simulated seconds of events that are posted at `moments` and labeled by `boxes`."""
    events = sorted(
        (Arrival(moment + own.before, box, [own.thread]), own.before + own.after)
        for moment, box, own in zip(moments, boxes, spent, strict=True)
    )
    own = latencies_of((each for each, _ in events), Boxes(max(boxes) + 1, 1, [PICTURE_SECONDS]))
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

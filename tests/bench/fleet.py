"""Measure 1, 2 and 3 daemons behind HAProxy, and compare the simulation of a fleet with them.

The boxes share this machine's processors. So that this does not limit the measured rate, each labels with own code
that takes a fixed time a picture and no processor, as a box with an accelerator would.
"""

import json
import re
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain

from tests.bench import rig
from tests.bench.camio import Events, Receiver
from tests.bench.fleet_model import Boxes, Load, arrivals, latencies
from tests.bench.harness import Bench
from tests.bench.label import labeled
from tests.bench.latency import timed
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon
from tests.support.figures import percentile
from tests.support.haproxy import Balancer, find

COUNTS = (1, 2, 3)
PICTURE_SECONDS = 0.1
LOAD = 0.7
"""The share of the boxes' time that the measured load takes."""

LABELED = re.compile(r"labeled task=.* ms=(\d+)")

_LABELER = f"""
import time

def compute_labels(images):
    time.sleep({PICTURE_SECONDS} * len(images))
    return {{}}
"""


def can_run() -> bool:
    """Return whether HAProxy is installed; say so if not."""
    if find() is not None:
        return True
    print("NOT MEASURED: daemons behind HAProxy, because haproxy is not installed (apt install haproxy)", flush=True)
    return False


@contextmanager
def fleet(bench: Bench, count: int, receiver: Receiver) -> Iterator[tuple[Balancer, list[Daemon]]]:
    """Start `count` daemons and HAProxy, as the shipped example sets it up."""
    place = bench.place(f"fleet-{len(list(bench.folder.iterdir()))}")
    script = place / "labeler.py"
    script.write_text(_LABELER)
    settings = {
        "CAMIOHOOKD_LABELER_KIND": "python",
        "CAMIOHOOKD_LABELER_SCRIPT": str(script),
        "CAMIOHOOKD_LABELER_THREADS": "1",
        "CAMIOHOOKD_HOOK_TRUSTED_PROXIES": json.dumps(["127.0.0.1"]),
    }
    with ExitStack() as running:
        daemons = [rig.daemon(place / f"box{nth}", receiver.origin, settings) for nth in range(count)]
        for daemon in daemons:
            running.enter_context(daemon)
        yield running.enter_context(Balancer(place, [daemon.port for daemon in daemons])), daemons


def events_a_second(bench: Bench, count: int) -> float:
    """Return events labeled and delivered per second by `count` boxes, whose queues are never empty."""
    with Receiver() as receiver, fleet(bench, count, receiver) as (balancer, _):
        events = Events(receiver.origin, jpegs(160, 120)[:1])
        labeled(balancer, receiver, events, bench.scaled(1, 0.3))  # warm
        return labeled(balancer, receiver, events, bench.scaled(8, 0.8))


def compared(bench: Bench, count: int) -> tuple[float, float]:
    """Return the 95th percentile of the seconds that events take with `count` boxes: simulated, and measured.

    Events are sent at random moments. The simulation gets these moments, and the seconds of events that were sent one
    at a time before and after them. (The log's time of an event that had to wait is not only its labeling.)
    """
    with Receiver() as receiver, fleet(bench, count, receiver) as (balancer, daemons):
        events = Events(receiver.origin, jpegs(160, 120)[:1])
        alone = [_post(balancer, receiver, events)[1] for _ in range(bench.count(20, 3))]
        labeling = [*chain(*(labeling_seconds(daemon.log) for daemon in daemons))]
        per_minute = 60 * LOAD / statistics.fmean(labeling)
        load = Load(cameras=count, per_minute=per_minute, pictures=1)
        posted = post_at(arrivals(load, bench.count(400, 10)), balancer, receiver, events)
        seen = [len(labeling_seconds(daemon.log)) for daemon in daemons]
        alone += [_post(balancer, receiver, events)[1] for _ in range(bench.count(20, 3))]
        for daemon, earlier in zip(daemons, seen, strict=True):
            labeling += labeling_seconds(daemon.log)[earlier:]
    moments = [moment for moment, _ in posted]
    boxes = replace(one_box(alone, labeling), count=count)
    rounds = [latencies(moments, 1, boxes, seed) for seed in range(20)]
    simulated = statistics.median(percentile(each, 0.95) for each in rounds)
    return simulated, percentile([seconds for _, seconds in posted], 0.95)


def labeling_seconds(log: str) -> list[float]:
    """Return how long each event was labeled, from a daemon's log."""
    return [int(milliseconds) / 1000 for milliseconds in LABELED.findall(log)]


def one_box(alone: Sequence[float], labeling: Sequence[float]) -> Boxes:
    """Return a box with one thread that takes as long as events of one picture, sent one at a time, did.

    `alone` are the seconds that they took as a whole, `labeling` those in which they were labeled.
    """
    return Boxes(1, 1, labeling, max(0.0, statistics.fmean(alone) - statistics.fmean(labeling)))


def post_at(
    moments: Sequence[float], balancer: Balancer, receiver: Receiver, events: Events
) -> list[tuple[float, float]]:
    """Post events at `moments`, in seconds from now, without waiting for the earlier ones.

    Return when each was really posted, in order, and the seconds until its labels arrived.
    """
    found: list[tuple[float, float]] = []
    posters: list[threading.Thread] = []
    began = time.perf_counter()
    for moment in moments:
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        poster = threading.Thread(target=lambda: found.append(_post(balancer, receiver, events)))
        poster.start()
        posters.append(poster)
    for poster in posters:
        poster.join()
    assert len(found) == len(moments), f"only {len(found)} of {len(moments)} events were delivered"
    return sorted(found)


def _post(balancer: Balancer, receiver: Receiver, events: Events) -> tuple[float, float]:
    """Post one event; return when, and the seconds until its labels arrive."""
    started = time.perf_counter()
    return started, timed(balancer.port, receiver, events)

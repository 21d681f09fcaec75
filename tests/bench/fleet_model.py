"""A simulation of boxes behind a balancer: measured seconds a picture ─▶ how long events take at any number of cameras.

Each camera sends events at random moments (a Poisson process; many cameras together are one, too). The balancer
chooses a box by a hash of the event, which is simulated as a random choice. A box labels the pictures of its events in
turn, with `threads` at a time; each picture takes as long as one of the measured ones. An event ends with its last
picture.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from typing import NamedTuple

from tests.support.figures import percentile


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in: each camera sends `per_minute` events of `pictures` pictures."""

    cameras: int
    per_minute: float
    pictures: int

    @property
    def events_a_second(self) -> float:
        return self.cameras * self.per_minute / 60


@dataclass(frozen=True, slots=True)
class Boxes:
    """What labels it: `count` boxes with `threads` label threads each.

    `seconds` are samples of a thread's time for a picture. An event takes `besides` more, in which no thread is busy:
    it is accepted, and its labels are delivered.
    """

    count: int
    threads: int
    seconds: Sequence[float]
    besides: float = 0.0

    def use_by(self, load: Load) -> float:
        """Return the share of the time that the threads are busy; above 1 the queues grow without end."""
        mean = math.fsum(self.seconds) / len(self.seconds)
        return load.events_a_second * load.pictures * mean / (self.count * self.threads)


class Arrival(NamedTuple):
    """An event: when it arrives, at which box, and the seconds of a thread for each of its pictures."""

    moment: float
    box: int
    seconds: Sequence[float]


def arrivals(load: Load, events: int, seed: int = 1) -> list[float]:
    """Return the moments at which `events` events arrive, in seconds from the beginning."""
    random = Random(seed)
    return list(accumulate(random.expovariate(load.events_a_second) for _ in range(events)))


def latencies(moments: Sequence[float], pictures: int, boxes: Boxes, seed: int = 1) -> list[float]:
    """Return the seconds from the arrival of each event, at `moments`, until its labels are delivered."""
    random = Random(seed)
    return latencies_of(
        (
            Arrival(now, random.randrange(boxes.count), [random.choice(boxes.seconds) for _ in range(pictures)])
            for now in moments
        ),
        boxes,
    )


def latencies_of(events: Iterable[Arrival], boxes: Boxes) -> list[float]:
    """Return the seconds from the arrival of each event, in order, until its labels are delivered."""
    free_at = [[-math.inf] * boxes.threads for _ in range(boxes.count)]
    found: list[float] = []
    for event in events:
        threads = free_at[event.box]
        ended = event.moment
        for seconds in event.seconds:
            end = max(event.moment, threads[0]) + seconds
            heapq.heapreplace(threads, end)
            ended = max(ended, end)
        found.append(ended - event.moment + boxes.besides)
    return found


def boxes_for(load: Load, one: Boxes, *, within: float, events: int) -> int:
    """Return the least number of boxes like `one` at which 95 % of the events end within that many seconds."""
    moments = arrivals(load, events)
    count = max(1, math.ceil(one.use_by(load)))
    while True:
        boxes = replace(one, count=count)
        if boxes.use_by(load) < 1 and percentile(latencies(moments, load.pictures, boxes), 0.95) <= within:
            return count
        count += 1

"""The callback host is down for a week while 10,000 events arrive, then it comes up.

A simulated event loop drives the queue like the worker: events are labeled at once, several deliveries run at a time,
and each takes time. The test moves the clock; nothing sleeps.
"""

import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from camiohookd.next_try import PATIENCE, Backoff
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import DueDelivery
from camiohookd.queue.task_queue import TaskQueue
from tests.support.queue_factory import REPLY, HandClock, commit, make_event, open_queue

DAY = 86400.0
WEEK = 7 * DAY
EVENTS = 10_000
CAMERAS = 20
CONCURRENCY = 8
PICTURE_BYTES = 3000
BYTES_ALLOWED = 1.1 * PICTURE_BYTES + 2048
REFUSAL_SECONDS = 5.0
ANSWER_SECONDS = (0.05, 0.9 * PATIENCE)


@dataclass(order=True, slots=True)
class Flight:
    """A delivery that runs until `lands`; it `arrives` if the host was up when it started."""

    lands: float
    task_id: int
    delivery: DueDelivery = field(compare=False)
    arrives: bool = field(compare=False)


class Outage:
    """A queue, its worker, and a host that comes up after `WEEK` seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chance = random.Random(20170505)
        self.clock = HandClock()
        self.start = self.clock.boot_seconds
        self.written = self.attempts = self.most_in_air = 0
        self.in_air: list[Flight] = []
        self.arrived: list[int] = []
        self.camera_of: dict[int, str] = {}
        self.open()

    def open(self) -> None:
        self.queue = open_queue(
            self.folder,
            clock=self.clock,
            backoff=Backoff(uniform=self.chance.uniform),
        )
        self.housekeeper = Housekeeper(self.queue)

    def close(self) -> None:
        self.in_air.clear()
        self.queue.close()
        self.written += self.queue.store.disk.written

    def now(self) -> float:
        return self.clock.boot_seconds - self.start

    def accept_and_label(self, number: int) -> None:
        camera = f"camera {number % CAMERAS}"
        task_id = int(commit(self.queue, lambda q: q.put(make_event(number, size=PICTURE_BYTES, camera=camera))).id)
        commit(self.queue, TaskQueue.claim)
        commit(self.queue, lambda q: q.labelled(task_id, REPLY))
        self.camera_of[task_id] = camera

    def run_until(self, moment: float) -> None:
        """Start and finish deliveries until `moment`, or until all events have arrived."""
        while len(self.arrived) < EVENTS:
            self.take_off()
            while self.housekeeper.step():
                pass
            coming = self.next_moment()
            if coming > moment:
                self.clock.tick(moment - self.now())
                return
            self.clock.tick(max(coming - self.now(), 0.0) + 0.001)
            while self.in_air and self.in_air[0].lands <= self.now():
                self.land(heapq.heappop(self.in_air))

    def take_off(self) -> None:
        while len(self.in_air) < CONCURRENCY and (delivery := commit(self.queue, lambda q: q.deliveries.take())):
            arrives = self.now() >= WEEK
            seconds = self.chance.uniform(*ANSWER_SECONDS) if arrives else REFUSAL_SECONDS
            heapq.heappush(self.in_air, Flight(self.now() + seconds, int(delivery.task.id), delivery, arrives))
            self.attempts += 1
            self.most_in_air = max(self.most_in_air, len(self.in_air))

    def next_moment(self) -> float:
        """Return the time when the next delivery ends or becomes due."""
        moments = [self.in_air[0].lands] if self.in_air else []
        due = self.queue.store.schedule.next_due(self.queue.store.elapsed.now())
        if due is not None and len(self.in_air) < CONCURRENCY:
            moments.append(self.now() + due - self.queue.store.elapsed.now())
        return min(moments, default=float("inf"))

    def land(self, flight: Flight) -> None:
        if flight.arrives:
            commit(self.queue, lambda q: q.deliveries.done(flight.task_id))
            self.arrived.append(flight.task_id)
        else:
            commit(self.queue, lambda q: q.deliveries.retry(flight.task_id, "the host does not answer"))
        self.queue.deliveries.landed(flight.delivery, success=flight.arrives)


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outage, int]:
    """Simulate the week with a restart in its middle, and a day after it; return also the number of failed tries."""
    world = Outage(tmp_path_factory.mktemp("state"))
    for number in range(EVENTS):
        world.run_until(number * WEEK / EVENTS)
        world.accept_and_label(number)
        if number == EVENTS // 2:
            world.close()
            world.open()
    world.run_until(WEEK)
    in_vain = world.attempts
    assert not world.arrived
    world.run_until(WEEK + DAY)
    world.close()
    return world, in_vain


def test_delivers_all_events_once_and_soon(outage: tuple[Outage, int]) -> None:
    world, _ = outage
    assert sorted(world.arrived) == sorted(world.camera_of)
    assert world.now() < WEEK + 2 * 3600


def test_never_exceeds_the_concurrency_of_deliveries(outage: tuple[Outage, int]) -> None:
    world, _ = outage
    assert world.most_in_air == CONCURRENCY


def test_a_week_of_outage_takes_a_few_thousand_attempts(outage: tuple[Outage, int]) -> None:
    world, in_vain = outage
    print(f"\ndelivery attempts during a week of outage: {in_vain}, for {EVENTS} events")
    assert WEEK / 600 < in_vain < 4000
    assert world.attempts - in_vain <= EVENTS + CONCURRENCY


def test_a_cameras_replies_arrive_in_order_except_the_first_after_the_outage(outage: tuple[Outage, int]) -> None:
    world, _ = outage
    by_camera: dict[str, list[int]] = defaultdict(list)
    for task_id in world.arrived[1:]:
        by_camera[world.camera_of[task_id]].append(task_id)
    assert len(by_camera) == CAMERAS
    for arrived in by_camera.values():
        assert all(earlier < later for earlier, later in pairwise(arrived))


def test_writes_few_bytes_for_an_event_during_the_outage(outage: tuple[Outage, int]) -> None:
    world, _ = outage
    print(f"\nbytes written per event of {PICTURE_BYTES} decoded bytes: {world.written / EVENTS:.0f}")
    assert world.written / EVENTS <= BYTES_ALLOWED

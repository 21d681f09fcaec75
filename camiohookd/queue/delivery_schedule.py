"""Which reply is delivered next: due times, hosts that are down, and order within a camera.

A host that failed is *down*: until it answers well again only one delivery at a time tries it, after a pause that grows
with every failure. So an outage of a week costs one try every few minutes, not one for every task. Each try is another
task's turn, so that tasks that fail by themselves cannot hide that the host is up. A success opens the host again, and
those that wait for it become due, but for those whose own answer named a time (`Retry-After`) and the *stubborn* ones:
they failed again although the host was up, wait for nobody but themselves, and no longer count against the host.

A camera's replies go out one after the other, so that they arrive in order; one that takes longer than `PATIENCE` loses
that right, so that a slow answer holds up no other.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from camiohookd.queue.sorted_ids import OrderedIds, TimedIds

PATIENCE = 2.0
"""Seconds that a camera's next delivery waits for the one before it."""

ANSWERED_PAUSE = 20.0
"""The longest pause after a failure of a host that did answer: it may be the event and not the host."""


@dataclass(slots=True)
class _Lane:
    """The deliveries of one camera to one host."""

    camera: str
    ready: OrderedIds = field(default_factory=OrderedIds)
    leader: int | None = None  # the one in the air that the next waits for
    offered: int | None = None  # the one that stands for it in the host's `heads`


@dataclass(slots=True)
class _Host:
    lanes: dict[str, _Lane] = field(default_factory=dict)
    heads: list[tuple[int, str]] = field(default_factory=list)  # (first ready id, camera), some out of date
    waiting: TimedIds = field(default_factory=TimedIds)  # by `not_before`, or until the host answers well
    aside: TimedIds = field(default_factory=TimedIds)  # by `not_before`, whatever becomes of the host
    ready: OrderedIds = field(default_factory=OrderedIds)  # those of all lanes
    leaders: list[tuple[float, str, int]] = field(default_factory=list)  # (patience ends, camera, id)
    in_air: int = 0
    failures: int = 0
    failed: set[int] = field(default_factory=set)  # since its last success
    last_tried: int = 0
    closed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    camera: str
    not_before: float
    firm: bool


class DeliverySchedule:
    """The schedule of the labelled tasks; times are elapsed seconds. Belongs to the store thread.

    `backoff(failures)` gives the seconds to leave a host alone that failed `failures` times in a row.
    """

    def __init__(self, backoff: Callable[[int], float]) -> None:
        self._backoff = backoff
        self._hosts: dict[str, _Host] = {}
        self._entries: dict[int, _Entry] = {}
        self._in_air: dict[int, _Entry] = {}
        self._taken: list[int] = []  # not settled yet
        self._warned: set[int] = set()  # failed, and then the host proved to be up
        self._stubborn: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, task_id: int, host: str, camera: str, not_before: float, *, firm: bool = False) -> None:
        """Plan a delivery; planned again, the later plan counts. One in the air is not due before it has landed."""
        self.remove(task_id)
        self._entries[task_id] = _Entry(host, camera, not_before, firm)
        if task_id not in self._in_air:
            self._plan(task_id)

    def remove(self, task_id: int) -> None:
        entry = self._entries.pop(task_id, None)
        if entry is None or task_id in self._in_air:
            return
        self._forgive(task_id)
        host = self._hosts[entry.host]
        host.waiting.discard(task_id)
        host.aside.discard(task_id)
        host.ready.discard(task_id)
        lane = host.lanes.get(entry.camera)
        if lane is not None:
            lane.ready.discard(task_id)
            self._offer(host, lane)
        self._forget_if_idle(entry.host)

    def take(self, now: float) -> int | None:
        """The next delivery, from now on in the air until `landed`; None when none is due."""
        for host in self._hosts.values():
            self._ripen(host, now)
            if now < host.closed_until or (host.failures and host.in_air):
                continue
            if (task_id := self._next_ready(host)) is not None:
                self._launch(host, task_id, now)
                self._taken.append(task_id)
                return task_id
        return None

    def settle(self) -> None:
        """Whoever took deliveries has heard of them."""
        self._taken.clear()

    def undo(self, now: float) -> None:
        """Whoever took deliveries since they were last settled did not hear of them."""
        for task_id in self._taken:
            self.landed(task_id, now, success=None)
        self._taken.clear()

    @property
    def in_air(self) -> int:
        """How many deliveries are being tried."""
        return len(self._in_air)

    def due(self, now: float) -> set[int]:
        """All whose time has come; looks at all there are."""
        return {task_id for task_id, entry in self._entries.items() if entry.not_before <= now}

    def is_in_air(self, task_id: int) -> bool:
        return task_id in self._in_air

    def landed(self, task_id: int, now: float, *, success: bool | None, answered: bool = False) -> None:
        """The try is over; whether the host answered well opens or closes it for the others.

        `success` None: the try was not made after all. `answered`: it failed, but the host is there. What is still
        planned, or again, becomes due at its time.
        """
        flown = self._in_air.pop(task_id, None)
        if flown is None:
            return
        host = self._hosts[flown.host]
        host.in_air -= 1
        if (lane := host.lanes.get(flown.camera)) is not None:
            self._end_lead(host, lane, task_id)
        if success:
            self._open(host)
        elif success is not None:
            self._failed(host, task_id, now, answered=answered)
        if task_id in self._entries:
            self._plan(task_id)
        else:
            self._forgive(task_id)
        self._forget_if_idle(flown.host)

    def next_due(self, now: float) -> float | None:
        """When `take` may have something again; None when only another event can change that."""
        times = [time for host in self._hosts.values() if (time := self._host_due(host, now)) is not None]
        return min(times, default=None)

    def _host_due(self, host: _Host, now: float) -> float | None:
        if host.failures and host.in_air:
            return None
        if self._next_ready(host) is not None:
            return max(now, host.closed_until)
        times = [ends for ends, *_ in host.leaders[:1]]
        times += [first[0] for timed in (host.waiting, host.aside) if (first := timed.first()) is not None]
        return max(min(times), host.closed_until) if times else None

    def _plan(self, task_id: int) -> None:
        entry = self._entries[task_id]
        host = self._hosts.setdefault(entry.host, _Host())
        if entry.not_before == 0:  # never tried: there may be thousands of them when the queue is opened
            self._make_ready(host, task_id)
        elif entry.firm or task_id in self._stubborn:
            host.aside.add(task_id, entry.not_before)
        else:
            host.waiting.add(task_id, entry.not_before)

    def _ripen(self, host: _Host, now: float) -> None:
        for timed in (host.waiting, host.aside):
            while (first := timed.first()) is not None and first[0] <= now:
                timed.discard(first[1])
                self._make_ready(host, first[1])
        while host.leaders and host.leaders[0][0] <= now:
            _, camera, task_id = heapq.heappop(host.leaders)
            if (lane := host.lanes.get(camera)) is not None:
                self._end_lead(host, lane, task_id)

    def _make_ready(self, host: _Host, task_id: int) -> None:
        camera = self._entries[task_id].camera
        lane = host.lanes.setdefault(camera, _Lane(camera))
        lane.ready.add(task_id)
        host.ready.add(task_id)
        self._offer(host, lane)

    def _offer(self, host: _Host, lane: _Lane) -> None:
        if lane.leader is not None:
            return
        first = lane.ready.first()
        if first is None:
            host.lanes.pop(lane.camera, None)
        elif first != lane.offered:
            lane.offered = first
            heapq.heappush(host.heads, (first, lane.camera))

    def _next_lane(self, host: _Host) -> _Lane | None:
        """The free lane with the oldest delivery that is ready."""
        while host.heads:
            task_id, camera = host.heads[0]
            lane = host.lanes.get(camera)
            if lane is not None and lane.leader is None and lane.ready.first() == task_id:
                return lane
            heapq.heappop(host.heads)
        return None

    def _next_ready(self, host: _Host) -> int | None:
        """While the host is up, the oldest delivery of a free lane; while it is down, the one after the last tried."""
        if host.failures:
            return next(host.ready.after(host.last_tried), host.ready.first())
        lane = self._next_lane(host)
        return None if lane is None else lane.ready.first()

    def _launch(self, host: _Host, task_id: int, now: float) -> None:
        lane = host.lanes[self._entries[task_id].camera]
        lane.ready.discard(task_id)
        host.ready.discard(task_id)
        host.last_tried = task_id
        lane.leader, lane.offered = task_id, None
        heapq.heappush(host.leaders, (now + PATIENCE, lane.camera, task_id))
        host.in_air += 1
        self._in_air[task_id] = self._entries[task_id]

    def _end_lead(self, host: _Host, lane: _Lane, task_id: int) -> None:
        if lane.leader == task_id:
            lane.leader = None
            self._offer(host, lane)

    def _open(self, host: _Host) -> None:
        host.failures, host.closed_until = 0, 0.0
        self._warned |= host.failed & self._entries.keys()
        host.failed.clear()
        while (first := host.waiting.first()) is not None:
            host.waiting.discard(first[1])
            self._make_ready(host, first[1])

    def _failed(self, host: _Host, task_id: int, now: float, *, answered: bool) -> None:
        if task_id in self._stubborn and not host.failures:
            return
        host.failed.add(task_id)
        if task_id in self._warned:
            self._stubborn.add(task_id)
        # Those that were in the air together when the host went down count as one failure.
        if now >= host.closed_until:
            host.failures += 1
            pause = self._backoff(host.failures)
            host.closed_until = now + (min(pause, ANSWERED_PAUSE) if answered else pause)

    def _forgive(self, task_id: int) -> None:
        self._warned.discard(task_id)
        self._stubborn.discard(task_id)

    def _forget_if_idle(self, name: str) -> None:
        host = self._hosts[name]
        if not (host.waiting or host.aside or host.lanes or host.in_air or host.failures):
            del self._hosts[name]

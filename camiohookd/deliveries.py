"""Which reply is delivered next: due times, hosts that are down, and order within a camera.

A host that failed is *down*: until it answers well again only one delivery at a time tries it, after a pause that grows
with every failure. So an outage of a week costs one try every few minutes, not one for every task. A success opens the
host again, and those that wait for it become due, but for those whose own answer named a time (`Retry-After`).
A camera's replies go out one after the other, so that they arrive in order; one that takes longer than `PATIENCE` loses
that right, so that a slow answer holds up no other.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from camiohookd.ordered import OrderedIds, TimedIds

PATIENCE = 2.0
"""Seconds that a camera's next delivery waits for the one before it."""


@dataclass(slots=True)
class _Lane:
    """The deliveries of one camera to one host."""

    camera: str
    ready: OrderedIds = field(default_factory=OrderedIds)
    leader: int | None = None  # the one in the air that the next waits for


@dataclass(slots=True)
class _Host:
    lanes: dict[str, _Lane] = field(default_factory=dict)
    heads: list[tuple[int, str]] = field(default_factory=list)  # (first ready id, camera), some out of date
    waiting: TimedIds = field(default_factory=TimedIds)  # by `not_before`
    leaders: list[tuple[float, str, int]] = field(default_factory=list)  # (patience ends, camera, id)
    in_air: int = 0
    failures: int = 0
    closed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    camera: str
    not_before: float
    firm: bool


class Deliveries:
    """The schedule of the labelled tasks; times are elapsed seconds. Belongs to the store thread.

    `backoff(failures)` gives the seconds to leave a host alone that failed `failures` times in a row.
    """

    def __init__(self, backoff: Callable[[int], float]) -> None:
        self._backoff = backoff
        self._hosts: dict[str, _Host] = {}
        self._entries: dict[int, _Entry] = {}
        self._in_air: dict[int, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, task_id: int, host: str, camera: str, not_before: float, *, firm: bool = False) -> None:
        """Plan a delivery; planned again, the later plan counts. One in the air is not due before it has landed."""
        self.remove(task_id)
        self._entries[task_id] = _Entry(host, camera, not_before, firm)
        if task_id not in self._in_air:
            self._host(host).waiting.add(task_id, not_before)

    def remove(self, task_id: int) -> None:
        entry = self._entries.pop(task_id, None)
        if entry is None or task_id in self._in_air:
            return
        host = self._hosts[entry.host]
        host.waiting.discard(task_id)
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
            if (lane := self._next_lane(host)) is not None:
                return self._launch(host, lane, now)
        return None

    @property
    def in_air(self) -> int:
        """How many deliveries are being tried."""
        return len(self._in_air)

    def is_in_air(self, task_id: int) -> bool:
        return task_id in self._in_air

    def landed(self, task_id: int, now: float, *, success: bool | None) -> None:
        """The try is over; whether the host answered well opens or closes it for the others.

        `success` None: the try was not made after all. What is still planned, or again, becomes due at its time.
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
            self._close(host, now)
        if (entry := self._entries.get(task_id)) is not None:
            self._host(entry.host).waiting.add(task_id, entry.not_before)
        self._forget_if_idle(flown.host)

    def next_due(self, now: float) -> float | None:
        """When `take` may have something again; None when only another event can change that."""
        times = [time for host in self._hosts.values() if (time := self._host_due(host, now)) is not None]
        return min(times, default=None)

    def _host_due(self, host: _Host, now: float) -> float | None:
        if host.failures and host.in_air:
            return None
        if self._next_lane(host) is not None:
            return max(now, host.closed_until)
        times = [ends for ends, *_ in host.leaders[:1]]
        if (first := host.waiting.first()) is not None:
            times.append(first[0])
        return max(min(times), host.closed_until) if times else None

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host())

    def _ripen(self, host: _Host, now: float) -> None:
        while (first := host.waiting.first()) is not None and first[0] <= now:
            self._make_ready(host, first[1])
        while host.leaders and host.leaders[0][0] <= now:
            _, camera, task_id = heapq.heappop(host.leaders)
            if (lane := host.lanes.get(camera)) is not None:
                self._end_lead(host, lane, task_id)

    def _make_ready(self, host: _Host, task_id: int) -> None:
        host.waiting.discard(task_id)
        camera = self._entries[task_id].camera
        lane = host.lanes.setdefault(camera, _Lane(camera))
        lane.ready.add(task_id)
        self._offer(host, lane)

    def _offer(self, host: _Host, lane: _Lane) -> None:
        if lane.leader is not None:
            return
        if (first := lane.ready.first()) is not None:
            heapq.heappush(host.heads, (first, lane.camera))
        else:
            host.lanes.pop(lane.camera, None)

    def _next_lane(self, host: _Host) -> _Lane | None:
        """The free lane with the oldest delivery that is ready."""
        while host.heads:
            task_id, camera = host.heads[0]
            lane = host.lanes.get(camera)
            if lane is not None and lane.leader is None and lane.ready.first() == task_id:
                return lane
            heapq.heappop(host.heads)
        return None

    def _launch(self, host: _Host, lane: _Lane, now: float) -> int:
        task_id, _ = heapq.heappop(host.heads)
        lane.ready.discard(task_id)
        lane.leader = task_id
        heapq.heappush(host.leaders, (now + PATIENCE, lane.camera, task_id))
        host.in_air += 1
        self._in_air[task_id] = self._entries[task_id]
        return task_id

    def _end_lead(self, host: _Host, lane: _Lane, task_id: int) -> None:
        if lane.leader == task_id:
            lane.leader = None
            self._offer(host, lane)

    def _open(self, host: _Host) -> None:
        host.failures, host.closed_until = 0, 0.0
        for task_id in host.waiting.ids():
            if not self._entries[task_id].firm:
                self._make_ready(host, task_id)

    def _close(self, host: _Host, now: float) -> None:
        # Those that were in the air together when the host went down count as one failure.
        if now < host.closed_until:
            return
        host.failures += 1
        host.closed_until = now + self._backoff(host.failures)

    def _forget_if_idle(self, name: str) -> None:
        host = self._hosts[name]
        if not (host.waiting or host.lanes or host.in_air or host.failures):
            del self._hosts[name]

"""The replies that wait for one host: choose the next one and its time.

    plan ─▶ waiting (its time, or until the host succeeds) ─┐
         ─▶ aside (its own time only) ──────────────────────┼─▶ ready, in the lane of its camera ─take─▶ in flight
         ─▶ (never tried) ──────────────────────────────────┘                                             landed ─▶

`next_try` holds the rule; this module has only the collections that make it fast. A lane holds the replies of one
camera: its first reply in flight is the leader, which the next one waits for.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from camiohookd.next_try import PATIENCE, HostHealth
from camiohookd.queue.sorted_ids import OrderedIds, TimedIds


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A planned delivery. `firm`: the receiver named `not_before` itself."""

    host: "HostDeliveries"
    camera: str
    not_before: float
    firm: bool


@dataclass(slots=True)
class _Lane:
    """The deliveries of one camera."""

    ready: OrderedIds = field(default_factory=OrderedIds)
    leader: int | None = None
    patience_ends: float = 0.0  # the time from which the next one no longer waits for the leader
    offered: int | None = None  # its id in `_heads`


class HostDeliveries:
    """The planned deliveries to one host. No access takes longer if there are more. Belongs to the store thread.

    `plans` are the plans of all hosts by task id; times are elapsed seconds.
    """

    __slots__ = (
        "_aside", "_heads", "_lanes", "_last_tried", "_leaders", "_plans", "_ready", "_waiting", "booked", "health",
        "in_air", "name",
    )  # fmt: skip

    def __init__(self, name: str, plans: Mapping[int, PlannedDelivery], backoff: Callable[[int], float]) -> None:
        self.name = name
        self.health = HostHealth(backoff)
        self.in_air = 0
        self.booked: float | None = None  # its time in the `Agenda`
        self._plans = plans
        self._lanes: dict[str, _Lane] = {}
        self._heads: list[tuple[int, str]] = []  # heap of (first ready id, camera); some entries are out of date
        self._leaders: list[
            tuple[float, str, int]
        ] = []  # heap of (end of patience, camera, id); some entries are out of date
        self._waiting = TimedIds()
        self._aside = TimedIds()
        self._ready = OrderedIds()  # the ready ids of all lanes
        self._last_tried = 0

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is planned or in flight."""
        return not (self._waiting or self._aside or self._lanes or self.in_air)

    def plan(self, task_id: int) -> None:
        """Add a planned delivery that is not in flight."""
        plan = self._plans[task_id]
        if plan.not_before == 0:  # never tried: there may be thousands of them at the start
            self._make_ready(task_id)
        elif plan.firm or self.health.is_stubborn(task_id):
            self._aside.add(task_id, plan.not_before)
        else:
            self._waiting.add(task_id, plan.not_before)

    def remove(self, task_id: int, camera: str) -> None:
        """Remove a delivery that is not in flight."""
        self.health.forget(task_id)
        self._waiting.discard(task_id)
        self._aside.discard(task_id)
        self._ready.discard(task_id)
        if (lane := self._lanes.get(camera)) is not None:
            lane.ready.discard(task_id)
            self._offer(camera, lane)

    def take(self, now: float) -> int | None:
        """Return the next delivery, which is then in flight; None if none is due."""
        self._ripen(now)
        if now < self.health.paused_until or (self.health.is_down and self.in_air):
            return None
        task_id = self._next_ready()
        if task_id is not None:
            self._launch(task_id, now)
        return task_id

    def landed(self, task_id: int, camera: str, now: float, *, success: bool | None, answered: bool) -> None:
        """End a try; for the arguments see `DeliverySchedule.landed`."""
        self.in_air -= 1
        if (lane := self._lanes.get(camera)) is not None:
            self._end_lead(camera, lane, task_id)
        if success:
            self.health.succeeded()
            self._release_all()
        elif success is not None:
            self.health.failed(task_id, now, answered=answered)
        if task_id in self._plans:
            self.plan(task_id)
        else:
            self.health.forget(task_id)

    def due_at(self) -> float | None:
        """Return the time when `take` may have a delivery; None if only another event can bring one."""
        if self.health.is_down and self.in_air:
            return None
        if self._next_ready() is not None:
            return self.health.paused_until
        times = [timed[0] for timed in (self._waiting.first(), self._aside.first()) if timed is not None]
        if (patience_ends := self._patience_ends()) is not None:
            times.append(patience_ends)
        return max(min(times), self.health.paused_until) if times else None

    def _patience_ends(self) -> float | None:
        """Return the time when the first lane continues without its leader."""
        while self._leaders:
            ends, camera, task_id = self._leaders[0]
            lane = self._lanes.get(camera)
            if lane is not None and (lane.leader, lane.patience_ends) == (task_id, ends):
                return ends
            heapq.heappop(self._leaders)
        return None

    def _ripen(self, now: float) -> None:
        """Make due deliveries ready, and end the lead of leaders that take too long."""
        for timed in (self._waiting, self._aside):
            while (first := timed.first()) is not None and first[0] <= now:
                timed.discard(first[1])
                self._make_ready(first[1])
        while (ends := self._patience_ends()) is not None and ends <= now:
            _, camera, task_id = heapq.heappop(self._leaders)
            self._end_lead(camera, self._lanes[camera], task_id)

    def _release_all(self) -> None:
        """Make all deliveries ready that waited for the host."""
        while (first := self._waiting.first()) is not None:
            self._waiting.discard(first[1])
            self._make_ready(first[1])

    def _make_ready(self, task_id: int) -> None:
        camera = self._plans[task_id].camera
        lane = self._lanes.setdefault(camera, _Lane())
        lane.ready.add(task_id)
        self._ready.add(task_id)
        self._offer(camera, lane)

    def _offer(self, camera: str, lane: _Lane) -> None:
        """Add a lane without a leader to `_heads`, or forget the lane if it is empty."""
        if lane.leader is not None:
            return
        first = lane.ready.first()
        if first is None:
            self._lanes.pop(camera, None)
        elif first != lane.offered:
            lane.offered = first
            heapq.heappush(self._heads, (first, camera))

    def _next_ready(self) -> int | None:
        """Return the oldest delivery of a lane without a leader; if the host is down, the one after the last try."""
        if self.health.is_down:
            return next(self._ready.after(self._last_tried), self._ready.first())
        while self._heads:
            task_id, camera = self._heads[0]
            lane = self._lanes.get(camera)
            if lane is not None and lane.leader is None and lane.ready.first() == task_id:
                return task_id
            heapq.heappop(self._heads)
        return None

    def _launch(self, task_id: int, now: float) -> None:
        camera = self._plans[task_id].camera
        lane = self._lanes[camera]
        lane.ready.discard(task_id)
        self._ready.discard(task_id)
        self._last_tried = task_id
        lane.leader, lane.offered, lane.patience_ends = task_id, None, now + PATIENCE
        heapq.heappush(self._leaders, (lane.patience_ends, camera, task_id))
        self.in_air += 1

    def _end_lead(self, camera: str, lane: _Lane, task_id: int) -> None:
        if lane.leader == task_id:
            lane.leader = None
            self._offer(camera, lane)

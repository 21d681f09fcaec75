"""Choose the reply to deliver next: the hosts take turns, and each host keeps its own order and pauses.

    add ─▶ HostDeliveries of its host ─▶ agenda (when the host is due) ─▶ turns (hosts that are due) ─take─▶ in flight

`next_try` holds the rule for a single host.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Collection
from itertools import count

from camiohookd.queue.agenda import Agenda
from camiohookd.queue.host_deliveries import HostDeliveries, PlannedDelivery

MAX_IDLE_HOSTS = 1000
"""Hosts remembered as down though nothing waits for them; beyond that, the one idle for longest is forgotten."""

MAX_SHARED_PLANS = 1000
"""Plans of a host that later deliveries can share."""


class DeliverySchedule:
    """The schedule of the labeled tasks; times are elapsed seconds. Belongs to the store thread.

    `backoff(failures)` gives the seconds to pause for a host that failed `failures` times in a row.
    """

    def __init__(self, backoff: Callable[[int], float]) -> None:
        self._backoff = backoff
        self._hosts: dict[str, HostDeliveries] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()  # hosts that are down and have no waiting deliveries
        self._plans: dict[int, PlannedDelivery] = {}
        self._shared: dict[HostDeliveries, dict[str, PlannedDelivery]] = {}  # by host and camera
        self._in_air: dict[int, PlannedDelivery] = {}
        self._flights: dict[int, int] = {}  # the number of the flight, by task in flight
        self._flight_numbers = count(1)
        self._taken: list[int] = []  # since the last `settle`
        self._turns: OrderedDict[HostDeliveries, None] = OrderedDict()
        self._served: HostDeliveries | None = None  # had the last turn; joins the turns when the next one is taken
        self._agenda = Agenda()

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def in_air(self) -> Collection[int]:
        """The deliveries that are being tried."""
        return self._in_air.keys()

    def flight(self, task_id: int) -> int:
        """Return the unique number of the try in flight; 0 if there is none."""
        return self._flights.get(task_id, 0)

    def add(self, task_id: int, host: str, camera: str, not_before: float, *, firm: bool = False) -> None:
        """Plan a delivery, or change its plan. One in flight becomes due only after it has landed."""
        self.remove(task_id)
        known = self._hosts.get(host)
        if known is None:
            known = self._hosts[host] = HostDeliveries(host, self._plans, self._backoff)
        self._plans[task_id] = (
            PlannedDelivery(known, camera, not_before, firm) if not_before or firm else self._new(known, camera)
        )
        self._idle.pop(host, None)
        if task_id not in self._in_air:
            known.plan(task_id)
            self._book(known)

    def _new(self, host: HostDeliveries, camera: str) -> PlannedDelivery:
        """Return the plan of a delivery that was never tried, which thousands of a camera share."""
        shared = self._shared.setdefault(host, {})
        plan = shared.get(camera)
        if plan is None:
            if len(shared) >= MAX_SHARED_PLANS:
                shared.clear()
            plan = shared[camera] = PlannedDelivery(host, camera, 0.0, False)
        return plan

    def remove(self, task_id: int) -> None:
        plan = self._plans.pop(task_id, None)
        if plan is None or task_id in self._in_air:
            return
        plan.host.remove(task_id, plan.camera)
        self._forget_or_book(plan.host)

    def take(self, now: float, slots: int = sys.maxsize) -> int | None:
        """Return the next delivery, which is in flight until `landed`; None when none is due.

        `slots` is the number of concurrent deliveries: a host gets the last slot only if no other host is due.
        """
        self._call_due_hosts(now)
        self._end_turn(now)
        crowded: list[HostDeliveries] = []
        task_id = None
        while task_id is None and self._turns:
            host, _ = self._turns.popitem(last=False)
            if 1 < slots <= host.in_air + 1:
                crowded.append(host)
            else:
                task_id = self._take_from(host, now)
        for host in reversed(crowded):
            if task_id is None:
                task_id = self._take_from(host, now)
            else:
                self._turns[host] = None
                self._turns.move_to_end(host, last=False)
        return task_id

    def landed(self, task_id: int, now: float, *, success: bool | None, answered: bool = False) -> None:
        """End a try; its result brings the host up or down for all others that wait for it.

        `success` None means that the try was not made. `answered` means that it failed, but the host answered. If the
        delivery is planned (again), it becomes due at its time.
        """
        flown = self._in_air.pop(task_id, None)
        self._flights.pop(task_id, None)
        if flown is None:
            return
        flown.host.landed(task_id, flown.camera, now, success=success, answered=answered)
        self._forget_or_book(flown.host)

    def settle(self) -> None:
        """Keep the deliveries taken so far in flight, because their takers have received them."""
        self._taken.clear()

    def mark(self) -> int:
        """Return a mark for `undo`."""
        return len(self._taken)

    def undo(self, now: float, mark: int = 0) -> None:
        """Put back the deliveries taken since `mark`, or the last `settle`, which their takers did not receive."""
        for task_id in self._taken[mark:]:
            self.landed(task_id, now, success=None)
        del self._taken[mark:]

    def due(self, now: float) -> list[int]:
        """Return all due deliveries; looks at every one."""
        return [task_id for task_id, plan in self._plans.items() if plan.not_before <= now]

    def next_due(self, now: float) -> float | None:
        """Return the time when `take` may have a delivery again; None if only another event can bring one."""
        while self._turns:
            host = next(iter(self._turns))
            due = host.due_at()
            if due is not None and due <= now:
                return now
            del self._turns[host]
            self._book(host)
        served = self._served.due_at() if self._served is not None else None
        times = [due for due in (self._agenda.next_time(), served) if due is not None]
        return max(now, min(times)) if times else None

    def _take_from(self, host: HostDeliveries, now: float) -> int | None:
        task_id = host.take(now)
        if task_id is not None:
            self._in_air[task_id] = self._plans[task_id]
            self._flights[task_id] = next(self._flight_numbers)
            self._taken.append(task_id)
            self._served = host
            self._agenda.cancel(host)
        else:
            self._book(host)
        return task_id

    def _end_turn(self, now: float) -> None:
        """Put the host that had the last turn behind all that are due, also behind those that became due now."""
        served, self._served = self._served, None
        if served is not None:
            self._book(served)
            self._call_due_hosts(now)

    def _call_due_hosts(self, now: float) -> None:
        """Give turns to the hosts that have become due, behind those that already wait for theirs."""
        while (host := self._agenda.pop_due(now)) is not None:
            self._turns[host] = None

    def _book(self, host: HostDeliveries) -> None:
        """Book the time when the host is due. A host that is being served is booked when its turn ends."""
        if host is not self._served:
            self._agenda.book(host)

    def _forget_or_book(self, host: HostDeliveries) -> None:
        if not host.is_idle:
            self._book(host)
            return
        if host.health.is_down:
            self._idle[host.name] = None
            self._idle.move_to_end(host.name)
            self._book(host)
        else:
            self._forget(host.name)
        if len(self._idle) > MAX_IDLE_HOSTS:
            self._forget(next(iter(self._idle)))

    def _forget(self, name: str) -> None:
        host = self._hosts.pop(name)
        self._agenda.cancel(host)
        if self._served is host:
            self._served = None
        self._turns.pop(host, None)
        self._shared.pop(host, None)  # plans refer to their host
        self._idle.pop(name, None)

"""The times at which the hosts of the delivery schedule are due, the earliest first.

Belongs to the store thread.
"""

import heapq
from itertools import count

from camiohookd.queue.host_deliveries import HostDeliveries

_SLACK = 64
"""Rebuild the heap when it has more outdated entries than booked hosts and this many."""


class Agenda:
    """The hosts that wait for a time, which each has in its `booked`; `book` and `cancel` set it."""

    def __init__(self) -> None:
        self._entries: list[
            tuple[float, int, HostDeliveries]
        ] = []  # heap of (due, tie-break, host); some entries are out of date
        self._tie_break = count()
        self._booked = 0

    def __len__(self) -> int:
        return len(self._entries)

    def book(self, host: HostDeliveries) -> None:
        """Book `host` at the time when it is due, which may have changed. If it has none, remove it."""
        due = host.due_at()
        if due == host.booked:
            return
        self.cancel(host)
        if due is not None:
            host.booked = due
            self._booked += 1
            heapq.heappush(self._entries, (due, next(self._tie_break), host))
        if len(self._entries) > 2 * self._booked + _SLACK:
            valid = {entry[2]: entry for entry in self._entries if entry[0] == entry[2].booked}
            self._entries = list(valid.values())
            heapq.heapify(self._entries)

    def cancel(self, host: HostDeliveries) -> None:
        """Remove `host`."""
        if host.booked is not None:
            host.booked = None
            self._booked -= 1

    def next_time(self) -> float | None:
        """Return the time when the first host is due; None if no host is booked."""
        while self._entries and self._entries[0][0] != self._entries[0][2].booked:
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def pop_due(self, now: float) -> HostDeliveries | None:
        """Return and remove the first host if it is due."""
        due = self.next_time()
        if due is None or due > now:
            return None
        _, _, host = heapq.heappop(self._entries)
        self.cancel(host)
        return host

"""Decide how many optional steps an event may take, so that other events do not wait for them.

While no other event waits, all optional steps are taken. Each event that waits halves them. When one has waited for
`PATIENCE`, only what is necessary is done. So the next event waits for at most one step in each thread plus `PATIENCE`.
"""

import time
from collections.abc import Callable

PATIENCE = 0.5
"""Seconds for which optional steps may still be taken after another event began to wait."""


class SpareTime:
    """Belongs to one event; the threads that label it share it. `waiting` returns how many other events wait."""

    def __init__(self, waiting: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = waiting
        self._clock = clock
        self._since: float | None = None

    def steps(self, worth: int) -> int:
        """Return how many of `worth` optional steps may be taken now."""
        others = self._waiting()
        if others <= 0:
            self._since = None
            return worth
        now = self._clock()
        since = self._since = now if self._since is None else self._since
        return 0 if now - since >= PATIENCE else worth >> min(others, worth.bit_length())

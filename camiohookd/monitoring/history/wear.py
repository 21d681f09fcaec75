"""Limit the bytes that are written for thumbnails, to protect memory cards.

An event's thumbnails take about a tenth of its own bytes on the disk. When very many events come, each gets only one
small thumbnail.
"""

import time
from collections.abc import Callable

BYTES_A_DAY = 100_000_000
MOST_SAVED = 4_000_000
AT_FIRST = 1_000_000
PLENTY = 64_000
"""About the most bytes that the thumbnails of one event take."""

_DAY = 86400.0


class WearBudget:
    """A budget of bytes, a token bucket: it grows by `BYTES_A_DAY` up to `MOST_SAVED`. Belongs to one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bytes = float(AT_FIRST)
        self._since = clock()

    def is_plenty(self) -> bool:
        """Return whether the budget covers all thumbnails of an event."""
        now = self._clock()
        self._bytes = min(self._bytes + (now - self._since) * BYTES_A_DAY / _DAY, MOST_SAVED)
        self._since = now
        return self._bytes >= PLENTY

    def spend(self, count: int) -> None:
        """Take `count` bytes out of the budget."""
        self._bytes = max(self._bytes - count, 0.0)

"""How much may be written for thumbnails, so that they do not wear out a memory card.

An event's thumbnails take about a tenth of its own bytes on the disk. While few events come, that is little. When very
many come, only one small thumbnail of each is made.
"""

import time
from collections.abc import Callable

BYTES_A_DAY = 100_000_000
MOST_SAVED = 4_000_000
AT_FIRST = 1_000_000
PLENTY = 64_000
"""About the most bytes that an event's thumbnails take."""

_DAY = 86400.0


class WearBudget:
    """Bytes that may be written: they grow with time, up to a bound. Belongs to one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bytes = float(AT_FIRST)
        self._since = clock()

    def is_plenty(self) -> bool:
        """Return whether there is enough for all thumbnails of an event."""
        now = self._clock()
        self._bytes = min(self._bytes + (now - self._since) * BYTES_A_DAY / _DAY, MOST_SAVED)
        self._since = now
        return self._bytes >= PLENTY

    def spend(self, count: int) -> None:
        """Note that `count` bytes are written."""
        self._bytes = max(self._bytes - count, 0.0)

"""Time that a wrong clock cannot hurt.

A Raspberry Pi has no clock of its own: it wakes in the past and jumps when NTP answers. So ages and deadlines are
counted in *elapsed* seconds since the queue was made: the kernel's boot-time clock, which never jumps, plus what had
elapsed at the end of the last boot. The time between two boots cannot be known and counts as nothing. Wall time is for
showing only.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


class Clock(Protocol):
    """Where time comes from; tests put their own here."""

    def wall(self) -> float:
        """Seconds since 1970, as far as this machine knows."""
        ...

    def boot(self) -> tuple[str, float]:
        """The name of this boot, and the seconds since it; within one boot they never go back."""
        ...


class SystemClock:
    """Linux's clocks."""

    def __init__(self) -> None:
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def wall(self) -> float:
        return time.time()

    def boot(self) -> tuple[str, float]:
        return self._boot_id, time.clock_gettime(time.CLOCK_BOOTTIME)


class ElapsedTime:
    """Elapsed seconds, carried on from the `notes` of an earlier run.

    `latest` is the latest elapsed time that the queue knows of by other means, for a boot whose last note is old.
    """

    def __init__(self, clock: Clock, notes: dict[str, Any], latest: float = 0.0) -> None:
        self._clock = clock
        boot_id, seconds = clock.boot()
        same_boot = notes.get("boot") == boot_id
        start = max(latest, notes.get("elapsed", 0.0))
        self._offset: float = notes["offset"] if same_boot else start - seconds

    def now(self) -> float:
        return round(self._clock.boot()[1] + self._offset, 3)

    def notes(self) -> dict[str, Any]:
        """What to keep, so that the next run can carry on."""
        return {"boot": self._clock.boot()[0], "offset": self._offset, "elapsed": self.now()}

    def wall_time_of(self, elapsed: float) -> str:
        """When that was or will be, as ISO 8601 in UTC by the wall clock of now."""
        return iso(self._clock.wall() + elapsed - self.now())

    def wall(self) -> float:
        return self._clock.wall()


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Measure ages and deadlines independently of the wall clock.

A Raspberry Pi has no battery-backed clock: it starts with an old time and jumps when NTP answers. So ages and deadlines
are *elapsed* seconds since the queue was created: the kernel's boot-time clock, which never jumps, plus the elapsed
seconds at the end of the last boot. The time between two boots is unknown and counts as zero. Wall time is only shown.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


class Clock(Protocol):
    """The source of time; tests replace it."""

    def wall(self) -> float:
        """Return the seconds since 1970 by this machine's clock."""
        ...

    def boot(self) -> tuple[str, float]:
        """Return the ID of this boot and the seconds since it. Within a boot they never go back."""
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
    """Elapsed seconds, continued from the `notes` of an earlier run.

    `latest` is the latest elapsed time in the queue's tasks. It helps if the last note before a reboot is old.
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
        """Return the values that the next run needs to continue."""
        return {"boot": self._clock.boot()[0], "offset": self._offset, "elapsed": self.now()}

    def wall_time_of(self, elapsed: float) -> str:
        """Convert an elapsed time to ISO 8601 in UTC, by the current wall clock."""
        return iso(self._clock.wall() + elapsed - self.now())

    def wall(self) -> float:
        return self._clock.wall()


def iso(seconds: float) -> str:
    """Format seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def monotonic_of(wall: float) -> float:
    """Return the value of `time.monotonic` at a past wall time (seconds since 1970); the present one for a future time.

    If the clock was set since then, the result is wrong by as many seconds.
    """
    return time.monotonic() - max(time.time() - wall, 0.0)

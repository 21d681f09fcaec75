"""What systemd hears while the daemon runs: that it is alive, as long as it gets on, and how it is doing.

worker, queue, labeler ─▶ a line for `systemctl status` and, if nothing is stuck, WATCHDOG=1 (sd_notify(3))

Belongs to the event loop: if that does not turn, nothing is sent, and systemd ends the daemon and starts it again.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping

from camiohookd.system import systemd

STATUS_SECONDS = 10.0
_MINUTE = 60.0

log = logging.getLogger("camiohookd.daemon")


class Rate:
    """How much a counter that only grows has grown within the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def per_minute(self, count: float) -> float:
        """`count` is the counter now; to be asked every few seconds."""
        now = self._clock()
        self._seen.append((now, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _MINUTE:
            self._seen.popleft()
        began, first = self._seen[0]
        return (count - first) * _MINUTE / max(now - began, _MINUTE)


class Heartbeat:
    """`status` is one line on how things are; `stuck` says what does not get on, None when all is well."""

    def __init__(
        self, status: Callable[[], str], stuck: Callable[[], str | None], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._status = status
        self._stuck = stuck
        self._environ = environ
        self._silent = False

    async def run(self) -> None:
        """For as long as the daemon serves."""
        patience = systemd.watchdog_seconds(self._environ)
        pause = min(STATUS_SECONDS, patience / 3) if patience else STATUS_SECONDS
        while True:
            self.beat()
            await asyncio.sleep(pause)

    def beat(self) -> None:
        trouble = self._stuck()
        if trouble is None:
            systemd.notify(f"STATUS={self._status()}\nWATCHDOG=1", self._environ)
        else:
            systemd.notify(f"STATUS=Stuck: {trouble}", self._environ)
            if not self._silent:
                log.error("%s; if this does not end, systemd starts the daemon again", trouble)
        self._silent = trouble is not None

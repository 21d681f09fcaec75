"""Tell systemd that the daemon is alive and how it is doing.

    stuck?     ─▶ WATCHDOG=1 (sd_notify(3)), only while nothing is stuck: without it systemd restarts the daemon
    not ready? ─▶ a line in the log when that changes
    status     ─▶ STATUS=, the line that `systemctl status` shows

Runs on the event loop: if that blocks, nothing is sent, and systemd restarts the daemon.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping

from camiohookd.system import systemd
from camiohookd.system.log_fields import about

STATUS_SECONDS = 10.0
_MINUTE = 60.0

log = logging.getLogger("camiohookd.daemon")


class Rate:
    """How much a counter that only grows has grown in the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def per_minute(self, count: float) -> float:
        """Return the growth per minute; `count` is the counter now. Call it every few seconds."""
        now = self._clock()
        self._seen.append((now, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _MINUTE:
            self._seen.popleft()
        began, first = self._seen[0]
        return (count - first) * _MINUTE / max(now - began, _MINUTE)


class Heartbeat:
    """Sends a status line and, unless something is stuck, the watchdog's sign of life.

    `status` returns one line on how things are. `stuck` returns what makes no progress, `not_ready` why an event posted
    now would not get through; both return None if all is well.
    """

    def __init__(
        self,
        status: Callable[[], str],
        stuck: Callable[[], str | None],
        not_ready: Callable[[], str | None] = lambda: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._status = status
        self._stuck = stuck
        self._not_ready = not_ready
        self._environ = environ
        self._was_stuck = False
        self._was_ready = True

    async def run(self) -> None:
        """Beat for as long as the daemon serves."""
        watchdog = systemd.watchdog_seconds(self._environ)
        pause = min(STATUS_SECONDS, watchdog / 3) if watchdog else STATUS_SECONDS
        while True:
            self.beat()
            await asyncio.sleep(pause)

    def beat(self) -> None:
        """Tell systemd how things are now, and log what has changed."""
        stuck, not_ready = self._stuck(), self._not_ready()
        if stuck is not None:
            systemd.notify(f"STATUS=Stuck: {stuck}", self._environ)
            if not self._was_stuck:
                log.error("%s; if this does not end, systemd restarts the daemon", stuck, extra=about("stuck"))
        else:
            status = self._status() if not_ready is None else f"{self._status()}. Not ready: {not_ready}"
            systemd.notify(f"STATUS={status}\nWATCHDOG=1", self._environ)
            self._log_readiness(not_ready)
        self._was_stuck = stuck is not None

    def _log_readiness(self, not_ready: str | None) -> None:
        if not_ready is not None and self._was_ready:
            log.warning("not ready: %s", not_ready, extra=about("not_ready"))
        elif not_ready is None and not self._was_ready:
            log.info("ready again", extra=about("ready_again"))
        self._was_ready = not_ready is None

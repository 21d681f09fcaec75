"""Take the box out of service: while it drains, new events are refused, and those that are in the queue are finished.

``camiohookd drain`` ─▶ `Draining` ─┬▶ posted events and ``GET /tasks/``: 503 with Retry-After
                                    └▶ ``/readyz``, the status, the metric

Belongs to the event loop. It is not stored: a restart ends it.
"""

import logging
import time

from prometheus_client import Gauge

from camiohookd.system.log_fields import about
from camiohookd.web.server.error_responses import DRAINING, Refused

CHECK = "drain"
"""The name of the readiness check that fails while the box drains."""

log = logging.getLogger("camiohookd.hook")


class Draining:
    """Whether the box drains; `gauge` is 1 while it does."""

    def __init__(self, gauge: Gauge) -> None:
        self.is_on = False
        self._gauge = gauge
        self._refuses_from = 0.0

    @property
    def refuses(self) -> bool:
        """Whether new events are refused now."""
        return self.is_on and time.monotonic() >= self._refuses_from

    def begin(self, grace: float) -> None:
        """Fail the health check from now on, and refuse new events after `grace` seconds."""
        if not self.is_on:
            log.info("draining: new events are refused, those in the queue are finished", extra=about("draining"))
        self._refuses_from = time.monotonic() + grace
        self._set(is_on=True)

    def end(self) -> None:
        """Accept new events again."""
        if self.is_on:
            log.info("draining has ended: new events are accepted again", extra=about("draining_ended"))
        self._set(is_on=False)

    def check_health(self) -> None:
        """Raise `Refused` while the box drains."""
        if self.is_on:
            raise Refused(DRAINING)

    def check_event(self) -> None:
        """Raise `Refused` while new events are refused."""
        if self.refuses:
            raise Refused(DRAINING)

    def why_not_ready(self) -> str | None:
        """Return why a new event would be refused; None if it would be taken."""
        if not self.is_on:
            return None
        return "draining: new events are refused; to take them again: sudo camiohookd drain --off"

    def _set(self, *, is_on: bool) -> None:
        self.is_on = is_on
        self._gauge.set(is_on)

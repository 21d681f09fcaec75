"""Let a server that fails rest, so that pictures do not wait for it again and again.

    closed ── `FAILURES` in a row ──▶ open ── after a wait ──▶ one trial ── works ──▶ closed
                                       ▲                          └─ fails: the next wait is twice as long ─┐
                                       └────────────────────────────────────────────────────────────────────┘

This is our own because the libraries do not fit: pybreaker 1.4 holds a lock while a call runs, so that requests would
go one by one; circuitbreaker 2.1 has no type hints, and lets all callers through at the trial.
"""

import threading
import time
from collections.abc import Callable

FAILURES = 3
FIRST_WAIT = 2.0
LONGEST_WAIT = 60.0


class Breaker:
    """Any thread may use it. `on_change` is called with why the breaker opened, or with None when it closes again."""

    def __init__(
        self, on_change: Callable[[str | None, float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._wait = FIRST_WAIT
        self._until: float | None = None  # None: closed
        self._on_trial = False

    def may_pass(self) -> bool:
        """Return whether a request may be made now; at the end of a wait this is True once, for the trial."""
        with self._lock:
            if self._until is None:
                return True
            if self._on_trial or self._clock() < self._until:
                return False
            self._on_trial = True
            return True

    def worked(self) -> None:
        """Take note of a request that was answered."""
        with self._lock:
            was_open = self._until is not None
            self._failures, self._wait, self._until, self._on_trial = 0, FIRST_WAIT, None, False
        if was_open:
            self._on_change(None, 0.0)

    def failed(self, reason: str, *, at_once: bool = False) -> None:
        """Take note of a request that failed; `at_once` opens the breaker without waiting for more failures."""
        with self._lock:
            self._failures += 1
            was_open = self._until is not None
            if not (self._on_trial or at_once or (not was_open and self._failures >= FAILURES)):
                return
            if was_open:
                self._wait = min(2 * self._wait, LONGEST_WAIT)
            self._until, self._on_trial = self._clock() + self._wait, False
            wait = self._wait
        if not was_open:
            self._on_change(reason, wait)

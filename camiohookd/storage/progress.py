"""Report the progress of a long start to systemd, so that it does not end the service for taking too long."""

import time

from camiohookd.system import systemd

FIRST_AFTER = 5.0
EVERY = 5.0
EXTENSION = 120
"""Seconds that systemd grants after each report (EXTEND_TIMEOUT_USEC=, sd_notify(3))."""


class Progress:
    """The progress of opening a queue; a start that takes less than `FIRST_AFTER` seconds reports nothing."""

    def __init__(self) -> None:
        self._next = time.monotonic() + FIRST_AFTER

    def report(self, what: str, done: int, total: int) -> None:
        """Report from time to time that `done` of `total` of `what` is done. It is cheap enough to call often."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        share = 100 * done // total if total else 100
        systemd.notify(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1_000_000}\nSTATUS=Opening the queue: {what}, {share} % done")

"""Look for trouble periodically, and send notices: troubles ─▶ ledger ─▶ outbox ─▶ channels.

Belongs to the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from camiohookd.monitoring.notify.channels import Channel
from camiohookd.monitoring.notify.conditions import Key
from camiohookd.monitoring.notify.ledger import Ledger, Notice
from camiohookd.system.log_fields import about

CHECK_SECONDS = 30.0
LEAST_SECONDS = 1.0
"""The least time between two checks, however often `look` is called."""

MOST_WAITING = 100
PAUSES = (10.0, 60.0)
"""Seconds before the second and the third try; then a notice is dropped."""

log = logging.getLogger("camiohookd.notify")


class Notifier:
    """Sends each of `channels` the notices that `ledger` makes of `troubles`; for `pauses` see `PAUSES`."""

    def __init__(
        self,
        troubles: Callable[[], Mapping[Key, str]],
        ledger: Ledger,
        channels: Sequence[Channel],
        *,
        every: float = CHECK_SECONDS,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._troubles = troubles
        self._ledger = ledger
        self._every = every
        self._pauses = pauses
        # One outbox for each channel, so that a slow one does not delay the other.
        self._outboxes = [(channel, asyncio.Queue[Notice](MOST_WAITING)) for channel in channels]
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start looking for trouble."""
        self._tasks = [asyncio.create_task(self._watch())]
        self._tasks += [asyncio.create_task(self._tell(channel, outbox)) for channel, outbox in self._outboxes]

    def look(self) -> None:
        """Check soon instead of at the next regular time."""
        self._wake.set()

    async def stop(self) -> None:
        """Stop at once, and drop notices that are not sent yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                for notice in self._ledger.update(self._troubles(), time.time()):
                    self._post(notice)
            except Exception:
                log.exception("unexpected error while looking for trouble", extra=about("notify_failed"))
            await asyncio.sleep(min(LEAST_SECONDS, self._every))
            try:
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    def _post(self, notice: Notice) -> None:
        log.warning("%s", notice.text, extra=about("alert_begins" if notice.state == "begins" else "alert_over"))
        for channel, outbox in self._outboxes:
            try:
                outbox.put_nowait(notice)
            except asyncio.QueueFull:
                log.warning(
                    "%s is too slow; dropped this notice: %s", channel.name, notice.text, extra=about("notify_failed")
                )

    async def _tell(self, channel: Channel, outbox: asyncio.Queue[Notice]) -> None:
        while True:
            notice = await outbox.get()
            try:
                await self._try(channel, notice)
            except Exception:
                log.exception("unexpected error in %s", channel.name, extra=about("notify_failed"))

    async def _try(self, channel: Channel, notice: Notice) -> None:
        for pause in (*self._pauses, None):
            why = await channel.tell(notice)
            if why is None:
                return
            later = "given up" if pause is None else f"next try in {pause:g} s"
            log.warning("%s failed, %s: %s", channel.name, later, why, extra=about("notify_failed"))
            if pause is not None:
                await asyncio.sleep(pause)

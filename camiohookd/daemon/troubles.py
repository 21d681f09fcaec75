"""What is wrong with the box now, for the status, the status page and the notifications.

occurrences, queue, metrics, certificates, history ─▶ `Facts` ─▶ a sentence for each trouble. Belongs to the event loop.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress

from camiohookd.config import paths
from camiohookd.daemon import rolled_back
from camiohookd.daemon.setup import Setup
from camiohookd.errors import StoreUnavailable
from camiohookd.monitoring.activity import EventFailed, Occurrence
from camiohookd.monitoring.history.history import History
from camiohookd.monitoring.metrics import Metrics
from camiohookd.monitoring.notify.conditions import Facts, Key, Limits, troubles
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause

LOOK_SECONDS = 15.0
"""How often to read the history for silent cameras, and the result of an upgrade's trial."""

REFUSED_SECONDS = 3600.0
"""How long after the last one deliveries count as refused."""

_REFUSED = (Cause.REFUSED, Cause.NOT_ALLOWED, Cause.EXPIRED)


class Troubles:
    """Judges by the limits in the settings that the daemon was started with."""

    def __init__(self, setup: Setup, metrics: Metrics, store: StoreThread, history: History) -> None:
        settings = setup.config.notify
        self._limits = Limits(settings.queue_age, settings.disk_free, settings.certificate)
        self._setup = setup
        self._metrics = metrics
        self._store = store
        self._history = history
        self._rolled_back = self._read_rolled_back()
        self._silent: Mapping[str, float] = {}
        self._refused: tuple[float, str] | None = None

    def use(self, setup: Setup) -> None:
        """Judge the certificates of `setup` from now on."""
        self._setup = setup

    def hear(self, occurrence: Occurrence) -> None:
        """Note that labels were given up."""
        if isinstance(occurrence, EventFailed) and occurrence.cause in _REFUSED:
            self._refused = (time.monotonic(), occurrence.reason)

    async def watch(self) -> None:
        """Read the silent cameras and the result of an upgrade's trial from time to time, until canceled."""
        while True:
            self._rolled_back = self._read_rolled_back()  # the trial of a new version ends while that version runs
            with suppress(StoreUnavailable):  # there is no history
                cameras = await self._history.cameras()
                self._silent = {each.name: each.silent_since for each in cameras if each.silent_since is not None}
            await asyncio.sleep(LOOK_SECONDS)

    def _read_rolled_back(self) -> str | None:
        return rolled_back.read(self._setup.path or paths.config_file(os.environ))

    def now(self) -> Mapping[Key, str]:
        """Return a sentence for each trouble that there is now."""
        return troubles(self._facts(), self._limits)

    def _facts(self) -> Facts:
        snapshot = self._store.snapshot
        certificates = {"hook": self._setup.certificate, "admin": self._setup.admin_certificate}
        refused = self._refused
        return Facts(
            now=time.time(),
            degraded=self._metrics.is_degraded(),
            oldest_seconds=snapshot.oldest_seconds,
            free_bytes=snapshot.free_bytes,
            certificates={name: each.expires.timestamp() for name, each in certificates.items() if each is not None},
            silent=self._silent,
            refused=refused[1] if refused and time.monotonic() - refused[0] < REFUSED_SECONDS else None,
            rolled_back=self._rolled_back,
        )

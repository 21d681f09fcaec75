"""Makes the notifier from the settings, and gathers the facts that it judges."""

import socket
import time
from collections.abc import Mapping
from importlib.metadata import version

from camiohookd.activity import Activity, EventFailed, Occurrence
from camiohookd.config.settings import NotifySettings
from camiohookd.daemon.setup import Setup
from camiohookd.delivery import Sender, trusted_certificates
from camiohookd.errors import StoreUnavailable
from camiohookd.history.history import History
from camiohookd.metrics import Metrics
from camiohookd.notify.channels import Channel, Command, Webhook
from camiohookd.notify.conditions import Facts, Limits
from camiohookd.notify.ledger import Ledger
from camiohookd.notify.notifier import Notifier
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause

WEBHOOK_SECONDS = 30.0
CAMERAS_SECONDS = 60.0
"""How often the history is asked for silent cameras."""

REFUSED_SECONDS = 3600.0
"""How long after the last one deliveries count as refused."""

_REFUSED = (Cause.REFUSED, Cause.NOT_ALLOWED, Cause.EXPIRED)


class Notifications:
    """The notifier and its facts; without a channel in the settings it does nothing. Belongs to the event loop."""

    def __init__(self, setup: Setup, metrics: Metrics, store: StoreThread, history: History) -> None:
        self._setup = setup
        self._metrics = metrics
        self._store = store
        self._history = history
        self._silent: Mapping[str, float] = {}
        self._asked = float("-inf")
        self._refused: tuple[float, str] | None = None
        settings = setup.config.notify
        limits = Limits(settings.queue_age, settings.disk_free, settings.certificate)
        channels = _channels(settings, trusted_certificates(setup.config.callback.ca))
        self._notifier = Notifier(self._facts, limits, Ledger(socket.gethostname()), channels) if channels else None

    def start(self, activity: Activity) -> None:
        """Look for trouble from now on."""
        if self._notifier is not None:
            activity.subscribe(self._hear)
            self._notifier.start()

    def use(self, setup: Setup) -> None:
        """Judge the certificates of `setup` from now on."""
        self._setup = setup

    async def stop(self) -> None:
        """End at once."""
        if self._notifier is not None:
            await self._notifier.stop()

    def _hear(self, occurrence: Occurrence) -> None:
        if isinstance(occurrence, EventFailed) and occurrence.cause in _REFUSED and self._notifier is not None:
            self._refused = (time.monotonic(), occurrence.reason)
            self._notifier.look()

    async def _facts(self) -> Facts:
        snapshot = self._store.snapshot
        setup = self._setup
        certificates = {"hook": setup.certificate, "admin": setup.admin_certificate}
        refused = self._refused
        return Facts(
            now=time.time(),
            degraded=self._metrics.is_degraded(),
            oldest_seconds=snapshot.oldest_seconds,
            free_bytes=snapshot.free_bytes,
            certificates={name: each.expires.timestamp() for name, each in certificates.items() if each is not None},
            silent=await self._silent_cameras(),
            refused=refused[1] if refused and time.monotonic() - refused[0] < REFUSED_SECONDS else None,
        )

    async def _silent_cameras(self) -> Mapping[str, float]:
        if time.monotonic() - self._asked >= CAMERAS_SECONDS:
            self._asked = time.monotonic()
            try:
                cameras = await self._history.cameras()
            except StoreUnavailable:  # there is no history
                cameras = ()
            self._silent = {each.name: each.silent_since for each in cameras if each.silent_since is not None}
        return self._silent


def _channels(settings: NotifySettings, certificates: str) -> list[Channel]:
    channels: list[Channel] = []
    if settings.command:
        channels.append(Command(settings.command))
    if settings.webhook:
        sender = Sender(version("camiohookd"), deadline=WEBHOOK_SECONDS, certificates=certificates)
        channels.append(Webhook(settings.webhook, sender))
    return channels

"""Makes the notifier and its channels from the settings."""

import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version

from camiohookd.config.settings import NotifySettings
from camiohookd.daemon.setup import Setup
from camiohookd.delivery import Sender, trusted_certificates
from camiohookd.monitoring.activity import Activity, EventFailed, Occurrence
from camiohookd.monitoring.notify.channels import Channel, Command, Webhook
from camiohookd.monitoring.notify.conditions import Key
from camiohookd.monitoring.notify.ledger import Ledger
from camiohookd.monitoring.notify.notifier import Notifier

WEBHOOK_SECONDS = 30.0


class Notifications:
    """The notifier; without a channel in the settings it does nothing. Belongs to the event loop."""

    def __init__(self, setup: Setup, troubles: Callable[[], Mapping[Key, str]]) -> None:
        channels = _channels(setup.config.notify, trusted_certificates(setup.config.callback.ca))
        self._notifier = Notifier(troubles, Ledger(socket.gethostname()), channels) if channels else None

    def start(self, activity: Activity) -> None:
        """Look for trouble from now on."""
        if self._notifier is not None:
            activity.subscribe(self._hear)
            self._notifier.start()

    async def stop(self) -> None:
        """End at once."""
        if self._notifier is not None:
            await self._notifier.stop()

    def _hear(self, occurrence: Occurrence) -> None:
        if isinstance(occurrence, EventFailed) and self._notifier is not None:
            self._notifier.look()


def _channels(settings: NotifySettings, certificates: str) -> list[Channel]:
    channels: list[Channel] = []
    if settings.command:
        channels.append(Command(settings.command))
    if settings.webhook:
        sender = Sender(version("camiohookd"), deadline=WEBHOOK_SECONDS, certificates=certificates)
        channels.append(Webhook(settings.webhook, sender))
    return channels

"""Makes the MQTT publisher and its connection from the settings; without a broker it does nothing."""

import asyncio
from collections.abc import Callable

from camiohookd.daemon.setup import Setup
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.mqtt.outbox import Outbox
from camiohookd.monitoring.mqtt.publisher import MqttOptions, Publisher
from camiohookd.monitoring.mqtt.topics import Topics, box_id
from camiohookd.monitoring.status import StatusReport


class Mqtt:
    """Publishes events from `start` to `stop`. Belongs to the event loop. `report` says how the box is doing."""

    def __init__(self, setup: Setup, report: Callable[[], StatusReport]) -> None:
        self._setup = setup
        self._report = report
        self._running: asyncio.Task[None] | None = None
        self._close: Callable[[], None] = lambda: None

    def start(self, activity: Activity) -> None:
        """Connect, and publish from now on."""
        settings, access = self._setup.config.mqtt, self._setup.mqtt
        if access is None:
            return
        from camiohookd.monitoring.mqtt.connection import Broker, Connection  # paho-mqtt takes memory

        topics, outbox = Topics(settings.topic, box_id()), Outbox()
        options = MqttOptions(settings.discovery, settings.off_after, settings.pictures)
        publisher = Publisher(topics, options, outbox, self._report)
        broker = Broker(
            settings.host, access.port, f"camiohookd_{topics.box}", settings.username, access.password, access.tls
        )
        connection = Connection(broker, outbox, topics.availability)
        connection.start()
        activity.subscribe(publisher.hear)
        self._running = asyncio.create_task(publisher.run())
        self._close = connection.close

    async def stop(self) -> None:
        """Say that the box is offline, and disconnect; a broker that hangs is left."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.to_thread(self._close)

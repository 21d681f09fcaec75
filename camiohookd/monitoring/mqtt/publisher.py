"""Publish a message for each labeled event, and the state of the box every half minute.

Belongs to the event loop.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from camiohookd.monitoring.activity import EventLabeled, Occurrence
from camiohookd.monitoring.mqtt import discovery, messages
from camiohookd.monitoring.mqtt.outbox import Outbox
from camiohookd.monitoring.mqtt.topics import Topics
from camiohookd.monitoring.status import StatusReport

STATE_SECONDS = 30.0
MOST_CAMERAS = 100


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """`discovery` is Home Assistant's prefix, "" for none; binary sensors turn off after `off_after` seconds."""

    discovery: str
    off_after: float
    pictures: bool


class Publisher:
    """Puts messages into `outbox`; `report` returns the status of the service."""

    def __init__(
        self,
        topics: Topics,
        options: MqttOptions,
        outbox: Outbox,
        report: Callable[[], StatusReport],
        host: str | None = None,
    ) -> None:
        self._topics = topics
        self._options = options
        self._outbox = outbox
        self._report = report
        self._host = host or socket.gethostname()
        self._events: OrderedDict[str, int] = OrderedDict()  # by camera, the last active one at the end

    def hear(self, occurrence: Occurrence) -> None:
        """Publish a labeled event; a subscriber of `activity.Activity`."""
        if not isinstance(occurrence, EventLabeled):
            return
        name, options = occurrence.camera or "", self._options
        if name not in self._events and options.discovery:
            described = discovery.of_camera(
                options.discovery, self._topics, name, options.off_after, pictures=options.pictures
            )
            self._outbox.put([described, *messages.at_first(name, self._topics)])
        self._events[name] = self._events.get(name, 0) + 1
        self._events.move_to_end(name)
        if len(self._events) > MOST_CAMERAS:
            self._events.popitem(last=False)
        self._outbox.put(messages.of_event(occurrence, self._topics, self._events[name], pictures=options.pictures))

    async def run(self) -> None:
        """Describe the box, then publish its state periodically."""
        if self._options.discovery:
            self._outbox.put([discovery.of_box(self._options.discovery, self._topics, self._host)])
        last = None
        while True:
            message = messages.of_box(self._report(), self._topics)
            if message != last:
                self._outbox.put([message])
                last = message
            await asyncio.sleep(STATE_SECONDS)

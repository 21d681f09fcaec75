"""Connect to the broker with paho-mqtt, reconnect automatically, and publish the messages of the outbox.

Two threads of its own: paho's, which reads and connects, and "mqtt", which publishes one message at a time.
"""

import logging
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from camiohookd.monitoring.mqtt.messages import Message
from camiohookd.monitoring.mqtt.outbox import Outbox
from camiohookd.system.log_fields import about

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 1, 120
"""The first and the longest pause before a reconnection, in seconds; the pause doubles each time."""

PUBLISH_SECONDS = 30.0
GOODBYE_SECONDS = 2.0

log = logging.getLogger("camiohookd.mqtt")


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of the broker and the login; `tls` is None for a plain connection."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


class Connection:
    """Publishes the messages in `outbox`, and ``online`` or ``offline`` on the topic `availability`."""

    def __init__(self, broker: Broker, outbox: Outbox, availability: str) -> None:
        self._broker = broker
        self._outbox = outbox
        self._availability = availability
        self._connected = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._publish_all, name="mqtt", daemon=True)
        self._client = self._make_client()

    def start(self) -> None:
        """Start to connect, and keep trying; return at once."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_SECONDS)
        self._client.loop_start()
        self._thread.start()

    def close(self) -> None:
        """Publish ``offline`` and disconnect, within about `GOODBYE_SECONDS` even if the broker does not answer."""
        self._closing.set()
        self._outbox.close()
        if self._connected.is_set():
            self._send(Message(self._availability, b"offline", retain=True), GOODBYE_SECONDS)
        self._client.disconnect()

    def _make_client(self) -> Client:
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=MQTTProtocolVersion.MQTTv311)
        client.will_set(self._availability, b"offline", qos=1, retain=True)
        client.reconnect_delay_set(FIRST_PAUSE, LONGEST_PAUSE)
        client.connect_timeout = CONNECT_SECONDS
        if broker.username:
            client.username_pw_set(broker.username, broker.password or None)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        return client

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning(
                "the MQTT broker %s refuses the connection: %s; trying again",
                self._broker.host,
                reason,
                extra=about("mqtt_refused"),
            )
            return
        log.info("connected to the MQTT broker %s:%d", self._broker.host, self._broker.port, extra=about("mqtt_ready"))
        self._outbox.put([Message(self._availability, b"online", retain=True)])
        self._outbox.repeat_retained()
        self._connected.set()

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        if was_connected and not self._closing.is_set():
            log.warning(
                "the connection to the MQTT broker ended: %s; connecting again", reason, extra=about("mqtt_lost")
            )

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        log.warning(
            "cannot connect to the MQTT broker %s:%d, trying again: check host, port and TLS under [mqtt]",
            self._broker.host,
            self._broker.port,
            extra=about("mqtt_unreachable"),
        )

    def _publish_all(self) -> None:
        dropped = 0
        while (message := self._outbox.next()) is not None:
            while not self._connected.wait(1.0):
                if self._closing.is_set():
                    return
            if not self._send(message, PUBLISH_SECONDS):
                self._outbox.put_back(message)
                self._closing.wait(1.0)
            if self._outbox.dropped > dropped:
                log.warning(
                    "dropped %d MQTT messages of events while the broker was away",
                    self._outbox.dropped - dropped,
                    extra=about("mqtt_dropped"),
                )
                dropped = self._outbox.dropped

    def _send(self, message: Message, seconds: float) -> bool:
        """Publish and wait for the broker's receipt; return whether it came."""
        try:
            sent = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            sent.wait_for_publish(seconds)
        except (RuntimeError, ValueError, OSError):  # the connection ended in the meantime
            return False
        arrived: bool = sent.is_published()
        return arrived

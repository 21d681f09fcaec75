"""A real MQTT broker for tests: Debian's mosquitto, on the loopback."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.certificates import Pair
from tests.support.daemon_process import free_port

PATIENCE = 30.0
NAME, PASSWORD = "box", "a-password-for-mqtt"


class Broker:
    """mosquitto in `folder`; with `pair` by TLS and with a password, otherwise open."""

    def __init__(self, folder: Path, pair: Pair | None = None) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")  # not on an ordinary user's PATH
        if program is None:
            pytest.skip("NOT TESTED: MQTT with a broker, because mosquitto is not installed (apt install mosquitto)")
        self.port = free_port()
        lines = [f"listener {self.port} 127.0.0.1", "log_dest stderr"]
        if pair is None:
            lines += ["allow_anonymous true"]
        else:
            passwords = folder / "passwords"
            passwords.write_text(f"{NAME}:{PASSWORD}\n")
            passwords.chmod(0o700)
            subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
            lines += [f"certfile {pair.cert}", f"keyfile {pair.key}", f"password_file {passwords}"]
        if os.geteuid() == 0:
            lines += ["user root"]  # another user could not read the folder
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text("\n".join(lines) + "\n")
        self._program = program
        self._log = folder / "mosquitto.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._settings)], stderr=log, stdout=log)
        ends = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
                return
            assert self._process.poll() is None and time.monotonic() < ends, self._log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Subscriber:
    """Keeps the last payload and the number of messages of each topic."""

    def __init__(self, port: int, pair: Pair | None = None) -> None:
        self.last: dict[str, bytes] = {}
        self.all: list[tuple[str, bytes]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="subscriber")
        if pair is not None:
            self._client.tls_set(str(pair.cert))
            self._client.username_pw_set(NAME, PASSWORD)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()

    def wait_for(self, ending: str, payload: bytes | None = None) -> bytes:
        """Return the last payload of the topic that ends so, once there is one (and it is `payload`)."""
        ends = time.monotonic() + PATIENCE
        while True:
            for topic, last in self.last.items():
                if topic.endswith(ending) and payload in (None, last):
                    return last
            assert time.monotonic() < ends, f"{ending}: {sorted(self.last)}"
            self._client.loop(0.1)

    def _hear(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.last[message.topic] = bytes(message.payload)
        self.all.append((message.topic, bytes(message.payload)))

"""A daemon and a real MQTT broker: events, descriptions, the last will, TLS, and a broker that goes and comes back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_certificate
from tests.support.daemon_process import Daemon, post_event
from tests.support.mosquitto import NAME, PASSWORD, Broker, Subscriber
from tests.support.threaded_simulator import FakeCamioThread


@pytest.fixture
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


def settings(broker: Broker, **more: str) -> dict[str, str]:
    return {
        "CAMIOHOOKD_MQTT_HOST": "127.0.0.1",
        "CAMIOHOOKD_MQTT_PORT": str(broker.port),
        "CAMIOHOOKD_MQTT_PICTURES": "true",
        **{f"CAMIOHOOKD_MQTT_{name}": value for name, value in more.items()},
    }


def test_publishes_events_pictures_and_descriptions_and_the_last_will(tmp_path: Path, camio: FakeCamioThread) -> None:
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker.port) as others,
        Daemon(tmp_path, camio.origin, settings(broker)) as daemon,
    ):
        others.wait_for("/status", b"online")
        post_event(daemon, camio, "first")
        event = json.loads(others.wait_for("/event"))
        assert (event["event_type"], event["camera"], event["pictures"]) == ("labelled", "front", 1)
        assert list(event["labels"]) == ["cat"]
        others.wait_for("/animal", b"ON")
        assert others.wait_for("/picture").startswith(b"\xff\xd8")
        state = json.loads(others.wait_for("camera/" + others_camera(others) + "/state"))
        assert state["events"] == 1
        assert json.loads(others.wait_for("/state"))["verdict"]
        described = [json.loads(payload) for topic, payload in others.last.items() if topic.endswith("/config")]
        assert {each["dev"]["name"].split()[0] for each in described} == {"front", "camiohookd"}
        daemon.kill()
        others.wait_for("/status", b"offline")


def others_camera(others: Subscriber) -> str:
    """Return the id of the one camera."""
    return next(topic for topic in others.last if topic.endswith("/event")).split("/")[-2]


def test_a_stop_publishes_offline_and_a_returning_broker_gets_the_missed_messages(
    tmp_path: Path, camio: FakeCamioThread
) -> None:
    broker = Broker(tmp_path)
    with Daemon(tmp_path, camio.origin, settings(broker)) as daemon:  # the broker is not there yet
        post_event(daemon, camio, "first")
        daemon.wait_until(lambda: "delivered task=1 " in daemon.log)
        daemon.wait_until(lambda: "event=mqtt_unreachable" in daemon.log)
        with broker, Subscriber(broker.port) as others:
            others.wait_for("/status", b"online")
            assert json.loads(others.wait_for("/event"))["task"] == "1"
        broker.start()  # it has forgotten everything
        try:
            with Subscriber(broker.port) as others:
                others.wait_for("/status", b"online")
                others.wait_for("/config")
                assert json.loads(others.wait_for("/state"))
                assert daemon.stop() == 0
                others.wait_for("/status", b"offline")
        finally:
            broker.stop()


def test_connects_by_tls_with_a_password_from_a_file(tmp_path: Path, camio: FakeCamioThread) -> None:
    pair = make_certificate(tmp_path)
    password = tmp_path / "mqtt-password"
    password.write_text(f"{PASSWORD}\n")
    secure = {"TLS": "true", "CA": str(pair.cert), "USERNAME": NAME, "PASSWORD_FILE": str(password)}
    with (
        Broker(tmp_path, pair) as broker,
        Subscriber(broker.port, pair) as others,
        Daemon(tmp_path, camio.origin, settings(broker, **secure)) as daemon,
    ):
        others.wait_for("/status", b"online")
        assert PASSWORD not in daemon.log
        assert daemon.stop() == 0


def test_a_wrong_password_is_logged_and_delays_nothing(tmp_path: Path, camio: FakeCamioThread) -> None:
    pair = make_certificate(tmp_path)
    wrong = {"TLS": "true", "CA": str(pair.cert), "USERNAME": NAME}
    with Broker(tmp_path, pair) as broker, Daemon(tmp_path, camio.origin, settings(broker, **wrong)) as daemon:
        daemon.wait_until(lambda: "event=mqtt_refused" in daemon.log)
        post_event(daemon, camio, "first")
        daemon.wait_until(lambda: "delivered task=1 " in daemon.log)
        assert daemon.stop() == 0

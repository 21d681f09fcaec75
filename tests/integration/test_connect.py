"""What other programs learn of the daemon: its log as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[Daemon]:
    """A daemon that logs JSON and has delivered an event."""
    folder: Path = tmp_path_factory.mktemp("connected")
    with Daemon(folder, camio.origin, {"CAMIOHOOKD_LOG_FORMAT": "json"}) as daemon:
        post_event(daemon, camio, "first")
        daemon.wait_until(lambda: '"event": "delivered"' in daemon.log)
        yield daemon


def test_every_line_of_the_log_is_an_object_with_an_event(daemon: Daemon) -> None:
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert all({"time", "level", "logger", "event", "message"} <= set(line) for line in lines)
    of_event = [(line["event"], line["camera"]) for line in lines if line.get("task") == "1"]
    assert of_event == [("accepted", "front"), ("labelled", "front"), ("delivered", "front")]
    assert [line["event"] for line in lines][:1] == ["starting"]

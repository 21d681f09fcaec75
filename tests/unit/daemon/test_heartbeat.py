"""The notices to systemd and the log lines of the heartbeat."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from camiohookd.daemon.heartbeat import Heartbeat, Rate


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def heard(notices: socket.socket) -> list[str]:
    messages: list[str] = []
    with suppress(BlockingIOError):
        while True:
            messages.append(notices.recv(4096).decode())
    return messages


def test_sends_the_status_and_the_sign_of_life_while_nothing_is_stuck(notices: socket.socket) -> None:
    Heartbeat(lambda: "3 waiting", lambda: None, environ={"NOTIFY_SOCKET": notices.getsockname()}).beat()
    assert heard(notices) == ["STATUS=3 waiting\nWATCHDOG=1"]


def test_sends_no_sign_of_life_while_something_is_stuck_and_logs_it_once(
    notices: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    trouble: list[str | None] = ["a picture takes 99 s", "a picture takes 109 s", None, "a picture takes 61 s"]
    heartbeat = Heartbeat(lambda: "fine", lambda: trouble.pop(0), environ={"NOTIFY_SOCKET": notices.getsockname()})
    for _ in range(4):
        heartbeat.beat()
    assert [("WATCHDOG" in message, message.split("\n")[0]) for message in heard(notices)] == [
        (False, "STATUS=Stuck: a picture takes 99 s"),
        (False, "STATUS=Stuck: a picture takes 109 s"),
        (True, "STATUS=fine"),
        (False, "STATUS=Stuck: a picture takes 61 s"),
    ]
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().split(";")[0] for record in told] == ["a picture takes 99 s", "a picture takes 61 s"]


def test_the_status_names_the_reason_for_not_ready_and_the_log_records_changes(
    notices: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[str | None] = ["199 MB free", "198 MB free", None, None]
    environ = {"NOTIFY_SOCKET": notices.getsockname()}
    heartbeat = Heartbeat(lambda: "3 waiting", lambda: None, lambda: reasons.pop(0), environ)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            heartbeat.beat()
    assert heard(notices) == [
        "STATUS=3 waiting. Not ready: 199 MB free\nWATCHDOG=1",
        "STATUS=3 waiting. Not ready: 198 MB free\nWATCHDOG=1",
        "STATUS=3 waiting\nWATCHDOG=1",
        "STATUS=3 waiting\nWATCHDOG=1",
    ]
    assert [record.getMessage() for record in caplog.records] == ["not ready: 199 MB free", "ready again"]


@pytest.mark.parametrize(
    ("watchdog", "beats"),
    [({"WATCHDOG_USEC": "300000"}, 4), ({"WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"}, 1), ({}, 1)],
)
def test_beats_three_times_as_often_as_the_watchdog_asks(
    notices: socket.socket, watchdog: dict[str, str], beats: int
) -> None:
    async def for_a_while() -> None:
        heartbeat = Heartbeat(lambda: "fine", lambda: None, environ={"NOTIFY_SOCKET": notices.getsockname()} | watchdog)
        running = asyncio.create_task(heartbeat.run())
        while len(counted) < beats:
            counted.extend(heard(notices))
            await asyncio.sleep(0.01)
        running.cancel()

    counted: list[str] = []
    asyncio.run(asyncio.wait_for(for_a_while(), 10))
    assert len(counted) == beats


def test_heeds_a_watchdog_that_is_set_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from camiohookd.system.systemd import watchdog_seconds

    assert watchdog_seconds({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 60.0
    assert watchdog_seconds({}) is None


def test_computes_the_rate_over_the_last_minute() -> None:
    now = [1000.0]
    rate = Rate(lambda: now[0])
    assert rate.per_minute(5) == 0
    for count in (10, 15, 20):  # one every two seconds
        now[0] += 10
        last = rate.per_minute(count)
    assert last == 15  # all of them: less than a minute has passed
    for count in range(25, 100, 5):
        now[0] += 10
        last = rate.per_minute(count)
    assert last == 30
    now[0] += 60
    assert rate.per_minute(95) == 0

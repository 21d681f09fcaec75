"""The queue's guarantees, seen from outside the daemon: limits, order, damage, metrics, formats."""

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.faults.model import damage
from tests.support.daemon_process import SAMPLES, Daemon, event_body, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60.0
CAT = (SAMPLES / "chelsea.jpg").read_bytes()


def _wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_refuses_events_over_max_tasks_with_retry_after_and_accepts_them_later(tmp_path: Path) -> None:
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio,
        Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_QUEUE_MAX_TASKS": "2"}) as daemon,
    ):
        for name in ("one", "two"):
            post_event(daemon, camio, name)
        third = event_body(camio.callback_url("three"))
        answer = camio.post(daemon.url, third)
        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 600
        assert "2 events are waiting already (queue.max_tasks)" in daemon.admin("/readyz")[1]
        camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
        _wait_for(lambda: camio.post(daemon.url, third).status == 200)
        camio.wait_until(lambda arrived: all(any(each.accepted for each in every) for every in arrived.values()), 60)


def test_is_not_ready_while_events_are_refused_and_the_log_and_systemd_hear_why(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(PATIENCE)
        settings = {"CAMIOHOOKD_QUEUE_MIN_FREE_BYTES": "900000 GB", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        daemon = Daemon(tmp_path, camio.origin, settings)
        daemon.start(wait=False)
        try:
            while not (notice := notices.recv(4096).decode()).startswith("STATUS=0 waiting"):
                pass
            why = "the disk has less than 900 TB free (queue.min_free_bytes)"
            assert f". Not ready: {why}\n" in notice
            _wait_for(lambda: f"<4>camiohookd.daemon: not ready: {why} event=not_ready\n" in daemon.log)
            _wait_for(lambda: daemon.admin("/readyz")[0] != 0)
            assert (daemon.admin("/readyz")[0], why in daemon.admin("/readyz")[1]) == (503, True)
            answer = camio.post(daemon.url, event_body(camio.callback_url("one")))
            assert (answer.status, why in answer.body.decode()) == (503, True)
        finally:
            daemon.stop()


WAITS = """
import pathlib, time

def compute_labels(images):
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.02)
    return ["seen"]
"""


def test_order_newest_labels_a_new_event_before_the_backlog(tmp_path: Path) -> None:
    go, script = tmp_path / "go", tmp_path / "labeler.py"
    script.write_text(WAITS.format(go=str(go)))
    settings = {
        "CAMIOHOOKD_QUEUE_ORDER": "newest",
        "CAMIOHOOKD_LABELER_KIND": "python",
        "CAMIOHOOKD_LABELER_SCRIPT": str(script),
    }
    go.touch()  # at the start, the code is tried out
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        go.unlink()
        for name in ("first", "second", "third", "fourth", "fifth"):
            post_event(daemon, camio, name)
        go.touch()
        camio.wait_until(lambda arrived: all(arrived.values()) and len(arrived) == 5, PATIENCE)
        order = [int(task) for task in re.findall(r"labeled task=(\d+)", daemon.log)]
    # One event was in hand and another one claimed ahead, before the others came.
    assert sorted(order) == [1, 2, 3, 4, 5]
    assert order[2:] == sorted(order[2:], reverse=True)


def test_counts_and_logs_a_damaged_record_and_loses_no_event(tmp_path: Path) -> None:
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        for name in ("one", "two"):
            post_event(daemon, camio, name)
        daemon.kill()
        damage(max(daemon.state.glob("queue.journal-*")), b'"put","1"')
        camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
        daemon.start()
        assert daemon.metric('quarantined_total{kind="journal"}') == 1
        assert re.search(r"damaged journal: \d+ bytes of queue\.journal-\d+ at byte \d+; set aside in ", daemon.log)
        assert len(list((daemon.state / "quarantine").iterdir())) == 1
        camio.wait_until(lambda arrived: all(any(each.accepted for each in every) for every in arrived.values()), 60)


def test_counts_the_bytes_written_for_an_event_and_writes_few(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        for number in range(5):
            post_event(daemon, camio, f"event-{number}")
        _wait_for(lambda: daemon.metric('queue_tasks{state="done"}') == 5)
        written = daemon.metric("written_bytes_per_event")
    assert written is not None
    assert len(CAT) < written <= 1.1 * len(CAT) + 2048


def test_a_state_folder_of_a_newer_format_exits_with_78_unchanged(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:1")
    daemon.state.mkdir()
    (daemon.state / "format").write_text("4\n")
    result = daemon.command("serve", check=False)
    assert result.returncode == 78
    assert "has format 4, written by a newer camiohookd" in result.stderr
    assert (daemon.state / "format").read_text() == "4\n"
    assert not list(daemon.state.glob("queue*"))


def test_is_not_ready_if_no_callback_host_is_allowed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", {"CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": "[]"})
    daemon.start(wait=False)
    try:
        _wait_for(lambda: daemon.admin("/readyz")[0] != 0)
        assert "callback.allow_hosts is empty" in daemon.admin("/readyz")[1]
        _wait_for(lambda: "not ready: callback.allow_hosts is empty" in daemon.log)
    finally:
        assert daemon.stop() == 0

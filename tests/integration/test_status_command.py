"""``camiohookd status`` of one daemon: beside it, as it changes, and after its end; the order of the tests counts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.config import paths
from camiohookd.errors import QueueError
from camiohookd.monitoring.status import StatusReport
from camiohookd.web import control_client
from tests.support.daemon_process import Daemon, post_event
from tests.support.terminal import Terminal
from tests.support.threaded_simulator import FakeCamioThread
from tests.support.users import open_folder, ordinary_user

PATIENCE = 30.0


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    statuses = {"later": 503, "refused": 403}
    with FakeCamioThread(lambda name, _nth: ScriptedResponse(statuses.get(name, 200))) as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(camio: FakeCamioThread) -> Iterator[Daemon]:
    with open_folder() as folder, Daemon(folder, camio.origin) as daemon:
        Path(daemon.environ["RUNTIME_DIRECTORY"]).chmod(0o755)
        yield daemon


def report(daemon: Daemon, status: int = 0) -> StatusReport:
    done = daemon.command("status", "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return msgspec.json.decode(done.stdout, type=StatusReport)


def report_when(daemon: Daemon, states: dict[str, int]) -> StatusReport:
    ends = time.monotonic() + PATIENCE
    while True:
        found = report(daemon)
        assert found.queue is not None
        if {state: found.queue.tasks[state] for state in states} == states:
            return found
        assert time.monotonic() < ends, found


def test_shows_what_a_running_daemon_has_done(daemon: Daemon, camio: FakeCamioThread) -> None:
    post_event(daemon, camio, "first")
    found = report_when(daemon, {"done": 1})
    assert (found.verdict, found.reasons, found.degraded) == ("works", [], False)
    assert (found.model, found.events_last_hour) == ("ssdlite-mobilenet-v2-coco", 1)
    assert [spread.count for spread in (found.wait, found.label, found.delivery) if spread] == [1, 1, 1]
    assert [(event.camera, "cat" in event.labels) for event in found.cameras] == [("front", True)]
    assert found.queue is not None
    assert found.queue.written_bytes_per_event
    assert found.queue.free_bytes > 0
    assert found.errors == []


def test_the_table_names_the_cameras_and_the_last_errors(daemon: Daemon, camio: FakeCamioThread) -> None:
    post_event(daemon, camio, "unusable", pictures=[b"no picture"], camera="yard\x1b[31m")
    report_when(daemon, {"done": 1, "failed": 1})
    shown = daemon.command("status").stdout
    assert shown.startswith("camiohookd 0.")
    assert max(map(len, shown.splitlines())) <= 80
    assert "0 pending, 0 labelled, 1 done, 1 failed" in shown
    assert "front" in shown
    assert "warning: task=2" in shown
    assert "\x1b" not in shown


def test_a_failing_delivery_is_among_the_errors(daemon: Daemon, camio: FakeCamioThread) -> None:
    post_event(daemon, camio, "later")
    camio.wait_until(lambda arrived: len(arrived["later"]) >= 2, PATIENCE)
    found = report_when(daemon, {"labelled": 1})
    assert any("not delivered, next try" in error.text for error in found.errors)
    assert found.delivery is not None
    assert found.delivery.count >= 3


def test_refused_labels_are_a_restriction_which_the_page_shows(daemon: Daemon, camio: FakeCamioThread) -> None:
    post_event(daemon, camio, "refused")
    found = report_when(daemon, {"failed": 2})
    assert found.verdict == "degraded"
    (reason,) = found.reasons
    assert reason.startswith("The labels of an event were given up: ")
    assert "403" in reason
    assert "It works, with a restriction" in daemon.admin("/")[1]


def test_another_user_is_told_to_use_sudo(daemon: Daemon) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: the control socket of another user, because this is not run as root")
    with ordinary_user(), pytest.raises(QueueError, match="sudo"):
        control_client.is_served(paths.control_socket(daemon.environ))


def test_watch_redraws_on_a_terminal(daemon: Daemon) -> None:
    with Terminal(["status", "--watch", "--interval", "0.2"], daemon.environ) as terminal:
        terminal.wait_for("\x1b[Hcamiohookd 0.")
        terminal.wait_for("\x1b[Hcamiohookd 0.")
        assert terminal.end_by_ctrl_c() == 0


def test_a_refused_reload_is_degraded(daemon: Daemon) -> None:
    settings = Path(daemon.environ["CONFIGURATION_DIRECTORY"], "camiohookd.toml")
    settings.write_text("[log]\nlevel = 'loud'\n")
    daemon.process.send_signal(signal.SIGHUP)
    ends = time.monotonic() + PATIENCE
    while "The last reload failed" not in (found := report(daemon)).reasons[0]:
        assert time.monotonic() < ends
    assert found.verdict == "degraded"
    assert any("not reloaded" in error.text for error in found.errors)


def test_watch_shows_new_reports_and_the_end_of_the_daemon(daemon: Daemon) -> None:
    process = watching(daemon)
    assert process.stdout is not None
    seen: list[dict[str, Any]] = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert seen[0]["up_seconds"] < seen[2]["up_seconds"]
    daemon.stop()
    while json.loads(process.stdout.readline())["verdict"] != "not running":
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_shows_the_queue_of_a_stopped_daemon(daemon: Daemon) -> None:
    found = report(daemon, 3)
    assert found.verdict == "not running"
    assert found.queue is not None
    assert (found.queue.tasks["done"], found.queue.tasks["labelled"]) == (1, 1)
    done = daemon.command("status", check=False)
    assert done.returncode == 3
    assert "not running\n  start it: sudo systemctl start camiohookd" in done.stdout
    assert "1 done" in done.stdout


def test_a_box_that_never_ran_has_no_queue_and_tells_what_the_trial_of_an_upgrade_found(tmp_path: Path) -> None:
    (tmp_path / "rolled-back").write_text("9.0.0\n2026-11-28T10:00:00Z\nit did not label\ndpkg cannot install it\n")
    found = report(Daemon(tmp_path, "http://127.0.0.1:1"), 3)
    assert found.queue is None
    assert "there is no queue in" in found.reasons[0]
    assert "Version 9.0.0 failed its trial" in found.reasons[-1]


def watching(daemon: Daemon) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "camiohookd", "status", "--watch", "--interval", "0.2", "--json"]
    return subprocess.Popen(command, env=daemon.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

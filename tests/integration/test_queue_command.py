"""``camiohookd queue`` gives the same answers while the daemon runs and while it is stopped."""

import json
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.cli import queue_client
from camiohookd.cli.queue_client import connect
from camiohookd.errors import QueueError, StateFolderBusy
from tests.support.daemon_process import SAMPLES, Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread
from tests.support.users import NOBODY, ordinary_user

PATIENCE = 30.0
CAT = (SAMPLES / "chelsea.jpg").read_bytes()

daemon_stopped = pytest.mark.parametrize("failed", ["daemon stopped"], indirect=True)


@pytest.fixture(params=["daemon running", "daemon stopped"])
def failed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    """Make a queue: task 1 could not be labeled, and the labels of task 2 were refused."""
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(403)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "unusable", pictures=[b"no picture"])
        post_event(daemon, camio, "refused", camera="näh\n")
        camio.wait_until(lambda arrived: len(arrived["refused"]) == 1, PATIENCE)
        ends = time.monotonic() + PATIENCE
        while daemon.pending()["pending"]:
            assert time.monotonic() < ends, "not both have failed"
            time.sleep(0.05)
        if request.param == "daemon stopped":
            assert daemon.stop() == 0
        yield daemon


def _tasks(daemon: Daemon, *options: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in daemon.command("queue", "list", "--json", *options).stdout.splitlines()]


def test_list_prints_one_line_per_task_and_escapes_control_characters(failed: Daemon) -> None:
    lines = failed.command("queue", "list").stdout.splitlines()
    assert len(lines) == 3
    assert "no picture could be used" in lines[1]
    assert "näh\\n" in lines[2]
    assert "the callback answered 403 Forbidden" in lines[2]


def test_list_by_state_as_json(failed: Daemon) -> None:
    assert [task["cause"] for task in _tasks(failed, "--state", "failed")] == ["no-picture", "refused"]
    assert _tasks(failed, "--state", "done") == []


def test_show_lists_what_is_kept_of_a_failed_event(failed: Daemon) -> None:
    task = json.loads(failed.command("queue", "show", "2").stdout)
    assert (task["id"], task["state"], task["has_reply"], task["has_pictures"]) == ("2", "failed", True, True)
    assert task["callback_url"].endswith("/callback/refused")


def test_retry_retries_the_named_tasks_and_reports_wrong_ids_without_a_log_line(failed: Daemon) -> None:
    result = failed.command("queue", "retry", "2", "77", "abc", check=False)
    assert result.returncode == 1
    assert "task 2 is labelled again" in result.stdout
    assert "no task 77" in result.stderr
    assert "'abc' is not the id of a task" in result.stderr
    assert "camiohookd.web: refused" not in failed.log


def test_retry_failed_retries_all(failed: Daemon) -> None:
    assert "2 tasks are retried" in failed.command("queue", "retry", "--failed").stdout


def test_drop_deletes_a_task(failed: Daemon) -> None:
    failed.command("queue", "drop", "1")
    assert [task["id"] for task in _tasks(failed)] == ["2"]
    assert failed.command("queue", "show", "1", check=False).returncode == 1


def test_export_writes_payload_pictures_and_reply(failed: Daemon, tmp_path: Path) -> None:
    failed.command("queue", "export", "1", str(tmp_path / "one"))
    assert (tmp_path / "one" / "picture-001.jpg").read_bytes() == b"no picture"
    assert json.loads((tmp_path / "one" / "payload.json").read_text())["user_id"] == "someone"
    failed.command("queue", "export", "2", str(tmp_path / "two"))
    assert (tmp_path / "two" / "picture-001.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert "cat" in (tmp_path / "two" / "reply.json").read_text()


def test_reports_a_folder_that_cannot_be_written(failed: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = failed.command("queue", "export", "1", str(tmp_path / "file" / "folder"), check=False)
    assert result.returncode == 1
    assert result.stderr == f"camiohookd: error: cannot write into {tmp_path}/file/folder: Not a directory\n"


def test_reports_a_usage_error(failed: Daemon) -> None:
    for arguments in (["retry"], ["retry", "--failed", "1"], ["drop"], ["list", "--state", "lost"]):
        assert failed.command("queue", *arguments, check=False).returncode == 2


def test_only_user_and_group_can_open_the_socket_and_a_stop_removes_it(tmp_path: Path) -> None:
    with Daemon(tmp_path, "http://127.0.0.1:1") as daemon:
        socket = tmp_path / "run" / "control.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o660
        daemon.stop()
        assert not socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: that the socket is closed to others, which takes root")
def test_tells_another_user_what_to_do_if_the_socket_refuses() -> None:
    with TemporaryDirectory() as name, Daemon(Path(name), "http://127.0.0.1:1") as daemon:
        path = Path(name) / "run" / "control.sock"
        for folder in (Path(name), path.parent):
            folder.chmod(0o755)  # so that the socket refuses access, and not the folder
        with (
            ordinary_user(),
            pytest.raises(QueueError, match="only by camiohookd's user and group; run this command with sudo"),
        ):
            connect(path, daemon.state).__enter__()


def test_replaces_the_socket_of_a_killed_daemon(tmp_path: Path) -> None:
    with Daemon(tmp_path, "http://127.0.0.1:1") as daemon:
        daemon.kill()
        assert _tasks(daemon) == []
        daemon.start()
        assert _tasks(daemon) == []


@daemon_stopped
def test_concurrent_commands_wait_for_each_other(failed: Daemon) -> None:
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda task_id: failed.command("queue", "show", task_id).stdout, "1212"))
    assert [json.loads(text)["id"] for text in shown] == list("1212")


@daemon_stopped
def test_a_daemon_that_finds_the_queue_in_use_by_a_command_exits_for_a_restart(failed: Daemon) -> None:
    """Status 78 would prevent the restart by systemd."""
    with connect(failed.state / "no-socket", failed.state):
        result = failed.command("serve", check=False)
    assert result.returncode == 1
    assert "is in use by a command (process" in result.stderr
    with failed:
        assert len(_tasks(failed)) == 2


@daemon_stopped
def test_a_starting_daemon_answers_commands(failed: Daemon) -> None:
    failed.start(wait=False)
    assert [task["id"] for task in _tasks(failed)] == ["1", "2"]


@daemon_stopped
def test_a_command_names_the_process_that_locks_the_queue(failed: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_client, "PATIENCE_SECONDS", 0.5)
    socket = failed.state / "no-socket"
    with connect(socket, failed.state), pytest.raises(StateFolderBusy, match=f"process {os.getpid()}"):
        connect(socket, failed.state).__enter__()


def test_says_where_it_looked_if_there_is_no_queue(tmp_path: Path) -> None:
    result = Daemon(tmp_path, "http://127.0.0.1:1").command("queue", "list", check=False)
    assert result.returncode == 78
    assert str(tmp_path / "state") in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: that root shuts no daemon out, which takes root")
def test_root_leaves_no_file_that_the_daemon_cannot_open() -> None:
    with TemporaryDirectory() as name:  # tmp_path lies in a folder that only root may enter
        folder = Path(name)
        with Daemon(folder, "http://127.0.0.1:1") as daemon:
            daemon.stop()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        daemon.command("queue", "list")
        assert {path.stat().st_uid for path in (folder / "state").rglob("*")} == {NOBODY}

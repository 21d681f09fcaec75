"""The simulator and the daemon as the processes that a user starts, with the shipped model."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

KEY = "a-key-of-the-tests"
START_SECONDS = 60


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def callbacks() -> str:
    """Return the address for the simulator, which the daemon must know before it starts."""
    return free_address()


@pytest.fixture
def daemon(tmp_path: Path, callbacks: str) -> Iterator[str]:
    listen = free_address()
    environment = os.environ | {
        "STATE_DIRECTORY": str(tmp_path / "state"),
        "CAMIOHOOKD_HOOK_LISTEN": listen,
        "CAMIOHOOKD_ADMIN_LISTEN": free_address(),
        "CAMIOHOOKD_HOOK_API_KEY": KEY,
        "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": f'["http://{callbacks}"]',
    }
    (tmp_path / "state").mkdir()
    (tmp_path / "empty.toml").write_text("")
    command = [sys.executable, "-m", "camiohookd", "serve", "--config", str(tmp_path / "empty.toml")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            wait_until_up(f"http://{listen}/tasks/", process)
            yield f"http://{listen}"
        finally:
            process.terminate()
            process.wait(20)
    text = (tmp_path / "log").read_text()
    assert KEY not in text
    assert "Traceback" not in text


def wait_until_up(url: str, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        try:
            urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the daemon did not come up; exit status {process.poll()}")


def simulate(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "camiohookd", "simulate", "--url", url, *arguments]
    environment = os.environ | {"CAMIOHOOKD_HOOK_API_KEY": KEY}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_real_pictures_come_back_labeled_and_valid(daemon: str, callbacks: str) -> None:
    run = simulate(daemon, "--listen", callbacks, "--events", "5", "--rate", "20")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "5 of 5 events came back valid" in run.stdout
    _, all_four, astronaut, *_ = run.stdout.splitlines()
    assert "person 0." in astronaut
    for label in ("cat", "motorcycle", "cup"):
        assert f"{label} 0." in all_four
    assert KEY not in run.stdout + run.stderr


def test_reports_an_event_without_labels_as_missing(daemon: str, callbacks: str, tmp_path: Path) -> None:
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
    (tmp_path / "a.png").write_bytes(png)
    sample = Path(__file__).parents[2] / "camiohookd" / "samples" / "chelsea.jpg"
    run = simulate(daemon, "--listen", callbacks, "--images", str(sample), str(tmp_path / "a.png"), "--events", "1")
    assert run.returncode == 1
    assert "is missing" in run.stdout


def test_shows_the_setting_to_add_if_the_daemon_does_not_allow_the_simulator(daemon: str, callbacks: str) -> None:
    other = free_address()
    run = simulate(daemon, "--listen", other)
    assert run.returncode == 1
    assert f'allow_hosts = ["camio.com", "*.camio.com", "http://{other}"]' in run.stdout


def test_refuses_a_wrong_key(daemon: str, callbacks: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("not-the-key-at-all")
    run = simulate(daemon, "--listen", callbacks, "--key-file", str(tmp_path / "key"))
    assert run.returncode == 1
    assert "the hook answered 403" in run.stdout

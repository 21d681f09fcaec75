"""SIGHUP reloads settings, rules, keys and log level, all or none, and reports what needs a restart."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.daemon_process import KEY, Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60
OTHER = "another-key-of-decent-length-0123456789"
EVERYTHING = "[[rule]]\nmin_probability = 0.0\n"
NOTHING = "[[rule]]\nlabels = ['no such thing']\n"


@pytest.fixture
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as running:
        yield running


def labels_of(daemon: Daemon, camio: FakeCamioThread, name: str) -> set[str]:
    post_event(daemon, camio, name)
    camio.wait_until(lambda arrived: len(arrived[name]) == 1, PATIENCE)
    (labels,) = json.loads(camio.deliveries[name][0].body)["labels"].values()
    return set(labels)


def status_of(daemon: Daemon, key: str) -> int:
    return requests.get(f"http://127.0.0.1:{daemon.port}/tasks/{key}", timeout=PATIENCE).status_code


def test_new_rules_apply_from_the_next_event(tmp_path: Path, camio: FakeCamioThread) -> None:
    with Daemon(tmp_path, camio.origin) as daemon:
        assert "cat" in labels_of(daemon, camio, "one")
        (tmp_path / "camiohookd.toml").write_text(NOTHING)
        assert "<6>camiohookd.daemon: reloaded: 1 rule, keys default, plain http event=reloaded\n" in daemon.reload()
        assert labels_of(daemon, camio, "two") == set()
        (tmp_path / "camiohookd.toml").write_text("")
        daemon.reload()
        assert "cat" in labels_of(daemon, camio, "three")


def test_another_detail_applies_from_the_next_event(tmp_path: Path, camio: FakeCamioThread) -> None:
    with Daemon(tmp_path, camio.origin) as daemon:
        for name, settings, tiles in (
            ("one", '[labeler]\ndetail = "2x2"\n', "tiles=4/4"),
            ("two", '[labeler]\ndetail = "whole"\n', "tiles=0/0"),
            ("three", '[labeler]\ndetail = "whole"\n[[rule]]\ndetail = "3x3"\n', "tiles=9/9"),
        ):
            (tmp_path / "camiohookd.toml").write_text(settings)
            assert "systemctl restart" not in daemon.reload()
            assert "cat" in labels_of(daemon, camio, name)
            assert f" {tiles} " in daemon.log
        metrics = daemon.admin("/metrics")[1]
        assert 'camiohookd_looks_total{at="all_tiles"} 2.0' in metrics
        assert "camiohookd_tiles_total 13.0" in metrics


def test_a_new_key_and_log_level_apply_at_once(tmp_path: Path, camio: FakeCamioThread) -> None:
    daemon = Daemon(tmp_path, camio.origin)
    del daemon.environ["CAMIOHOOKD_HOOK_API_KEY"]
    config = tmp_path / "camiohookd.toml"
    config.write_text(f'[hook]\napi_key = "{KEY}"\n')
    with daemon:
        config.write_text(f'[hook]\napi_key = "{OTHER}"\n[log]\nlevel = "debug"\n')
        assert "systemctl restart" not in daemon.reload()
        assert (status_of(daemon, KEY), status_of(daemon, OTHER)) == (403, 200)
        config.write_text(f'[hook]\napi_key = "{OTHER}"\n[log]\nlevel = "error"\n')
        daemon.process.send_signal(signal.SIGHUP)

        def refused_silently() -> bool:
            before = daemon.log
            requests.post(f"http://127.0.0.1:{daemon.port}/tasks/{OTHER}", b"{}", timeout=PATIENCE)
            return daemon.log == before

        wait_until(refused_silently)  # a refused event is a warning, which the level leaves out from the reload on
        assert OTHER not in daemon.log


def wait_until(condition: object) -> None:
    assert callable(condition)
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("settings", "keys", "words"),
    [
        (f"{NOTHING}[hook", "", "not valid TOML"),
        (f"{NOTHING}[hook]\nlisten = 1\n", "", "hook.listen"),
        (f"{NOTHING}[[rule]]\nmin_probability = 2\n", "", "min_probability"),
        (f'{NOTHING}[admin]\nlisten = "0.0.0.0:8001"\n', "", "would send the password by plain http"),
        (f"{NOTHING}[hook]\ntls_cert = '/none.pem'\n", "", "hook.tls_cert: /none.pem"),
        (NOTHING, f"new {OTHER}\nnew {OTHER}\n", "duplicate key name"),
        (NOTHING, f"{OTHER}\n", "line 1: expected a name"),
    ],
)
def test_one_bad_setting_leaves_everything_unchanged(
    tmp_path: Path, camio: FakeCamioThread, settings: str, keys: str, words: str
) -> None:
    daemon = Daemon(tmp_path, camio.origin)
    good = f'[admin]\nlisten = "{daemon.environ.pop("CAMIOHOOKD_ADMIN_LISTEN")}"\n'
    (tmp_path / "camiohookd.toml").write_text(good)
    with daemon:
        (tmp_path / "camiohookd.toml").write_text(settings)
        (tmp_path / "api-keys").write_text(keys or f"new {OTHER}\n")
        outcome = daemon.reload()
        assert "<3>camiohookd.daemon: not reloaded, the earlier settings stay: " in outcome
        assert words in outcome
        assert OTHER not in daemon.log
        assert (status_of(daemon, KEY), status_of(daemon, OTHER)) == (200, 403)
        assert "cat" in labels_of(daemon, camio, "one")
        (tmp_path / "camiohookd.toml").write_text(good)
        (tmp_path / "api-keys").write_text(f"new {OTHER}\n")
        assert ": reloaded: " in daemon.reload()
        assert status_of(daemon, OTHER) == 200


RULES_WITH_MISTAKES = """
[[rule]]
camera = "*front*"
labels = ["Person"]

[[rule]]
camera = "front*"
"""
MISTAKES = [
    'rule 1 (*front*): the model knows no label "Person"; did you mean "person"?',
    'rule 2 never applies: rule 1, camera = "*front*", takes every camera that "front*" matches; put the later rule '
    "first",
]


def test_check_start_and_reload_name_rules_without_an_effect(tmp_path: Path) -> None:
    (tmp_path / "camiohookd.toml").write_text(RULES_WITH_MISTAKES)
    with Daemon(tmp_path, "http://127.0.0.1:1") as daemon:
        lines = [f"<4>camiohookd.daemon: {mistake} event=rule_problem" for mistake in MISTAKES]
        assert [line for line in daemon.log.splitlines() if ": rule " in line] == lines
        assert [line for line in daemon.reload().splitlines() if ": rule " in line] == lines
        daemon.stop()
        checked = daemon.command("check")
        assert (checked.stdout, checked.stderr.splitlines()) == (
            "ok\n",
            [f"warning: {mistake}" for mistake in MISTAKES],
        )
        assert "person" in daemon.command("labels").stdout.splitlines()


def test_reports_settings_that_need_a_restart_until_they_are_reverted(tmp_path: Path, camio: FakeCamioThread) -> None:
    config = tmp_path / "camiohookd.toml"
    with Daemon(tmp_path, camio.origin) as daemon:
        config.write_text("[queue]\nmax_tasks = 5\n[hook]\nmax_images = 7\n")
        message = "<4>camiohookd.daemon: hook.max_images, queue.max_tasks changed; to apply: systemctl restart"
        for _ in range(2):
            assert message in daemon.reload()
        config.write_text("")
        assert "systemctl restart" not in daemon.reload()


def test_notifies_systemd_of_each_reload_and_its_result(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(PATIENCE)
        with Daemon(tmp_path, "http://127.0.0.1:1", {"NOTIFY_SOCKET": str(tmp_path / "notify")}) as daemon:
            next_of(notices, b"READY=1")
            for text, failed in (("", False), ("[x]", True)):
                (tmp_path / "camiohookd.toml").write_text(text)
                daemon.reload()
                next_of(notices, b"RELOADING=1\nMONOTONIC_USEC=")
                next_of(notices, b"READY=1")
                assert (b"The last reload failed" in notices.recv(4096)) is failed, "the status line, at once"


def test_shows_a_failed_reload_until_one_succeeds(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(PATIENCE)
        systemd = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}  # a heartbeat every 0.1 s
        with Daemon(tmp_path, "http://127.0.0.1:1", systemd) as daemon:
            for text, failed in (("[x]", True), ("", False)):
                (tmp_path / "camiohookd.toml").write_text(text)
                daemon.reload()
                while not notices.recv(4096).startswith(b"RELOADING=1"):
                    pass
                beats = [notice for notice in (notices.recv(4096) for _ in range(4)) if b" waiting, " in notice]
                assert beats
                assert all((b"The last reload failed" in beat) is failed for beat in beats)


def next_of(notices: socket.socket, beginning: bytes) -> None:
    """Return the next notice, which must start with `beginning`; skip those of stored sockets and of the watchdog."""
    while (notice := notices.recv(4096)).startswith((b"FDSTORE", b"STATUS=")):
        pass
    assert notice.startswith(beginning)


def test_reloads_while_events_come_lose_none(tmp_path: Path, camio: FakeCamioThread) -> None:
    with Daemon(tmp_path, camio.origin) as daemon:
        done = threading.Event()

        def hang_up_all_the_time() -> None:
            while not done.wait(0.02):
                daemon.process.send_signal(signal.SIGHUP)

        thread = threading.Thread(target=hang_up_all_the_time)
        thread.start()
        try:
            for number in range(30):
                post_event(daemon, camio, f"event-{number}")
        finally:
            done.set()
            thread.join()
        camio.wait_until(lambda arrived: all(arrived.values()), PATIENCE)
        assert len(camio.deliveries) == 30
        assert ": reloaded: " in daemon.log
        assert daemon.stop() == 0


def test_does_a_reload_that_was_requested_before_ready(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:1")
    daemon.start(wait=False)
    try:
        wait_until(lambda: " starts event=starting\n" in daemon.log)
        (tmp_path / "api-keys").write_text(f"new {OTHER}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until_ready()
        wait_until(lambda: status_of(daemon, OTHER) == 200)
    finally:
        daemon.kill()

"""The daemon as a process: it receives events and delivers labels, despite kills, errors and restarts."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.support.daemon_process import KEY, SAMPLES, Daemon, event_body, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 30.0


def _labels(body: bytes) -> dict[str, dict[str, object]]:
    reply = json.loads(body)
    assert reply["status"] == "success"
    labels: dict[str, dict[str, object]] = reply["labels"]
    return labels


def test_an_event_comes_back_labeled_by_the_real_model(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        assert post_event(daemon, camio, "one") == {"status": "queued", "id": "1"}
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        labels = _labels(camio.deliveries["one"][0].body)
    assert list(labels) == ["2017-05-05T01:31:00.738647"]
    assert "cat" in labels["2017-05-05T01:31:00.738647"]


def test_delivers_after_a_restart_if_killed_between_the_200_and_the_delivery(tmp_path: Path) -> None:
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one")
        daemon.kill()
        camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
        daemon.start()
        camio.wait_until(lambda arrived: any(each.accepted for each in arrived["one"]), PATIENCE)
        assert "cat" in json.dumps(_labels(camio.deliveries["one"][-1].body))


def test_labels_once_despite_several_delivery_attempts_and_kills(tmp_path: Path) -> None:
    refusing = {"yes": True}
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(503 if refusing["yes"] else 200)) as camio,
        Daemon(tmp_path, camio.origin) as daemon,
    ):
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) >= 2, PATIENCE)
        daemon.kill()
        refusing["yes"] = False
        daemon.start()
        camio.wait_until(lambda arrived: any(each.accepted for each in arrived["one"]), PATIENCE)
        assert daemon.log.count("labeled task=1 ") == 1
        bodies = {each.body for each in camio.deliveries["one"]}
        assert len(bodies) == 1, "the same labels every time"


def test_obeys_retry_after_across_a_restart(tmp_path: Path) -> None:
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(503, {"Retry-After": "3600"})) as camio,
        Daemon(tmp_path, camio.origin) as daemon,
    ):
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        _wait_for(lambda: daemon.pending()["tasks"][0]["attempts"] == 1)
        not_before = daemon.pending()["tasks"][0]["not_before"]
        daemon.kill()
        daemon.start()
        post_event(daemon, camio, "two")
        camio.wait_until(lambda arrived: len(arrived["two"]) == 1, PATIENCE)
        assert len(camio.deliveries["one"]) == 1
        restarted = daemon.pending()["tasks"][0]["not_before"]
        assert abs(_seconds(restarted) - _seconds(not_before)) <= 1


def _seconds(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def test_garbage_is_collected_after_the_start(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:

        def collections() -> float:
            lines = daemon.admin("/metrics")[1].splitlines()
            name = 'python_gc_collections_total{generation="0"}'
            return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

        first = collections()
        with ExitStack() as connections:  # Python collects after 700 objects more than before, which connections hold
            for _ in range(60):
                connections.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            _wait_for(lambda: collections() > first)


def test_a_successful_delivery_makes_others_for_the_same_host_due(tmp_path: Path) -> None:
    down = {"yes": True}
    settings = {"CAMIOHOOKD_CALLBACK_RETRY_MIN": "10min", "CAMIOHOOKD_CALLBACK_RETRY_MAX": "10min"}
    settings["CAMIOHOOKD_CALLBACK_CONCURRENCY"] = "8"
    with (
        FakeCamioThread(lambda name, _nth: ScriptedResponse(503 if down["yes"] else 200)) as camio,
        Daemon(tmp_path, camio.origin, settings) as daemon,
    ):
        for number in range(4):
            post_event(daemon, camio, f"early-{number}", camera=f"camera-{number}")
        _wait_for(lambda: [task["state"] for task in daemon.pending()["tasks"]] == ["labelled"] * 4)
        _wait_for(lambda: any(task["attempts"] for task in daemon.pending()["tasks"]))
        # Full jitter waits for a random part of ten minutes; the owner's retry replaces the end of the wait.
        daemon.stop()
        down["yes"] = False
        _make_due(daemon)
        daemon.start()
        camio.wait_until(lambda arrived: all(any(e.accepted for e in each) for each in arrived.values()), PATIENCE)


def _make_due(daemon: Daemon) -> None:
    """Make one waiting delivery due, and leave the others waiting for minutes."""
    from camiohookd.queue.task_queue import TaskQueue

    queue = TaskQueue(daemon.state, backoff=lambda _: 600.0)
    with queue.batch():
        for number, task_id in enumerate(list(queue.store.index.waiting.after(0))):
            assert queue.get(task_id).state == "labelled"
            queue.store.table.change(task_id, {"not_before": queue.store.elapsed.now() + (600.0 if number else 0.0)})
        queue.commit()
    queue.close()


def test_a_final_answer_fails_the_task_with_a_reason_and_a_retry_delivers_it(tmp_path: Path) -> None:
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(410)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one")
        _wait_for(lambda: 'tasks_failed_total{reason="refused"} 1.0' in daemon.admin("/metrics")[1])
        failed = json.loads(daemon.command("queue", "list", "--state", "failed", "--json").stdout)
        assert failed["reason"] == "the callback answered 410 Gone"
        camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
        assert post_event(daemon, camio, "one") == {"status": "duplicate", "id": "1"}
        camio.wait_until(lambda arrived: any(each.accepted for each in arrived["one"]), PATIENCE)
        assert daemon.log.count("labeled task=1 ") == 1


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_410_after_a_crash_is_recorded_as_probably_delivered(tmp_path: Path, status: int) -> None:
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(200, {}, 5.0)) as camio,
        Daemon(tmp_path, camio.origin) as daemon,
    ):
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        daemon.kill()
        camio.answer_with(lambda _name, _nth: ScriptedResponse(status))
        daemon.start()
        _wait_for(lambda: 'tasks_failed_total{reason="probably-delivered"} 1.0' in daemon.admin("/metrics")[1])
        assert "probably delivered before the crash" in daemon.command("queue", "show", "1").stdout


def test_one_bad_picture_does_not_affect_the_others(tmp_path: Path) -> None:
    cat = (SAMPLES / "chelsea.jpg").read_bytes()
    pictures = [b"this is no picture", cat, cat[:1000]]
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        body = json.loads(event_body(camio.callback_url("one"), pictures=pictures))
        body["images"].append({"timestamp": "2017-05-05T01:32:00", "image_b64": "***"})
        body["images"].append({"image_b64": "aGk="})
        body["camera"] = 7
        assert camio.post(daemon.url, json.dumps(body).encode()).status == 200
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        labels = _labels(camio.deliveries["one"][0].body)
        assert list(labels) == ["2017-05-05T01:31:01.738647"]
        for reason in ("images[3].image_b64", "images[4].timestamp", "not a JPEG", "camera"):
            assert reason in daemon.log


def test_an_event_without_usable_pictures_fails_without_a_delivery(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one", pictures=[b"no", b"neither"])
        _wait_for(lambda: 'tasks_failed_total{reason="no-picture"} 1.0' in daemon.admin("/metrics")[1])
        assert camio.deliveries["one"] == []
        exported = tmp_path / "export"
        daemon.command("queue", "export", "1", str(exported))
        assert (exported / "picture-002.jpg").read_bytes() == b"neither"


def test_a_hanging_delivery_delays_neither_labeling_nor_other_deliveries(tmp_path: Path) -> None:
    def slow_once(name: str, _nth: int) -> ScriptedResponse:
        return ScriptedResponse(200, {}, 600.0 if name == "slow" else 0.0)

    settings = {"CAMIOHOOKD_CALLBACK_TIMEOUT": "10min"}
    with FakeCamioThread(slow_once) as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "slow")
        camio.wait_until(lambda arrived: len(arrived["slow"]) == 1, PATIENCE)
        for number in range(3):
            post_event(daemon, camio, f"quick-{number}")
        camio.wait_until(lambda arrived: sum(len(each) for each in arrived.values()) == 4, PATIENCE)


def test_sigterm_finishes_running_work_keeps_the_rest_and_exits_with_0(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        pictures = [(SAMPLES / "motorcycle_left.jpg").read_bytes()] * 20
        for number in range(6):
            post_event(daemon, camio, f"event-{number}", pictures=pictures)
        assert daemon.stop() == 0
        daemon.start()
        camio.wait_until(lambda arrived: all(arrived.values()), PATIENCE)
        assert all(len(each) == 1 for each in camio.deliveries.values()), "a clean stop repeats nothing"


def test_sigterm_before_ready_exits_with_0_and_loses_nothing(tmp_path: Path) -> None:
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        for number in range(3):
            post_event(daemon, camio, f"event-{number}")
        daemon.kill()
        # Send SIGTERM at the start, then while it imports, loads the model, opens the queue and binds its sockets.
        for pause in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            daemon.start(wait=False)
            _wait_for(lambda: _catches_sigterm(daemon.process.pid))
            time.sleep(pause)
            assert daemon.stop() == 0, daemon.log
        assert "stopped before it was ready" in daemon.log
        camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
        daemon.start()
        camio.wait_until(lambda arrived: all(any(e.accepted for e in each) for each in arrived.values()), PATIENCE)


def _catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_sigterm_exits_within_ten_seconds_despite_a_hanging_callback(tmp_path: Path) -> None:
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(200, {}, 25.0)) as camio,
        Daemon(tmp_path, camio.origin) as daemon,
    ):
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        assert daemon.stop() == 0
        assert daemon.command("queue", "list").stdout.count("labelled") == 1


def test_the_key_appears_in_no_log_and_no_process_list(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_LOG_LEVEL": "debug"}) as daemon:
        post_event(daemon, camio, "one")
        camio.post(daemon.url, b"not json")
        camio.post(daemon.url + "x", b"{}")
        daemon.pending()
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        command_line = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        daemon.stop()
        assert KEY not in daemon.log
        assert KEY.encode() not in command_line
        assert "accepted task=1 camera=front images=1" in daemon.log
        assert "delivered task=1 camera=front" in daemon.log


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one")
        post_event(daemon, camio, "one")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 1, PATIENCE)
        _wait_for(lambda: 'queue_tasks{state="done"} 1.0' in daemon.admin("/metrics")[1])
        metrics = daemon.admin("/metrics")[1].splitlines()
    for line in (
        "camiohookd_events_accepted_total 1.0",
        "camiohookd_events_duplicate_total 1.0",
        "camiohookd_events_labelled_total 1.0",
        "camiohookd_events_delivered_total 1.0",
        "camiohookd_degraded 0.0",
        "camiohookd_inference_seconds_count 1.0",
        "camiohookd_wait_seconds_count 1.0",
    ):
        assert line in metrics


def test_a_second_daemon_on_the_same_state_folder_exits_with_78(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        second = Daemon(tmp_path, camio.origin)
        result = second.command("serve", check=False)
        assert result.returncode == 78
        assert f"in use by another camiohookd (process {daemon.process.pid})" in result.stderr
        assert post_event(daemon, camio, "one")["status"] == "queued"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CAMIOHOOKD_HOOK_API_KEY", "", "hook.api_key"),
        ("CAMIOHOOKD_QUEUE_MAX_TASKS", "many", "CAMIOHOOKD_QUEUE_MAX_TASKS"),
        ("CAMIOHOOKD_LABELER_MODEL", "no-such-model", "no-such-model"),
    ],
)
def test_a_wrong_configuration_or_model_exits_with_78_and_one_line(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", {name: value})
    result = daemon.command("serve", check=False)
    assert result.returncode == 78
    error = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(error) == 1
    assert words in error[0]


def test_names_a_port_in_use_and_its_setting(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        other = Daemon(tmp_path / "other", camio.origin, {"CAMIOHOOKD_HOOK_LISTEN": f"127.0.0.1:{daemon.port}"})
        (tmp_path / "other").mkdir()
        result = other.command("serve", check=False)
        assert result.returncode == 1
        assert "(hook.listen): Address already in use. Another program uses that port: ss -ltnp" in result.stderr


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:8000", "Cannot assign requested address"),  # an address for documentation, which no machine has
        ("no-such-host.invalid:8000", ""),  # whatever the resolver answers
    ],
)
def test_does_not_report_a_foreign_address_as_a_port_in_use(tmp_path: Path, address: str, reason: str) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", {"CAMIOHOOKD_HOOK_LISTEN": address})
    result = daemon.command("serve", check=False)
    assert result.returncode == 1
    assert f"cannot listen on {address} (hook.listen): {reason}" in result.stderr
    assert "Another program" not in result.stderr


def test_logs_backlog_model_and_end_of_the_last_run_at_the_start(tmp_path: Path) -> None:
    settings = {"CAMIOHOOKD_LABELER_THREADS": "2"}
    with (
        FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio,
        Daemon(tmp_path, camio.origin, settings) as daemon,
    ):
        model = "model ssdlite-mobilenet-v2-coco on cpu, 2 threads"
        assert (
            f"<6>camiohookd.daemon: queue: 0 pending, 0 labeled, 0 failed; {model} event=queue_opened\n" in daemon.log
        )
        post_event(daemon, camio, "bad", pictures=[b"no picture"])
        post_event(daemon, camio, "good")
        camio.wait_until(lambda arrived: len(arrived["good"]) == 1, PATIENCE)
        _wait_for(lambda: 'queue_tasks{state="failed"} 1.0' in daemon.admin("/metrics")[1])
        daemon.kill()
        assert "cut off" not in daemon.log
        daemon.start()
        assert "<4>camiohookd.queue: the last run was cut off: 0 events were in hand, " in daemon.log
        assert f"queue: 0 pending, 1 labeled, 1 failed; {model} event=queue_opened\n" in daemon.log


def test_notifies_systemd_of_sockets_readiness_status_and_stop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(PATIENCE)
        with Daemon(tmp_path, "http://127.0.0.1:1", {"NOTIFY_SOCKET": str(tmp_path / "notify")}) as daemon:
            told = [notices.recv(4096).decode() for _ in range(4)]
            assert daemon.stop() == 0
        while told[-1] != "STOPPING=1":
            told.append(notices.recv(4096).decode())
    # Heartbeats come every few seconds, between any two of the others.
    heartbeats = [each for each in told if each.startswith("STATUS=")]
    others = [each for each in told if each not in heartbeats]
    assert others == ["FDSTORE=1\nFDNAME=hook", "FDSTORE=1\nFDNAME=admin", "READY=1", "STOPPING=1"]
    assert all(re.fullmatch(r"STATUS=0 waiting, 0/min, cpu\nWATCHDOG=1", each) for each in heartbeats)
    first = next(each for each in told if not each.startswith("FDSTORE"))
    assert first.startswith("STATUS="), "whoever waits for readiness finds the status there"


def test_a_model_that_does_not_match_its_checksum_stops_the_start(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "models" / "ssdlite-mobilenet-v2-coco"
    model = tmp_path / "model"
    model.mkdir()
    for file in source.iterdir():
        data = file.read_bytes()
        (model / file.name).write_bytes(data[:-1] + b"x" if file.suffix == ".onnx" else data)
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", {"CAMIOHOOKD_LABELER_MODEL": str(model)})
    result = daemon.command("serve", check=False)
    assert result.returncode == 78
    assert "sha256" in result.stderr


def test_onnxruntime_is_imported_with_its_telemetry_off(tmp_path: Path) -> None:
    script = "import os, camiohookd; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    result = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"


def _wait_for(condition: object) -> None:
    assert callable(condition)
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)

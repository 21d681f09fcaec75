"""``camiohookd drain`` of one daemon: new events are refused, those in the queue are finished; the order counts."""

import json
import socket
from collections.abc import Iterator

import pytest
import requests

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.cli import ExitStatus, run
from camiohookd.cli.doctor.listeners import check_service
from camiohookd.cli.doctor.running import find_daemon
from tests.support.daemon_process import KEY, Daemon, event_body, post_event
from tests.support.raw_http import read_answer
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 30.0


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread(lambda _name, _nth: ScriptedResponse(503)) as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[Daemon]:
    """A daemon with an event that cannot be delivered yet."""
    with Daemon(tmp_path_factory.mktemp("drained"), camio.origin) as daemon:
        post_event(daemon, camio, "first")
        camio.wait_until(lambda arrived: bool(arrived["first"]), PATIENCE)
        yield daemon


def test_in_the_grace_period_only_the_health_check_fails(daemon: Daemon, camio: FakeCamioThread) -> None:
    done = daemon.command("drain", "--grace", "3600")
    assert done.stdout.startswith("New events are taken until the grace period is over.")
    assert requests.get(f"http://127.0.0.1:{daemon.port}/tasks/", timeout=PATIENCE).status_code == 503
    assert post_event(daemon, camio, "first")["status"] == "duplicate"


def test_an_event_that_is_arriving_is_refused_as_well(daemon: Daemon, camio: FakeCamioThread) -> None:
    body = event_body(camio.callback_url("halfway"))
    head = f"POST /tasks/{KEY} HTTP/1.1\r\nHost: box\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as connection:
        connection.sendall(head + body[:1000])
        daemon.wait_until(lambda: daemon.pending()["pending"] == 1)  # answered after what came before it
        done = daemon.command("drain")
        assert done.stdout == "New events are refused. Still to label: 0, to deliver: 1.\n"
        connection.sendall(body[1000:])
        status, told = read_answer(connection)
    assert (status, told["error"]["code"]) == (503, "draining")
    assert daemon.pending()["pending"] == 1


def test_a_draining_box_says_so_everywhere(daemon: Daemon, camio: FakeCamioThread) -> None:
    refused = camio.post(daemon.url, event_body(camio.callback_url("second")))
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "draining")
    for path in ("/", "/tasks", "/tasks/"):
        answer = requests.get(f"http://127.0.0.1:{daemon.port}{path}", timeout=PATIENCE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    status, readiness = daemon.admin("/readyz")
    assert (status, list(json.loads(readiness)["reasons"])) == (503, ["drain"])
    assert daemon.metric("draining") == 1
    assert "It takes no new events" in daemon.admin("/")[1]
    shown = daemon.command("status").stdout
    assert shown.splitlines()[0].endswith(": draining")
    assert "sudo camiohookd drain --off" in " ".join(shown.split())
    assert "it drains: new events are refused" in str(check_service(find_daemon(daemon.environ)))
    assert daemon.log.count("event=draining\n") == 1


def test_a_wrong_key_is_still_a_wrong_key(daemon: Daemon, camio: FakeCamioThread) -> None:
    assert camio.post(daemon.url.replace(KEY, "a-wrong-key"), b"{}").status == 403


def test_waiting_ends_after_the_timeout(daemon: Daemon) -> None:
    done = daemon.command("drain", "--wait", "--timeout", "0.1", check=False)
    assert done.returncode == 1
    assert "to deliver: 1. The waiting has ended after 0.1 s; the box still drains" in done.stderr


def test_waiting_ends_when_everything_is_delivered(daemon: Daemon, camio: FakeCamioThread) -> None:
    camio.answer_with(lambda _name, _nth: ScriptedResponse(200))
    done = daemon.command("drain", "--wait")
    assert done.stdout == "Drained: no event waits in the queue.\n"
    assert daemon.pending()["pending"] == 0


def test_draining_can_be_ended(daemon: Daemon, camio: FakeCamioThread) -> None:
    assert daemon.command("drain", "--off").stdout == "New events are taken again.\n"
    daemon.wait_until_ready()
    assert daemon.metric("draining") == 0
    post_event(daemon, camio, "third")
    camio.wait_until(lambda arrived: bool(arrived["third"]), PATIENCE)


def test_a_stopped_service_cannot_be_drained(daemon: Daemon) -> None:
    daemon.command("drain")
    assert daemon.stop() == 0
    done = daemon.command("drain", "--wait", check=False)
    assert done.returncode == 1
    assert "the service is not running" in done.stderr


def test_a_restart_ends_draining(daemon: Daemon, camio: FakeCamioThread) -> None:
    daemon.start()
    post_event(daemon, camio, "fourth")


@pytest.mark.parametrize("options", [("--off", "--wait"), ("--off", "--timeout", "1"), ("--timeout", "1")])
def test_options_that_contradict_each_other_are_refused(options: tuple[str, ...]) -> None:
    assert run(["drain", *options]) == ExitStatus.USAGE

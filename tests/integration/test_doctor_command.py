"""``camiohookd doctor`` beside a running daemon with TLS, through its public URL, and without a daemon."""

import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from camiohookd.cli.doctor.findings import Finding
from camiohookd.cli.doctor.outside import check_outside
from camiohookd.cli.doctor.running import RunningDaemon, find_daemon
from camiohookd.errors import QueueError
from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import Daemon, free_port
from tests.support.scripted_server import Peer, Script, answering

STRONG = "8d0f6b2a4c1e9375a0b2c4d6e8f01325"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    return make_certificate(folder)


@pytest.fixture(scope="module")
def camio() -> Iterator[Peer]:
    """Camio's API, and the one callback host."""
    peer = Peer(answering(401))
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def stopped(folder: Path, pair: Pair, camio: Peer) -> Daemon:
    """A daemon with TLS, whose public URL is its own listener; not started."""
    daemon = Daemon(
        folder,
        f"http://127.0.0.1:{camio.port}",
        {
            "CAMIOHOOKD_HOOK_API_KEY": STRONG,
            "CAMIOHOOKD_HOOK_TLS_CERT": str(pair.cert),
            "CAMIOHOOKD_HOOK_TLS_KEY": str(pair.key),
            "CAMIOHOOKD_CALLBACK_CA": str(pair.cert),
            "CAMIOHOOKD_LABELER_DEVICE": "cpu",
            "CAMIOHOOKD_LOG_FORMAT": "json",  # what a temporary daemon writes is read, and must not depend on it
            "CAMIOHOOKD_LOG_LEVEL": "error",
        },
    )
    daemon.environ["CAMIOHOOKD_HOOK_PUBLIC_URL"] = f"https://127.0.0.1:{daemon.port}"
    return daemon


@pytest.fixture(scope="module")
def daemon(stopped: Daemon) -> Iterator[Daemon]:
    with stopped as daemon:
        yield daemon


@pytest.fixture
def running(daemon: Daemon) -> RunningDaemon:
    found = find_daemon(daemon.environ)
    assert found is not None
    return found


def examine(daemon: Daemon, camio: Peer, *options: str) -> tuple[int, dict[tuple[str, str], Finding]]:
    done = daemon.command("doctor", "--json", "--api", f"http://127.0.0.1:{camio.port}", *options, check=False)
    findings = [msgspec.json.decode(line, type=Finding) for line in done.stdout.splitlines()]
    assert findings, done.stderr
    return done.returncode, {(each.group, each.name): each for each in findings}


def failed(found: dict[tuple[str, str], Finding]) -> list[tuple[str, str]]:
    return [name for name, each in found.items() if each.outcome == "failed"]


# Before the daemon of the other tests is started


def test_without_a_daemon_it_says_what_was_not_checked_and_sends_the_event_through_a_temporary_one(
    stopped: Daemon, camio: Peer
) -> None:
    status, found = examine(stopped, camio)
    assert failed(found) == [("from outside", "public URL")]  # it is an address of this machine
    assert status == 1
    assert found["service", "service"].outcome == "warning"
    assert found["from outside", "reaches this service"].outcome == "not checked"
    assert "through a temporary service" in found["end to end", "one event"].text
    assert "cat" in found["end to end", "one event"].text
    assert not stopped.state.exists()


def test_with_wrong_settings_it_checks_what_does_not_depend_on_them(stopped: Daemon, camio: Peer) -> None:
    stopped.environ["CAMIOHOOKD_HOOK_MAX_IMAGES"] = "many"
    status, found = examine(stopped, camio)
    del stopped.environ["CAMIOHOOKD_HOOK_MAX_IMAGES"]
    assert (status, failed(found)) == (1, [("settings", "settings")])
    assert {group for group, _ in found} == {"settings", "disk", "clock", "version", "to the internet"}


# From here on it runs


def test_a_running_service_is_examined_from_the_settings_to_an_event(daemon: Daemon, camio: Peer) -> None:
    del daemon.environ["CAMIOHOOKD_HOOK_PUBLIC_URL"]
    status, found = examine(daemon, camio)
    daemon.environ["CAMIOHOOKD_HOOK_PUBLIC_URL"] = f"https://127.0.0.1:{daemon.port}"
    assert failed(found) == []
    assert status == 0
    expected = ["settings", "files", "keys", "disk", "clock", "version", "labeler", "service", "TLS", "from outside"]
    assert list(dict.fromkeys(group for group, _ in found)) == [*expected, "to the internet", "end to end"]
    assert found["service", "listener"].outcome == "ok"
    assert found["from outside", "public URL"].outcome == "not checked"
    assert found["end to end", "one event"].outcome == "ok"
    assert "temporary" not in found["end to end", "one event"].text


def test_the_text_has_ticks_and_says_what_to_do(daemon: Daemon, camio: Peer) -> None:
    daemon.environ["CAMIOHOOKD_HOOK_API_KEY"] = "a-weak-key"
    done = daemon.command("doctor", "--api", f"http://127.0.0.1:{camio.port}", check=False)
    daemon.environ["CAMIOHOOKD_HOOK_API_KEY"] = STRONG
    assert done.returncode == 1
    assert "✓ listener: https://127.0.0.1:" in done.stdout
    assert '✗ key "default": it could be guessed' in done.stdout
    assert "to do: sudo systemctl reload camiohookd" in done.stdout  # the key is not the running daemon's
    assert "\n3 failed; " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "a-weak-key" not in done.stdout + done.stderr


def test_marks_are_words_where_the_terminal_has_no_ticks(daemon: Daemon, camio: Peer) -> None:
    daemon.environ |= {"PYTHONIOENCODING": "ascii", "CAMIOHOOKD_HOOK_MAX_IMAGES": "many"}
    done = daemon.command("doctor", "--api", f"http://127.0.0.1:{camio.port}", check=False)
    del daemon.environ["PYTHONIOENCODING"], daemon.environ["CAMIOHOOKD_HOOK_MAX_IMAGES"]
    assert "FAIL settings: " in done.stdout


def outside(url: str, pair: Pair, running: RunningDaemon | None) -> dict[str, Finding]:
    return {each.name: each for each in check_outside(url, str(pair.cert), running, datetime.now(UTC))}


def test_the_public_url_must_lead_to_this_daemon(daemon: Daemon, pair: Pair, running: RunningDaemon) -> None:
    found = outside(f"https://127.0.0.1:{daemon.port}", pair, running)
    assert found["reaches this service"].outcome == "ok"
    assert found["days left"].outcome == "ok"
    assert found["public URL"].outcome == "failed"
    assert "a loopback address, which Camio cannot reach" in found["public URL"].text


def another_server(pair: Pair, script: Script) -> Peer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return Peer(script, context)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (answering(200, body=b'{"status": "ok"}'), "answered by another program, with status 200"),
        (answering(200, body=b'{"status": "ok", "proof": "guessed"}'), "answered by another program"),
        (answering(502, body=b"<html>"), "answered by another program, with status 502"),
        (answering(301, "Location: https://example.org/"), "redirects to https://example.org/"),
        (lambda connection: connection.sendall(b"nonsense\r\n\r\n"), "not HTTP"),
    ],
)
def test_an_answer_of_another_server_fails(pair: Pair, running: RunningDaemon, script: Script, says: str) -> None:
    peer = another_server(pair, script)
    found = outside(f"https://127.0.0.1:{peer.port}", pair, running)["reaches this service"]
    peer.close()
    assert (found.outcome, says in found.text) == ("failed", True), found
    assert found.advice


def test_plain_http_fails_with_the_reason(daemon: Daemon, pair: Pair, running: RunningDaemon) -> None:
    found = outside(f"http://127.0.0.1:{daemon.port}", pair, running)
    assert found["public URL"].outcome == "failed"
    assert "anyone on the path can read the pictures, and the key in the URL" in found["public URL"].text
    assert found["reaches this service"].outcome == "failed"  # it speaks TLS


def test_a_certificate_that_is_not_trusted_fails(daemon: Daemon, running: RunningDaemon, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "other")
    found = outside(f"https://127.0.0.1:{daemon.port}", other, running)["reaches this service"]
    assert (found.outcome, "its certificate is not trusted" in found.text) == ("failed", True)


def test_a_public_url_that_does_not_answer_fails(pair: Pair, running: RunningDaemon) -> None:
    found = outside(f"https://127.0.0.1:{free_port()}", pair, running)["reaches this service"]
    assert (found.outcome, "Connection refused" in found.text) == ("failed", True)
    assert "phone without Wi-Fi" in found.advice


def test_only_the_loopback_may_be_allowed_for_a_test(running: RunningDaemon) -> None:
    with pytest.raises(QueueError, match="not on the loopback"):
        running.allow_test_callback("http://192.168.1.2:9000")


def test_the_test_event_went_through_the_queue_of_the_service(daemon: Daemon) -> None:
    tasks = [json.loads(line) for line in daemon.command("queue", "list", "--json").stdout.splitlines()]
    assert {task["camera"] for task in tasks} == {"simulator"}

"""The settings under ``[callback]``, as the receiver of a delivery sees them."""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from tests.support.certificates import make_certificate
from tests.support.daemon_process import Daemon, event_body
from tests.support.scripted_server import Peer, Script, answering, dripping

PATIENCE = 60.0


def silent(_connection: object) -> None:
    """Send no answer, and keep the connection open."""


@pytest.mark.parametrize(
    ("setting", "script", "reason"),
    [
        ("READ_TIMEOUT", silent, "no answer within the time limit"),
        ("TIMEOUT", dripping(b"HTTP/1.1 2"), "no whole answer within 0.4 s"),
    ],
)
def test_limits_the_time_for_an_answer(setting: str, script: Script, reason: str, tmp_path: Path) -> None:
    with closing(Peer(script)) as peer, daemon_for(tmp_path, peer, **{setting: "0.4s"}) as daemon:
        post(daemon, peer)
        wait_until(lambda: f"not delivered, next try in 0 s: {reason} event=not_delivered\n" in daemon.log, daemon)


def test_limits_the_time_for_an_address(tmp_path: Path) -> None:
    with ExitStack() as open_sockets:
        full = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # they are never accepted, so that no other connection gets through
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        origin = f"http://127.0.0.1:{full.getsockname()[1]}"
        with Daemon(tmp_path, origin, {"CAMIOHOOKD_CALLBACK_CONNECT_TIMEOUT": "0.4s"}) as daemon:
            requests.post(daemon.url, event_body(f"{origin}/cb"), timeout=PATIENCE).raise_for_status()
            wait_until(lambda: "not delivered, next try in 0 s: no connection within the time" in daemon.log, daemon)


def test_trusts_only_the_certificates_in_the_owners_file(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with closing(Peer(answering(200), context)) as peer, daemon_for(tmp_path, peer) as daemon:
        post(daemon, peer)
        wait_until(lambda: "no trusted TLS connection" in daemon.log, daemon)
        assert peer.requests == []
        assert daemon.stop() == 0
        daemon.environ["CAMIOHOOKD_CALLBACK_CA"] = str(pair.cert)
        daemon.start()
        wait_until(lambda: len(peer.requests) == 1, daemon)


def test_unreadable_certificates_stop_the_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "https://hook.example", {"CAMIOHOOKD_CALLBACK_CA": "/nowhere.pem"})
    for command in ("check", "serve"):
        ended = daemon.command(command, check=False)
        assert ended.returncode == 78
        assert 'callback.ca: given "/nowhere.pem": No such file or directory; expected "system"' in ended.stderr


def daemon_for(folder: Path, peer: Peer, **settings: str) -> Daemon:
    variables = {f"CAMIOHOOKD_CALLBACK_{name}": value for name, value in settings.items()}
    return Daemon(folder, peer.url.removesuffix("/callback/1"), variables)


def post(daemon: Daemon, peer: Peer) -> None:
    requests.post(daemon.url, event_body(peer.url), timeout=PATIENCE).raise_for_status()


def wait_until(condition: Callable[[], object], daemon: Daemon) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, daemon.log
        time.sleep(0.05)

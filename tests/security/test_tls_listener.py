"""TLS on the real daemon: versions, ciphers and groups, refused clients, and certificates replaced under load."""

import json
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPSConnection
from itertools import count
from pathlib import Path

import pytest

from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import KEY, Daemon, event_body
from tests.support.raw_http import head, read_all

PATIENCE = 60
NOBODY = "http://127.0.0.1:1"

numbers = count()


def with_tls(folder: Path, pair: Pair, **settings: str) -> Daemon:
    """Return a daemon with TLS. It reads `in-use.pem` and `in-use.key` in `folder`, which `install` overwrites."""
    in_use = Pair(folder / "in-use.pem", folder / "in-use.key")
    install(pair, in_use)
    tls = {"CAMIOHOOKD_HOOK_TLS_CERT": str(in_use.cert), "CAMIOHOOKD_HOOK_TLS_KEY": str(in_use.key)}
    return Daemon(folder, NOBODY, tls | {f"CAMIOHOOKD_HOOK_{name}": value for name, value in settings.items()})


def install(pair: Pair, in_use: Pair) -> None:
    for source, target in zip(pair, in_use, strict=True):
        target.write_bytes(source.read_bytes())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("tls")
    with with_tls(folder, make_certificate(folder), HEADER_TIMEOUT="3s", IDLE_TIMEOUT="1h") as running:
        yield running


def trusting(*pairs: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for each in pairs:
        context.load_verify_locations(each.cert)
    return context


def connect(daemon: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)


def post(connection: HTTPSConnection) -> int:
    body = event_body(f"{NOBODY}/{next(numbers)}", pictures=[b"none"])
    connection.request("POST", f"/tasks/{KEY}", body)
    answer = connection.getresponse()
    assert answer.status != 200 or json.loads(answer.read())["status"] == "queued"
    return answer.status


def offered(daemon: Daemon, *options: str) -> str:
    """Return openssl's report of a handshake, names in the form of OpenSSL 3.5: CN=box."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}", *options]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=PATIENCE, check=False)
    return (done.stdout + done.stderr).replace("CN = ", "CN=")


# --- versions, ciphers, groups


def test_accepts_an_event_over_https(daemon: Daemon) -> None:
    context = trusting(Pair(daemon.state.parent / "box.pem", Path()))
    connection = HTTPSConnection("127.0.0.1", daemon.port, timeout=PATIENCE, context=context)
    assert post(connection) == 200
    assert isinstance(connection.sock, ssl.SSLSocket)
    assert connection.sock.version() == "TLSv1.3"
    assert post(connection) == 200
    connection.close()


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_accepts_tls_1_2_and_1_3(daemon: Daemon, option: str) -> None:
    assert "Cipher is (NONE)" not in offered(daemon, option)


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"),
    ],
)
def test_refuses_older_tls_versions_and_ciphers(daemon: Daemon, options: tuple[str, ...]) -> None:
    assert "Cipher is (NONE)" in offered(daemon, *options)


@pytest.mark.parametrize(
    ("version", "groups", "name"),
    [
        ("-tls1_3", "X25519", "X25519"),
        ("-tls1_3", "P-256", "prime256v1"),
        ("-tls1_3", "P-384", "secp384r1"),
        ("-tls1_2", "X25519:P-256", "X25519"),  # TLS 1.2 also needs the group of the certificate
        ("-tls1_2", "P-256", "prime256v1"),
    ],
)
def test_accepts_the_groups_of_mozillas_intermediate_list(daemon: Daemon, version: str, groups: str, name: str) -> None:
    assert re.search(f"(Server|Peer) Temp Key: .*{name}", offered(daemon, version, "-groups", groups))


@pytest.mark.parametrize(
    ("version", "group"),
    [
        *(("-tls1_2", group) for group in ("X448", "P-521")),
        *(("-tls1_3", group) for group in ("X448", "P-521", "ffdhe2048", "ffdhe8192")),
    ],
)
def test_refuses_other_groups(daemon: Daemon, version: str, group: str) -> None:
    assert "Cipher is (NONE)" in offered(daemon, version, "-groups", group)


def test_prefers_the_first_group_of_its_list(daemon: Daemon) -> None:
    assert "X25519, 253 bits" in offered(daemon, "-groups", "P-521:X448:P-384:X25519")


@pytest.mark.parametrize("sent", [head("GET", f"/tasks/{KEY}"), b"\x16\x03\x01\x00\x05hello", b"\0" * 300])
def test_sends_nothing_to_a_client_without_tls(daemon: Daemon, sent: bytes) -> None:
    with connect(daemon) as connection:
        connection.sendall(sent)
        answer = b""
        with suppress(ConnectionError):
            answer = read_all(connection)
    assert b"HTTP" not in answer
    assert KEY not in daemon.log


def test_closes_a_connection_without_a_handshake_in_time(daemon: Daemon) -> None:
    for sent in (b"", b"\x16"):
        with connect(daemon) as connection:
            connection.sendall(sent)
            assert read_all(connection) == b"", "closed without an answer"


def test_scanners_cause_one_line_a_minute_and_no_traceback(tmp_path: Path) -> None:
    with with_tls(tmp_path, make_certificate(tmp_path)) as daemon:
        for number in range(200):
            with connect(daemon) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n" if number % 2 else b"\x16\x03\x01")
        # These are reset before the daemon accepts them.
        daemon.process.send_signal(signal.SIGSTOP)
        for _ in range(50):
            with connect(daemon) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        daemon.process.send_signal(signal.SIGCONT)
        context = trusting(Pair(tmp_path / "box.pem", Path()))
        honest = HTTPSConnection("127.0.0.1", daemon.port, timeout=PATIENCE, context=context)
        assert post(honest) == 200
        honest.close()
        assert "Traceback" not in daemon.log
        assert daemon.log.count("a connection failed") <= 3


# --- replacing the certificate


class Poster(threading.Thread):
    """Post events, on a new connection after every `each`; fail if a connection drops or an answer is not 200."""

    def __init__(self, daemon: Daemon, context: ssl.SSLContext, each: int) -> None:
        super().__init__()
        self.posted = 0
        self.error: BaseException | None = None
        self._daemon, self._context, self._each = daemon, context, each
        self._done = threading.Event()

    def run(self) -> None:
        try:
            while not self._done.is_set():
                self._post_some()
        except BaseException as error:  # noqa: BLE001  # reported by `stop` on the test's thread
            self.error = error

    def _post_some(self) -> None:
        connection = HTTPSConnection("127.0.0.1", self._daemon.port, timeout=PATIENCE, context=self._context)
        connection.connect()
        local_port = connection.sock.getsockname()[1]
        for _ in range(self._each):
            if self._done.is_set():
                break
            assert post(connection) == 200
            assert connection.sock.getsockname()[1] == local_port, "the connection was dropped and made again"
            self.posted += 1
        connection.close()

    def wait_for_more(self) -> None:
        enough, ends = self.posted + 3, time.monotonic() + PATIENCE
        while self.posted < enough:
            assert self.error is None, self.error
            assert time.monotonic() < ends
            time.sleep(0.01)

    def stop(self) -> None:
        self._done.set()
        self.join()
        assert self.error is None, self.error


def test_replaces_certificates_under_load_without_dropping_a_connection(tmp_path: Path) -> None:
    pairs = [make_certificate(tmp_path, f"box-{number}") for number in range(4)]
    context = trusting(*pairs)
    with with_tls(tmp_path, pairs[0]) as daemon:
        posters = [Poster(daemon, context, each) for each in (1, 5, 10**9)]
        for poster in posters:
            poster.start()
        for pair in pairs[1:] * 3:
            install(pair, Pair(tmp_path / "in-use.pem", tmp_path / "in-use.key"))
            assert "certificate until" in daemon.reload()
            assert f"CN={pair.cert.stem}\n" in offered(daemon), "new connections get the new certificate"
            for poster in posters:
                poster.wait_for_more()
        for poster in posters:
            poster.stop()
        assert "Traceback" not in daemon.log


def test_keeps_the_old_certificate_if_the_new_one_is_bad(tmp_path: Path) -> None:
    good, other = make_certificate(tmp_path, "good"), make_certificate(tmp_path, "other")
    in_use = Pair(tmp_path / "in-use.pem", tmp_path / "in-use.key")
    with with_tls(tmp_path, good) as daemon:
        for spoil, words in (
            (lambda: in_use.cert.write_text("no certificate"), "cannot read a certificate and its key as PEM"),
            (lambda: in_use.cert.write_bytes(other.cert.read_bytes()), "the key does not belong to the certificate"),
            (in_use.cert.unlink, "cannot be read: No such file"),
        ):
            spoil()
            outcome = daemon.reload()
            assert "<3>camiohookd.daemon: not reloaded, the earlier settings stay: hook.tls_" in outcome
            assert words in outcome
            assert "CN=good\n" in offered(daemon)
        install(other, in_use)
        assert "certificate until" in daemon.reload()
        assert "CN=other\n" in offered(daemon)


def test_a_bad_certificate_ends_serve_and_check_with_status_78(tmp_path: Path) -> None:
    daemon = with_tls(tmp_path, make_certificate(tmp_path))
    (tmp_path / "in-use.key").unlink()
    for command in ("serve", "check"):
        refused = daemon.command(command, check=False)
        assert refused.returncode == 78
        assert "hook.tls_key: " in refused.stderr


def test_the_certificates_expiry_is_a_metric_and_a_warning(tmp_path: Path) -> None:
    sample = 'certificate_expires_timestamp_seconds{listener="hook"}'
    later, soon = make_certificate(tmp_path, "later", days=90), make_certificate(tmp_path, "soon", days=10)
    with with_tls(tmp_path, later) as daemon:
        assert abs((daemon.metric(sample) or 0) - time.time() - 90 * 86400) < 600
        assert " expires in " not in daemon.log
        install(soon, Pair(tmp_path / "in-use.pem", tmp_path / "in-use.key"))
        assert f"the certificate {tmp_path}/in-use.pem expires in 9 days, on " in daemon.reload()
        assert abs((daemon.metric(sample) or 0) - time.time() - 10 * 86400) < 600
    with Daemon(tmp_path, NOBODY) as plain:
        assert plain.metric(sample) is None


def test_never_shows_the_private_key(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    secret = pair.key.read_text().splitlines()[1]
    with with_tls(tmp_path, pair) as daemon:
        (tmp_path / "in-use.pem").write_text(pair.key.read_text())
        daemon.reload()
        shown = daemon.log + daemon.admin("/metrics")[1] + daemon.command("check", check=False).stderr
    assert "hook.tls_cert" in shown
    assert secret not in shown

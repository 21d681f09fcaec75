"""Open slow, idle and very many connections to the real daemon: it keeps accepting honest events."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, RemoteDisconnected
from itertools import count, islice
from pathlib import Path

import pytest

from tests.support.daemon_process import KEY, Daemon, event_body
from tests.support.raw_http import head, outward_address, read_all, read_answer
from tests.support.slow_clients import SlowCrowd

PATIENCE = 60
MEGABYTE = 1024 * 1024
NOBODY = "http://127.0.0.1:1"
MANY = 1000
HONEST = 200
TRIES = 3

numbers = count()


def connect(daemon: Daemon, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((address, daemon.port), PATIENCE)


def post(connection: HTTPConnection) -> None:
    body = event_body(f"{NOBODY}/{next(numbers)}", pictures=[b"no picture"])
    connection.request("POST", f"/tasks/{KEY}", body)
    answer = connection.getresponse()
    assert (answer.status, answer.read()[:18]) == (200, b'{"status":"queued"')


def open_files(daemon: Daemon) -> int:
    """Return the daemon's own count of open files (only root may read its /proc)."""
    page = daemon.admin("/metrics")[1]
    return next(int(float(line.split()[1])) for line in page.splitlines() if line.startswith("process_open_fds "))


# --- very many


@pytest.fixture
def files() -> Iterator[None]:
    """Raise this process's own limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * MANY:
        pytest.skip("NOT TESTED: a thousand connections, because this process may not open them (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * MANY), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("most", [256, 1200])
def test_accepts_events_beside_a_thousand_slow_connections(
    tmp_path: Path, files: None, print_figure: Callable[[str], None], most: int, long_run: bool
) -> None:
    """The daemon allows fewer connections than are opened (256), or more (1200)."""
    if most > MANY and not long_run:
        pytest.skip("NOT TESTED: a thousand slow connections with places for all, because that takes long (--long)")
    settings = {"CAMIOHOOKD_HOOK_MAX_CONNECTIONS": str(most), "CAMIOHOOKD_LOG_LEVEL": "error"}
    with Daemon(tmp_path, NOBODY, settings) as daemon:
        without = accept(daemon, HONEST)
        memory, files_before = daemon.memory(), open_files(daemon)
        with SlowCrowd(daemon.port, MANY):
            beside = accept(daemon, HONEST)
            assert open_files(daemon) - files_before <= min(most, MANY) + 10
            assert daemon.memory() - memory < 60 * MEGABYTE
        wait_until(lambda: open_files(daemon) <= files_before + 10)
        assert daemon.metric("events_accepted_total") == 2 * HONEST
    print_figure(
        f"{MANY} slow connections, places for {most}: {HONEST} of {HONEST} honest events accepted, "
        f"{beside:.0f} a second, and {without:.0f} without them"
    )


def test_serves_a_connection_whose_key_has_arrived_before_a_flood(tmp_path: Path, files: None) -> None:
    """All connections arrive at once, as after a moment in which the daemon got no processor time."""
    asked = head("GET", f"/tasks/{KEY}")
    with Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_CONNECTIONS": "128"}) as daemon, ExitStack() as opened:
        daemon.process.send_signal(signal.SIGSTOP)
        honest = [opened.enter_context(connect(daemon)) for _ in range(3)]
        for connection in honest:
            connection.sendall(asked)
        for _ in range(MANY - 100):  # the kernel's queue holds 1024
            opened.enter_context(connect(daemon))
        daemon.process.send_signal(signal.SIGCONT)
        assert [read_answer(connection)[0] for connection in honest] == [200] * 3


def accept(daemon: Daemon, events: int) -> float:
    """Post `events` events, on a new connection after every tenth; return the rate in events/s."""
    started = time.monotonic()
    for _ in range(events // 10):
        connection = connect_with_key(daemon)
        for _ in range(10):
            post(connection)
        connection.close()
    return events / (time.monotonic() - started)


def connect_with_key(daemon: Daemon) -> HTTPConnection:
    """Return a connection that has sent its key. Try a few times, because this process may be slow to send it."""
    for attempt in range(1, TRIES + 1):
        connection = HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        try:
            connection.request("POST", f"/tasks/{KEY}")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            return connection
        except (RemoteDisconnected, ConnectionError):
            connection.close()
            assert attempt < TRIES
    raise AssertionError


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "timed out"
        time.sleep(0.05)


# --- slow ones


BELIEVED = {"CAMIOHOOKD_HOOK_TRUSTED_PROXIES": '["127.0.0.1"]', "CAMIOHOOKD_HOOK_MAX_CONNECTIONS_PER_ADDRESS": "4"}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield a daemon that allows 1 s for a request's head. Its idle timeout is longer than `PATIENCE`."""
    settings = {
        "CAMIOHOOKD_HOOK_HEADER_TIMEOUT": "1s",
        "CAMIOHOOKD_HOOK_IDLE_TIMEOUT": "1h",
        "CAMIOHOOKD_HOOK_MIN_BODY_RATE": "100",
    }
    with Daemon(tmp_path_factory.mktemp("impatient"), NOBODY, settings) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield a daemon whose timeouts are all one hour: if it closes a connection, time is not the reason."""
    settings = BELIEVED | {"CAMIOHOOKD_HOOK_HEADER_TIMEOUT": "1h", "CAMIOHOOKD_HOOK_IDLE_TIMEOUT": "1h"}
    with Daemon(tmp_path_factory.mktemp("patient"), NOBODY, settings) as daemon:
        yield daemon


def dribble_until_closed(connection: socket.socket, letters: bytes) -> None:
    """Send a byte every 50 ms, then nothing. Fail unless the daemon closes the connection within `PATIENCE`."""
    ahead, ends = iter(letters), time.monotonic() + PATIENCE
    connection.settimeout(0.05)
    with suppress(ConnectionError):
        while True:
            connection.sendall(bytes(islice(ahead, 1)))
            with suppress(TimeoutError):
                if not connection.recv(65536):
                    return
            assert time.monotonic() < ends, "the daemon did not close the connection"


DRIBBLES = [b"", b"G", head("GET", "/", f"X: {'x' * 2000}")]


@pytest.mark.parametrize("letters", DRIBBLES)
def test_a_slow_head_is_cut_off(impatient: Daemon, letters: bytes) -> None:
    with connect(impatient) as connection:
        dribble_until_closed(connection, letters)


@pytest.mark.parametrize("letters", DRIBBLES[1:])
def test_an_idle_connection_may_wait_longer_than_a_head_may_take(impatient: Daemon, letters: bytes) -> None:
    with connect(impatient) as connection:
        for _ in range(2):
            connection.sendall(head("GET", "/"))
            assert read_answer(connection)[0] == 200
            time.sleep(1.5)
        dribble_until_closed(connection, letters)


def test_closes_a_connection_that_is_idle_for_too_long(tmp_path: Path) -> None:
    settings = {"CAMIOHOOKD_HOOK_HEADER_TIMEOUT": "1h", "CAMIOHOOKD_HOOK_IDLE_TIMEOUT": "1s"}
    with Daemon(tmp_path, NOBODY, settings) as daemon, connect(daemon) as connection:
        connection.sendall(head("GET", "/"))
        assert read_answer(connection)[0] == 200
        assert read_all(connection) == b""


def test_a_slow_body_is_a_408(impatient: Daemon) -> None:
    with connect(impatient) as connection:
        connection.sendall(head("POST", f"/tasks/{KEY}", "Content-Length: 100000"))
        for _ in range(30):  # ten bytes a second, a tenth of the required rate
            connection.sendall(b" ")
            time.sleep(0.1)
        assert read_answer(connection)[0] == 408


def test_accepts_a_body_that_is_just_fast_enough(impatient: Daemon) -> None:
    """The body takes longer than a head may, at twenty times the required rate."""
    body = event_body(f"{NOBODY}/{next(numbers)}", pictures=[os.urandom(3000)])
    with connect(impatient) as connection:
        connection.sendall(head("POST", f"/tasks/{KEY}", f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 200):
            connection.sendall(body[at : at + 200])
            time.sleep(0.1)
        assert read_answer(connection)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"1\r\nx\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"ffff"])
@pytest.mark.parametrize("path", ["/", "/tasks/", "/tasks/wrong-key", f"/tasks/{KEY}"])
def test_an_endless_chunked_body_is_cut_off(impatient: Daemon, path: str, sent: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(head("GET", path, "Transfer-Encoding: chunked") + sent)
        assert read_answer(connection)[0] in (400, 403, 408, 413)


# --- many from one address


def test_limits_the_connections_of_a_forwarded_address(patient: Daemon) -> None:
    unfinished = head("GET", "/", "Transfer-Encoding: chunked", "X-Forwarded-For: 203.0.113.9")
    with connect(patient) as oldest, connect(patient) as other:
        oldest.sendall(unfinished)
        other.sendall(head("GET", "/", "X-Forwarded-For: 203.0.113.10"))
        assert read_answer(other)[0] == 200
        held = [connect(patient) for _ in range(4)]
        for connection in held:
            connection.sendall(unfinished)
        assert read_all(oldest) == b""
        other.sendall(head("GET", "/", "X-Forwarded-For: 203.0.113.10"))
        assert read_answer(other)[0] == 200
        for connection in held:
            connection.close()


def test_refuses_connections_of_an_address_whose_limit_is_used_by_right_keys(patient: Daemon) -> None:
    asked = head("GET", f"/tasks/{KEY}", "X-Forwarded-For: 203.0.113.20")
    held = [connect(patient) for _ in range(5)]
    for connection in held:
        connection.sendall(asked)
    assert sorted(read_answer(connection)[0] for connection in held) == [200, 200, 200, 200, 503]
    for connection in held:
        connection.close()
    wait_until(lambda: status_of(patient, asked) == 200)


def status_of(daemon: Daemon, sent: bytes) -> int:
    with connect(daemon) as connection:
        connection.sendall(sent)
        return read_answer(connection)[0]


@pytest.mark.parametrize("forwarded", [[], ["X-Forwarded-For: unknown"], ["X-Forwarded-For: 127.0.0.1"]])
def test_behind_a_tunnel_only_the_total_is_limited(patient: Daemon, forwarded: list[str]) -> None:
    held = [connect(patient) for _ in range(20)]
    for connection in held:
        connection.sendall(head("GET", "/", *forwarded))
    for connection in held:
        assert read_answer(connection)[0] == 200
        connection.close()


def test_limits_the_connections_of_one_address_but_not_of_the_loopback(tmp_path: Path) -> None:
    address = outward_address()
    daemon = Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_CONNECTIONS_PER_ADDRESS": "4"})
    daemon.environ["CAMIOHOOKD_HOOK_LISTEN"] = f"0.0.0.0:{daemon.port}"
    with daemon, ExitStack() as opened:
        local = [opened.enter_context(connect(daemon)) for _ in range(10)]
        idle = [opened.enter_context(connect(daemon, address)) for _ in range(10)]
        for connection in idle[:6]:
            assert read_all(connection) == b""
        for connection in (*local, *idle[6:]):
            connection.sendall(head("GET", "/"))
            assert read_answer(connection)[0] == 200
        assert f"closed the oldest unauthenticated connection from {address}" in daemon.log


# --- files


def test_waits_and_logs_once_when_no_file_is_left_for_a_connection(tmp_path: Path) -> None:
    with Daemon(tmp_path, NOBODY) as daemon, connect(daemon) as known, ExitStack() as opened:
        known.sendall(head("GET", f"/tasks/{KEY}"))
        assert read_answer(known)[0] == 200
        before = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (open_files(daemon) + 3, before[1]))
        waiting = [opened.enter_context(connect(daemon)) for _ in range(10)]
        wait_until(lambda: "cannot accept connections, trying again in a second: Too many open files" in daemon.log)
        known.sendall(head("GET", "/"))
        assert read_answer(known)[0] == 200, "a connection that is already open is served"
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, before)
        for connection in waiting:
            connection.sendall(head("GET", "/"))
            assert read_answer(connection)[0] == 200
        assert daemon.log.count("cannot accept connections") == 1
        assert "Traceback" not in daemon.log


def test_refuses_to_start_with_more_connections_than_open_files(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_CONNECTIONS": "900000000"})
    refused = daemon.command("serve", check=False)
    assert refused.returncode == 78
    assert "hook.max_connections: 900000000 connections need 900000512 open files" in refused.stderr

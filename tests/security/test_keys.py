"""Keys on the real daemon: wrong ones are refused cheaply and slow their sender down; keys rotate under load."""

import hmac
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from camiohookd.web.keys import Keys
from tests.support.daemon_process import KEY, Daemon, event_body
from tests.support.raw_http import head, outward_address, read_answer
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60
MEGABYTE = 1024 * 1024
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield a daemon that trusts forwarded addresses from the loopback, so that a test can choose its address."""
    settings = {
        "CAMIOHOOKD_HOOK_TRUSTED_PROXIES": '["127.0.0.1"]',
        "CAMIOHOOKD_HOOK_MAX_WRONG_KEYS": "3",
    }
    with Daemon(tmp_path_factory.mktemp("keys"), NOBODY, settings) as running:
        yield running


def connect(daemon: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)


def wrong(daemon: Daemon, address: str | None) -> requests.Response:
    headers = {} if address is None else {"X-Forwarded-For": address}
    return requests.post(f"{daemon.url}x", b"{}", headers=headers, timeout=PATIENCE)


def right(daemon: Daemon, address: str) -> int:
    return requests.get(daemon.url, headers={"X-Forwarded-For": address}, timeout=PATIENCE).status_code


# --- before the body


def test_refuses_a_wrong_key_before_the_body_arrives(daemon: Daemon) -> None:
    with connect(daemon) as connection:
        connection.sendall(head("POST", "/tasks/wrong-key", f"Content-Length: {30 * MEGABYTE}"))
        assert read_answer(connection)[0] == 403


def test_never_sends_100_continue_for_a_wrong_key(daemon: Daemon) -> None:
    with connect(daemon) as connection:
        connection.sendall(head("POST", "/tasks/wrong-key", "Content-Length: 1000", "Expect: 100-continue"))
        assert read_answer(connection)[0] == 403


def test_bodies_with_wrong_keys_take_no_memory(daemon: Daemon) -> None:
    before = daemon.memory()
    body = b" " * MEGABYTE
    connections = [connect(daemon) for _ in range(30)]
    for connection in connections:
        connection.sendall(head("POST", "/tasks/wrong-key", f"Content-Length: {30 * MEGABYTE}"))
    for _ in range(10):
        for connection in connections:
            connection.sendall(body)
    assert daemon.memory() - before < 20 * MEGABYTE, "of the 300 MB sent"
    for connection in connections:
        connection.close()


ODD_PATHS = [
    *(
        "/tasks//" + KEY,
        f"/tasks/{KEY}//",
        f"//tasks/{KEY}",
        f"/tasks/../tasks/{KEY}",
        f"/tasks/{KEY}/..",
        f"?/tasks/{KEY}",
    ),
    *(f"/tasks/./{KEY}", f"/tasks/.{KEY}", f"/tasks/%2e%2e/{KEY}", f"/tasks/%2e/{KEY}", f"/tasks/..%2f{KEY}"),
    *(f"/TASKS/{KEY}", f"/%74asks/{KEY}", f"/tasks%2f{KEY}", f"/tasks\\{KEY}", f"/tasks/%252f{KEY}"),
    *(f"/tasks/%c0%ae%c0%ae/{KEY}", f"/tasks/%c0%af{KEY}", f"/tasks/%u0061{KEY[1:]}", f"/tasks/{KEY}%E2%80%8B"),
    *(f"/tasks/{KEY}%00", f"/tasks/%00{KEY}", f"/tasks/\0{KEY}", f"/tasks/{KEY}%0a", f"/tasks/{KEY}%0d%0aX:1"),
    *(
        f"/tasks/{KEY};x",
        f"/tasks/{KEY}#x",
        f"/tasks/{KEY}%20",
        f"/tasks/{KEY}\t",
        f"/tasks/{KEY},{KEY}",
        f"/tasks/{KEY}\\",
    ),
    *(f"/tasks/{KEY.upper()}", f"/tasks/{KEY[:-1]}", f"/tasks/{KEY[1:]}", f"/tasks/{KEY}{KEY}", "/tasks/*", "/tasks/%"),
    # Digits of other scripts: Arabic and full-width ones, percent-encoded and raw.
    *("/tasks/" + KEY.replace("0", digit) for digit in ("%D9%A0", "%EF%BC%90", "\xd9\xa0", "\xef\xbc\x90", "\xb2")),
    *(f"{scheme}://{host}/tasks/{KEY}" for scheme in ("http", "https", "") for host in ("box", "127.0.0.1:8001")),
    *("/metrics", "/healthz", "/readyz", "/openapi.json", "/control", "/tasks//", "/.env", "/favicon.ico", "*"),
    *(
        "/tasks/../metrics",
        "/..;/metrics",
        "http://127.0.0.1:8001/metrics",
        "/tasks/%2e%2e/metrics",
        "/metrics?x=/tasks/",
    ),
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_path_that_only_resembles_the_hooks_is_refused(daemon: Daemon, path: str) -> None:
    with connect(daemon) as connection:
        connection.sendall(head("GET", path))
        status, told = read_answer(connection)
    assert status in (400, 403, 404)
    assert told["error"]["code"] in ("bad_request", "wrong_key", "unknown_path")


KEYS = {"first": "the-first-key-0123456789", "second": "the-second-key-0123456789", "third": "the-third-key-0123456789"}
OFFERED = [
    *(key.encode() for key in KEYS.values()),
    *(b"", b"x", b"the-", KEYS["first"].encode()[:-1], KEYS["third"].encode() + b"x", b"\xff\0", b"x" * 8000),
]


@pytest.mark.parametrize("offered", OFFERED)
def test_compares_every_offered_key_with_every_valid_one(monkeypatch: pytest.MonkeyPatch, offered: bytes) -> None:
    compared: list[tuple[bytes, bytes]] = []
    really = hmac.compare_digest

    def counted(valid: bytes, given: bytes) -> bool:
        compared.append((valid, given))
        return really(valid, given)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    name = Keys(KEYS).name_of(offered)
    assert compared == [(key.encode(), offered) for key in KEYS.values()]
    assert name == next((name for name, key in KEYS.items() if key.encode() == offered), None)


# --- guessing


def test_a_guessing_client_has_to_wait_but_a_right_key_is_accepted(daemon: Daemon) -> None:
    answers = [wrong(daemon, "198.51.100.1") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [403] * 3 + [429] * 5
    assert [answer.headers.get("Retry-After") for answer in answers[3:]] == ["1", "2", "4", "8", "16"]
    assert answers[-1].json()["error"]["code"] == "too_many_wrong_keys"
    assert right(daemon, "198.51.100.1") == 200
    assert wrong(daemon, "198.51.100.1").status_code == 429, (
        "a right key from the same address does not shorten the wait"
    )


def test_other_clients_do_not_wait_for_a_guessing_one(daemon: Daemon) -> None:
    for _ in range(5):
        wrong(daemon, "198.51.100.2")
    assert wrong(daemon, "198.51.100.3").status_code == 403


def test_counts_the_ipv6_addresses_of_one_customer_together(daemon: Daemon) -> None:
    for number in range(5):
        last = wrong(daemon, f"2001:db8:5:5::{number + 1}")
    assert last.status_code == 429


@pytest.mark.parametrize("address", [None, "unknown", "127.0.0.1"])
def test_a_proxy_that_forwards_no_address_never_has_to_wait(daemon: Daemon, address: str | None) -> None:
    assert {wrong(daemon, address).status_code for _ in range(20)} == {403}


def test_ignores_addresses_forwarded_by_an_untrusted_loopback(tmp_path: Path) -> None:
    with Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_WRONG_KEYS": "1"}) as plain:
        assert {wrong(plain, "198.51.100.1").status_code for _ in range(20)} == {403}
        assert "from=127.0.0.1 " in plain.log
        assert "198.51.100.1" not in plain.log


def test_a_guessing_client_without_a_proxy_has_to_wait(tmp_path: Path) -> None:
    address = outward_address()
    daemon = Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_WRONG_KEYS": "2"})
    daemon.environ["CAMIOHOOKD_HOOK_LISTEN"] = f"0.0.0.0:{daemon.port}"
    with daemon:
        url = f"http://{address}:{daemon.port}/tasks/"
        assert [requests.post(f"{url}wrong-key", timeout=PATIENCE).status_code for _ in range(3)] == [403, 403, 429]
        assert requests.get(f"{url}{KEY}", timeout=PATIENCE).status_code == 200
        assert f"code=wrong_key from={address} " in daemon.log


# --- rotation


class Poster(threading.Thread):
    """Post events one after the other with the current `key`, and collect the HTTP `statuses`."""

    def __init__(self, daemon: Daemon, camio: FakeCamioThread, key: str) -> None:
        super().__init__()
        self.key = key
        self.statuses: list[int] = []
        self._daemon, self._camio = daemon, camio
        self._done = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            while not self._done.is_set():
                body = event_body(self._camio.callback_url(f"{self.name}-{len(self.statuses)}"), pictures=[b"none"])
                url = f"http://127.0.0.1:{self._daemon.port}/tasks/{self.key}"
                self.statuses.append(session.post(url, body, timeout=PATIENCE).status_code)

    def wait_for_more(self, count: int = 5) -> None:
        """Wait until events that were posted after this call have been answered."""
        enough, ends = len(self.statuses) + count + 1, time.monotonic() + PATIENCE
        while len(self.statuses) < enough:
            assert time.monotonic() < ends
            time.sleep(0.01)

    def stop(self) -> None:
        self._done.set()
        self.join()


def test_replaces_a_key_under_load_without_refusing_an_event(tmp_path: Path) -> None:
    with FakeCamioThread() as camio:
        daemon = Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_HOOK_API_KEY": ""})
        old = daemon.command("key", "new", "old").stdout.strip()
        with daemon:
            posters = [Poster(daemon, camio, old) for _ in range(4)]
            for each in posters:
                each.start()
                each.wait_for_more()
            new = daemon.command("key", "new", "new").stdout.strip()
            assert "keys old, new, " in daemon.reload()
            for each in posters:
                each.wait_for_more()  # the old key stays in use
                each.key = new
                each.wait_for_more()
            daemon.command("key", "retire", "old")
            assert "keys new, " in daemon.reload()
            for each in posters:
                each.wait_for_more()
                each.stop()
            retired = requests.get(f"http://127.0.0.1:{daemon.port}/tasks/{old}", timeout=PATIENCE)
            assert retired.status_code == 403
    assert {status for each in posters for status in each.statuses} == {200}
    assert " hook=old event=accepted\n" in daemon.log
    assert " hook=new event=accepted\n" in daemon.log
    assert old not in daemon.log
    assert new not in daemon.log


@pytest.mark.parametrize("key", ["password", "1234567890123456"])
def test_warns_of_a_weak_key_without_showing_it(tmp_path: Path, key: str) -> None:
    with Daemon(tmp_path, NOBODY) as daemon:
        assert "is weak" not in daemon.log
        (tmp_path / "api-keys").write_text(f"mine {key}\n")
        warning = '<4>camiohookd.daemon: the key "mine" is weak: '
        assert warning in daemon.reload()
        daemon.stop()
        daemon.start()
        assert daemon.log.count(warning) == 2
        assert key not in daemon.log

"""Server-side request forgery: the box calls only hosts that its owner listed.

This holds for any callback_url in a payload, and for anything that DNS or the called server answers. Each row of a
table is one form of attack.
"""

import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import requests

from camiohookd.delivery import AllowList, Sender, Target
from camiohookd.next_try import DeliveryOutcome, OutcomeKind
from camiohookd.outgoing.resolver import MAX_LOOKUPS, Resolver, SocketAddress
from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import Daemon, event_body
from tests.support.scripted_server import Peer, Script, answering, dripping, sending

PATIENCE = 30.0
PUBLIC, OTHER = "93.184.215.14", "1.1.1.1"


# What an attacker can write into callback_url


class Box:
    """A daemon that allows Camio's hosts and one origin, beside a service that it must not call."""

    def __init__(self, folder: Path) -> None:
        self.victim = Peer(answering(200))
        self.daemon = Daemon(
            folder, "", {"CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": '["camio.com", "*.camio.com", "http://127.0.0.1:1"]'}
        )

    def post(self, url: str) -> tuple[int, dict[str, Any]]:
        answer = requests.post(self.daemon.url, event_body(url), timeout=PATIENCE)
        return answer.status_code, answer.json()

    def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = json.loads(self.daemon.command("queue", "show", task_id).stdout)
        return task


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    one = Box(tmp_path_factory.mktemp("box"))
    with closing(one.victim), one.daemon:
        yield one


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.255.255.254", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.0x0.0x0.0x1",
        "0x7f.0.0.1", "127.0.0.0x1", "127.1", "127.0.1", "127.000.000.001", "127.0.0.1.", "0", "0.0.0.0", "00", "0x",
        "256.256.256.256", "127.0.0.1.0", "4294967297",
        "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8",
        "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::127.0.0.1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:c0a8:101::1]",
        "[2001:0:808:808:0:0:80ff:fffe]", "[2001:0:7f00:1:0:0:f7f7:f7f7]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]",
        "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]",
        "::1", "[::1", "[127.0.0.1]", "[::1]]",
        "localhost", "LOCALHOST", "localhost.", "x.localhost", "localhost.localdomain.local", "router", "nas.local",
        "metadata.google.internal", "box.home.arpa",
        "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "loc\u0430lhost",
        "b\u00fccher.example", "camio\u2024com", "%31%32%37.0.0.1", "127.0.0.1%00.camio.com", "127.0.0.1\x00.camio.com",
        "127.0.0.1\t", "127.0.0.1\n", " 127.0.0.1", "camio.com@127.0.0.1", "camio.com:443@127.0.0.1", "@127.0.0.1",
        "127.0.0.1\\.camio.com", "camio.com\\@127.0.0.1", "127.0.0.1:80@camio.com", "127.0.0.1#@camio.com",
        "127.0.0.1?@camio.com", "127.0.0.1;@camio.com", "camio.com,127.0.0.1", "*.camio.com", "",
    ],
)  # fmt: skip
def test_a_private_or_malformed_host_gets_400_and_is_never_called(host: str, box: Box) -> None:
    status, body = box.post(f"http://{host}:{box.victim.port}/latest/meta-data")
    assert (status, body["error"]["field"]) == (400, "callback_url")
    assert body["error"]["code"] in ("malformed_url", "callback_not_allowed")
    assert box.victim.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/", "//127.0.0.1:{port}/",
        "127.0.0.1:{port}", "/latest", "javascript:alert(1)", "http:127.0.0.1:{port}/", "http:/127.0.0.1:{port}/",
        "http:///127.0.0.1:{port}/", "http://\\127.0.0.1:{port}/", "https://camio.com:0/", "https://camio.com:65536/",
        "https://camio.com:443:{port}/", "https://camio.com:+443/", "https://camio.com:\uff14\uff14\uff13/",
        "http://unix:%2frun%2fcamiohookd%2fcontrol.sock:/", "\thttp://127.0.0.1:{port}/", "http://127.0.0.1:{port}/a b",
        "https://camio.com/\r\nHost: 127.0.0.1",
    ],
)  # fmt: skip
def test_a_malformed_url_gets_400_and_is_never_called(url: str, box: Box) -> None:
    status, body = box.post(url.replace("{port}", str(box.victim.port)))
    assert (status, body["error"]["code"]) == (400, "malformed_url")
    assert box.victim.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example/cb", "https://camio.com.evil.example/cb", "https://evilcamio.com/cb",
        "https://127.0.0.1.nip.io/cb", "https://camio.com.127.0.0.1.nip.io/cb", "https://xn--camo-wra.com/cb",
        "https://8.8.8.8/cb", "https://[2606:4700::1111]/cb", "http://camio.com/cb", "https://camio.com:8443/cb",
        "https://camio.com:22/cb", "http://camio.com:443/cb", "https://evil.example/?camio.com",
        "https://evil.example/camio.com", "https://evil.example#.camio.com", "http://www.camio.com./cb",
    ],
)  # fmt: skip
def test_an_event_for_an_unlisted_host_gets_200_and_is_kept_as_failed_and_the_host_is_never_called(
    url: str, box: Box
) -> None:
    status, body = box.post(url)
    assert (status, body["status"]) == (200, "queued")
    wait_until(lambda: box.task(body["id"])["state"] == "failed", box.daemon)
    task = box.task(body["id"])
    assert task["cause"] == "not-allowed"
    assert task["reason"].startswith("callback host not allowed: ")
    assert task["has_reply"], "its labels are kept until the host is listed"


def test_an_unlisted_host_is_reported_in_log_and_metrics(box: Box) -> None:
    failed = 'tasks_failed_total{reason="not-allowed"}'
    before = box.daemon.metric(failed) or 0
    box.post("https://loud.example:8443/cb?secret")
    wait_until(lambda: box.daemon.metric(failed) == before + 1, box.daemon)
    [line] = [line for line in box.daemon.log.splitlines() if "loud.example" in line]
    assert line.startswith("<3>"), "an error to journald"
    assert 'callback host not allowed: https://loud.example:8443 is not listed; if labels may go there, add "' in line
    assert "secret" not in line


def test_a_failed_event_can_be_delivered_after_its_host_is_listed_and_settings_are_reloaded(tmp_path: Path) -> None:
    def listing(*hosts: str) -> None:
        (tmp_path / "camiohookd.toml").write_text(f"[callback]\nallow_hosts = {json.dumps(hosts)}\n")

    camio = Peer(answering(503))
    daemon = Daemon(tmp_path, "")
    del daemon.environ["CAMIOHOOKD_CALLBACK_ALLOW_HOSTS"]
    listing(f"http://127.0.0.1:{camio.port}")
    with closing(camio), daemon:
        requests.post(daemon.url, event_body(camio.url), timeout=PATIENCE).raise_for_status()
        wait_until(lambda: camio.requests, daemon)
        listing("camio.com")
        assert "systemctl restart" not in daemon.reload()
        wait_until(lambda: daemon.metric('tasks_failed_total{reason="not-allowed"}') == 1, daemon)
        camio.script = answering(200)
        listing(f"http://127.0.0.1:{camio.port}")
        daemon.reload()
        daemon.command("queue", "retry", "--failed")
        wait_until(lambda: daemon.metric("events_delivered_total") == 1, daemon)


def wait_until(condition: Callable[[], object], daemon: Daemon) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, daemon.log
        time.sleep(0.05)


# What DNS can answer


class Dns:
    """A resolver that gives the answers of `script` in turn, repeats the last one, and notes the names asked for."""

    def __init__(self, *script: list[str]) -> None:
        self.script = list(script)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return [socket_address(text, port) for text in answer]


def socket_address(text: str, port: int) -> SocketAddress:
    if ip_address(text).version == 4:
        return SocketAddress(socket.AF_INET, (text, port))
    return SocketAddress(socket.AF_INET6, (text, port, 0, 0))


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the addresses that connections are tried to; all are refused, so that nothing leaves this machine."""
    tried: list[tuple[str, int]] = []

    def refuse(_socket: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[:2])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def deliver(dns: Callable[[str, int], list[SocketAddress]], target: Target, **limits: Any) -> DeliveryOutcome:
    with closing(Sender("1", lookup=dns, **limits)) as sender:
        return sender.deliver(target, b"{}")


CAMIO = AllowList(["*.camio.com"]).check("https://a.b.c.camio.com/cb?secret")


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"], ["0.0.0.0"], ["10.1.2.3"], ["172.20.0.1"], ["192.168.0.10"], ["169.254.169.254"],
        ["100.100.0.1"], ["224.0.0.251"], ["255.255.255.255"], ["198.19.0.1"], ["::1"], ["::"],
        ["fd12:3456::1"], ["fe80::1%1"], ["fec0::1"], ["ff02::fb"], ["::ffff:192.168.0.10"], ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::192.168.0.10"], ["64:ff9b:1::8.8.8.8"], ["2002:a00:1::1"], ["2001:0:808:808::f5ff:fffe"],
        ["2001:db8::1"], ["100::1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:4700::1111", "::1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_retries_a_listed_name_with_a_private_address_without_calling_it(
    answer: list[str], connects: list[tuple[str, int]]
) -> None:
    outcome = deliver(Dns(answer), CAMIO)
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert "its name resolves to " in outcome.reason
    assert "secret" not in outcome.reason
    assert connects == []


@pytest.mark.parametrize(
    "answer",
    [[PUBLIC], ["2606:4700::1111"], [f"::ffff:{PUBLIC}"], [f"64:ff9b::{PUBLIC}"], ["2002:808:808::1"]],
    ids=" ".join,
)
def test_calls_a_public_address_even_if_it_is_embedded_in_another(
    answer: list[str], connects: list[tuple[str, int]]
) -> None:
    outcome = deliver(Dns(answer), CAMIO)
    assert outcome.reason == "the connection failed (Connection refused)"
    assert [(ip_address(host), port) for host, port in connects] == [(ip_address(answer[0]), 443)]


@pytest.mark.parametrize("second", [["127.0.0.1"], ["::1"], ["169.254.169.254"]], ids=" ".join)
def test_dns_rebinding_fails_because_the_checked_address_is_called(
    second: list[str], connects: list[tuple[str, int]]
) -> None:
    dns = Dns([PUBLIC, OTHER], second)
    deliver(dns, CAMIO)
    assert dns.asked == ["a.b.c.camio.com"], "looked up once"
    assert connects == [(PUBLIC, 443), (OTHER, 443)]
    deliver(dns, CAMIO)
    assert len(connects) == 2, "the next delivery looks the name up again and is refused"


def test_connects_only_to_the_address_of_the_first_answer(
    peer: Callable[..., Peer],
) -> None:
    camio = peer(answering(200))
    victim = peer(answering(200), at=("127.0.0.2", camio.port))
    dns = Dns(["127.0.0.1"], ["127.0.0.2"])
    target = Target(f"http://camio.test:{camio.port}/", any_address=True)
    with closing(Sender("1", lookup=dns)) as sender:
        assert sender.deliver(target, b"{}").kind is OutcomeKind.DELIVERED
        assert sender.deliver(target, b"{}").kind is OutcomeKind.DELIVERED
    assert (len(camio.requests), camio.connections, victim.connections, dns.asked) == (2, 1, 0, ["camio.test"])


def test_a_kept_connection_to_a_private_address_is_not_used_for_a_public_target(
    peer: Callable[..., Peer],
) -> None:
    camio = peer(answering(200))
    url = f"http://camio.test:{camio.port}/"
    with closing(Sender("1", lookup=Dns(["127.0.0.1"]))) as sender:
        assert sender.deliver(Target(url, any_address=True), b"{}").kind is OutcomeKind.DELIVERED
        assert "a loopback address" in sender.deliver(Target(url, any_address=False), b"{}").reason
    assert len(camio.requests) == 1


def test_checks_a_literal_address_when_it_connects(connects: list[tuple[str, int]]) -> None:
    with closing(Sender("1")) as sender:
        assert "a loopback address" in sender.deliver(Target("https://127.0.0.1/", any_address=False), b"{}").reason
        assert "a private address" in sender.deliver(Target("https://[fd00::1]/", any_address=False), b"{}").reason
    assert connects == []


def test_retries_a_name_without_an_address(connects: list[tuple[str, int]]) -> None:
    assert deliver(Dns([]), CAMIO) == DeliveryOutcome(
        OutcomeKind.TRANSIENT, None, "the connection failed (its name resolves to no address)"
    )


def test_limits_time_and_threads_for_a_resolver_that_never_answers() -> None:
    release = threading.Event()

    def never(_host: str, _port: int) -> list[SocketAddress]:
        release.wait(PATIENCE)
        return []

    def lookups() -> int:
        return sum(thread.name == "resolve" for thread in threading.enumerate())

    with closing(Sender("1", lookup=never, connect_timeout=0.01)) as sender:
        outcomes = [sender.deliver(CAMIO, b"{}") for _ in range(10)]
        assert lookups() == 1, "all of them share one lookup"
        outcomes += [
            sender.deliver(Target(f"https://{nth}.camio.com/", any_address=False), b"{}")
            for nth in range(2 * MAX_LOOKUPS)
        ]
        assert lookups() == MAX_LOOKUPS
        release.set()
    assert {each.kind for each in outcomes} == {OutcomeKind.TRANSIENT}
    assert outcomes[0].reason == "the connection failed (its name was not resolved within 0.01 s)"
    assert "other lookups are still running" in outcomes[-1].reason


def test_retries_a_lookup_whose_thread_could_not_be_started(
    connects: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(Dns([PUBLIC]))
    with monkeypatch.context() as out_of_threads, pytest.raises(RuntimeError):
        out_of_threads.setattr(threading.Thread, "start", no_more_threads)
        resolver.resolve("camio.com", 443, PATIENCE)
    assert resolver.resolve("camio.com", 443, PATIENCE) == [socket_address(PUBLIC, 443)]


def no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_the_lookup_counts_toward_the_deadline() -> None:
    release = threading.Event()

    def never(_host: str, _port: int) -> list[SocketAddress]:
        release.wait(PATIENCE)
        return []

    outcome = deliver(never, CAMIO, connect_timeout=PATIENCE, deadline=0.2)
    release.set()
    assert outcome.kind is OutcomeKind.TRANSIENT


# What the called server can answer


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    with ExitStack() as all_of_them:
        yield lambda *arguments, **more: all_of_them.enter_context(closing(Peer(*arguments, **more)))


def listed(url: str) -> Target:
    return Target(url, any_address=True)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
@pytest.mark.parametrize("how", ["Location: {}", "Refresh: 0; url={}", "Content-Location: {}", 'Alt-Svc: h2="{}"'])
def test_no_answer_causes_a_call_to_another_host(status: int, how: str, peer: Callable[..., Peer]) -> None:
    victim = peer(answering(200))
    camio = peer(answering(status, how.format(victim.url)))
    with closing(Sender("1")) as sender:
        assert sender.deliver(listed(camio.url), b"{}").kind is OutcomeKind.FINAL
    assert (len(camio.requests), victim.connections) == (1, 0)


def flooding(beginning: bytes, again: bytes) -> Script:
    """Send `beginning`, then `again` repeatedly until the client closes the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(again)

    return script


@pytest.mark.parametrize(
    "script",
    [
        flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
        flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"f" * 65536),
        flooding(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", b"\x1f\x8b" * 999),
        flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        flooding(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        flooding(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
        flooding(b"HTTP/1.1 ", b"2" * 65536),
        flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        flooding(b"", b"x" * 65536),
        flooding(b"", b"\0" * 65536),
    ],
    ids=["length", "chunks", "chunk size", "gzip", "no length", "headers", "header", "status", "100", "text", "zeros"],
)  # fmt: skip
def test_stops_reading_an_endless_answer_with_little_memory(script: Script, peer: Callable[..., Peer]) -> None:
    camio = peer(script)
    with closing(Sender("1", deadline=2.0)) as sender:
        tracemalloc.start()
        outcome = sender.deliver(listed(camio.url), b"{}")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert outcome.kind in OutcomeKind
    assert peak < 10_000_000


def test_a_slow_handshake_ends_at_the_deadline(peer: Callable[..., Peer]) -> None:
    silent = peer(answering(200), greet=dripping(b"\x16\x03\x03\x40\x00"))
    with closing(Sender("1", connect_timeout=20, read_timeout=20, deadline=0.5)) as sender:
        outcome = sender.deliver(listed(f"https://127.0.0.1:{silent.port}/"), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no whole answer within 0.5 s")


def test_a_kept_connection_that_stops_reading_ends_at_the_deadline(peer: Callable[..., Peer]) -> None:
    def deaf(connection: socket.socket) -> None:
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)
        threading.Event().wait(PATIENCE)

    camio = peer(deaf)
    with closing(Sender("1", read_timeout=20, deadline=1.0)) as sender:
        assert sender.deliver(listed(camio.url), b"{}").kind is OutcomeKind.DELIVERED
        outcome = sender.deliver(listed(camio.url), bytes(20_000_000))
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no whole answer within 1 s")


# TLS verifies the name, at the address that was checked


def tls_of(pair: Pair, names: list[str | None]) -> ssl.SSLContext:
    """Return a server's context that notes the names it is asked for (SNI)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context


def test_tls_verifies_the_name_and_sends_it_as_sni_and_host(peer: Callable[..., Peer], tmp_path: Path) -> None:
    names: list[str | None] = []
    pair = make_certificate(tmp_path, of="DNS:hook.example")
    camio = peer(answering(200), tls_of(pair, names))
    target = AllowList([f"https://hook.example:{camio.port}"]).check(f"https://HOOK.example.:{camio.port}/cb?x=y")
    outcome = deliver(Dns(["127.0.0.1"]), target, certificates=str(pair.cert))
    assert outcome.kind is OutcomeKind.DELIVERED, outcome
    assert names == ["hook.example"]
    head = camio.requests[0].decode()
    assert head.startswith("POST /cb?x=y HTTP/1.1\r\n")
    assert f"\r\nHost: hook.example:{camio.port}\r\n" in head


@pytest.mark.parametrize("of", ["DNS:evil.example", "IP:127.0.0.1", "DNS:*.hook.example", "DNS:example"])
def test_sends_no_labels_to_a_certificate_for_another_name(of: str, peer: Callable[..., Peer], tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, of=of)
    camio = peer(answering(200), tls_of(pair, []))
    outcome = deliver(Dns(["127.0.0.1"]), listed(f"https://hook.example:{camio.port}/"), certificates=str(pair.cert))
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert "no trusted TLS connection" in outcome.reason
    assert camio.requests == []


def test_sends_no_labels_to_a_certificate_of_an_unknown_authority(peer: Callable[..., Peer], tmp_path: Path) -> None:
    camio = peer(answering(200), tls_of(make_certificate(tmp_path, of="DNS:hook.example"), []))
    other = make_certificate(tmp_path, "other", of="DNS:hook.example")
    outcome = deliver(Dns(["127.0.0.1"]), listed(f"https://hook.example:{camio.port}/"), certificates=str(other.cert))
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert camio.requests == []

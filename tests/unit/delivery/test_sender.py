import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from camiohookd.delivery import AllowList, Sender, Target
from camiohookd.errors import CallbackNotAllowed, ConfigError, PrivateCallback
from camiohookd.net.urls import origin
from camiohookd.next_try import DeliveryOutcome, OutcomeKind
from tests.support.certificates import make_certificate
from tests.support.scripted_server import Peer, Script, answering, dripping, resetting, sending

DEFAULTS = ["camio.com", "*.camio.com"]


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    with_all: list[Peer] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> Peer:
        with_all.append(Peer(script, tls))
        return with_all[-1]

    yield start
    for one in with_all:
        one.close()


@pytest.fixture
def sender() -> Iterator[Sender]:
    with closing(Sender("1.2", connect_timeout=5, read_timeout=5, deadline=10)) as one:
        yield one


def listed(url: str) -> Target:
    """Return the target `url`, whose full origin is allowed."""
    return AllowList([origin(url)]).check(url)


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        (DEFAULTS, "https://camio.com/cb/1"),
        (DEFAULTS, "https://CAMIO.com.:443/cb/1"),
        (DEFAULTS, "https://www.camio.com/cb/1"),
        (DEFAULTS, "https://a.b.camio.com/cb/1"),
        (["Camio.COM."], "https://camio.com/"),
        (["http://127.0.0.1:9000"], "http://127.0.0.1:9000/callback/1"),
        (["http://127.0.0.1:9000/"], "http://127.0.0.1:9000/callback/1"),
        (["http://hook.example"], "http://hook.example:80/"),
        (["https://hook.example:443"], "https://hook.example/"),
        (["http://[::1]:9000"], "http://[0::1]:9000/"),
        (["https://[::1]"], "https://[::1]/"),
        (["8.8.8.8"], "https://8.8.8.8/"),
        (["xn--bcher-kva.example"], "https://XN--bcher-kva.example/"),
    ],
)
def test_a_listed_host_or_origin_may_be_called(entries: list[str], url: str) -> None:
    AllowList(entries).check(url)


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        (DEFAULTS, "http://camio.com/cb/1"),
        (DEFAULTS, "https://camio.com:8443/cb/1"),
        (DEFAULTS, "https://evilcamio.com/"),
        (DEFAULTS, "https://camio.com.evil.example/"),
        (DEFAULTS, "https://camio.com@evil.example/"),
        (DEFAULTS, "https://evil.example/camio.com"),
        (DEFAULTS, "https://evil.example#.camio.com"),
        (DEFAULTS, "https://127.0.0.1/"),
        (["*.camio.com"], "https://camio.com/"),
        (["*.camio.com"], "http://www.camio.com/"),
        (["camio.com"], "https://www.camio.com/"),
        (["http://127.0.0.1:9000"], "http://127.0.0.1:9001/"),
        (["http://127.0.0.1:9000"], "https://127.0.0.1:9000/"),
        (["http://127.0.0.1:9000"], "http://localhost:9000/"),
        (["https://hook.example:8443"], "https://hook.example/"),
        ([], "https://camio.com/"),
    ],
)
def test_every_other_url_is_refused(entries: list[str], url: str) -> None:
    with pytest.raises(CallbackNotAllowed):
        AllowList(entries).check(url)


def test_a_refusal_names_the_host_and_the_setting_to_change() -> None:
    with pytest.raises(CallbackNotAllowed) as caught:
        AllowList(DEFAULTS).check("http://127.0.0.1:9000/callback/secret-path")
    message = str(caught.value)
    assert "callback host not allowed: 127.0.0.1 is a loopback address" in message
    assert 'add "http://127.0.0.1:9000" to allow_hosts in the [callback] section' in message
    assert "secret-path" not in message


@pytest.mark.parametrize(
    "url", ["https://hook.example/x", "https://hook.example:8443/x", "http://hook.example/x", "http://10.0.0.1:9000/"]
)
def test_adding_the_entry_that_a_refusal_names_allows_the_url(url: str) -> None:
    with pytest.raises(CallbackNotAllowed) as caught:
        AllowList(DEFAULTS).check(url)
    AllowList([str(caught.value).split('"')[1]]).check(url)


def test_a_host_allows_public_addresses_only_and_a_full_origin_any_address() -> None:
    allowed = AllowList(["hook.example", "https://other.example", "https://hook.example:8443"])
    assert allowed.check("https://HOOK.example./x?y#z") == Target("https://hook.example/x?y#z", any_address=False)
    assert allowed.check("https://other.example:443/") == Target("https://other.example/", any_address=True)
    assert allowed.check("https://hook.example:8443") == Target("https://hook.example:8443", any_address=True)


def test_replacing_entries_takes_effect_at_once_and_wrong_ones_change_nothing() -> None:
    allowed = AllowList(["camio.com"])
    allowed.replace(["hook.example"])
    with pytest.raises(ConfigError):
        allowed.replace(["camio.com", "10.0.0.1"])
    allowed.check("https://hook.example/")
    with pytest.raises(CallbackNotAllowed):
        allowed.check("https://camio.com/")


def test_only_private_addresses_and_names_are_refused_when_an_event_is_posted() -> None:
    allowed = AllowList(["http://10.0.0.1:9000"])
    for fine in ("https://elsewhere.example/", "http://camio.com:8080/", "https://8.8.8.8/", "http://10.0.0.1:9000/"):
        allowed.refuse_private(fine)
    for private in ("http://10.0.0.1:9001/", "https://[fc00::1]/", "https://localhost/", "https://nas.local/"):
        with pytest.raises(PrivateCallback):
            allowed.refuse_private(private)


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.*.com", "a*.camio.com", "camio.com:8443", "camio.com/path", "https://camio.com/path",
     "https://*.camio.com", "ftp://camio.com", "https://u:p@camio.com", "b\u00fccher.example", "camio .com", "[::1",
     "127.0.0.1", "[::1]", "localhost", "*.local", "nas", "0x7f.1"],
)  # fmt: skip
def test_any_other_entry_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"\[callback\] allow_hosts"):
        AllowList([entry])


def test_a_delivery_is_one_json_post(peer: Callable[..., Peer], sender: Sender) -> None:
    camio = peer(answering(204))
    assert sender.deliver(listed(camio.url), b'{"status":"success"}').kind is OutcomeKind.DELIVERED
    [request] = camio.requests
    head, body = request.split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /callback/1 HTTP/1.1"
    assert {"Content-Type: application/json", "User-Agent: camiohookd/1.2"} <= set(lines)
    assert body == b'{"status":"success"}'


def test_a_redirect_is_never_followed(peer: Callable[..., Peer], sender: Sender) -> None:
    elsewhere = peer(answering(200))
    outcome = sender.deliver(listed(peer(answering(307, f"Location: {elsewhere.url}")).url), b"{}")
    assert outcome == DeliveryOutcome(
        OutcomeKind.FINAL, 307, "answered 307 Temporary Redirect; redirects are not followed"
    )
    assert elsewhere.connections == 0


def test_proxies_netrc_and_cookies_are_not_used(
    peer: Callable[..., Peer], sender: Sender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy = peer(answering(200))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    camio = peer(answering(200, "Set-Cookie: a=b"))
    for _ in range(2):
        assert sender.deliver(listed(camio.url), b"{}").kind is OutcomeKind.DELIVERED
    assert proxy.connections == 0
    assert len(camio.requests) == 2
    assert not any(b"Authorization" in request or b"Cookie" in request for request in camio.requests)


def test_a_connection_is_used_again(peer: Callable[..., Peer], sender: Sender) -> None:
    camio = peer(answering(200, body=b"thanks" * 100))
    for _ in range(3):
        sender.deliver(listed(camio.url), b"{}")
    assert (camio.connections, len(camio.requests)) == (1, 3)


def test_threads_share_a_sender(peer: Callable[..., Peer], sender: Sender) -> None:
    camio = peer(answering(200))
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: sender.deliver(listed(camio.url), b"{}"), range(20)))
    assert {one.kind for one in outcomes} == {OutcomeKind.DELIVERED}
    assert len(camio.requests) == 20
    assert camio.connections <= 4


@pytest.mark.parametrize(
    ("head", "kind"),
    [("200 OK", OutcomeKind.DELIVERED), ("302 Found\r\nLocation: http://127.0.0.1:1/", OutcomeKind.FINAL)],
)
def test_reads_only_the_beginning_of_a_huge_answer(
    head: str, kind: OutcomeKind, peer: Callable[..., Peer], sender: Sender
) -> None:
    sent = 0
    hung_up = threading.Event()

    def script(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 1000000000\r\n\r\n".encode())
        try:
            while sent < 1_000_000_000:
                sent += connection.send(bytes(65536))
        finally:
            hung_up.set()

    assert sender.deliver(listed(peer(script).url), b"{}").kind is kind
    assert hung_up.wait(30)
    assert sent < 50_000_000  # some bytes are in the sockets' buffers


@pytest.mark.parametrize(
    "partial", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"]
)
@pytest.mark.parametrize("ending", [resetting, sending])
def test_a_connection_lost_before_the_status_is_transient(
    partial: bytes, ending: Callable[[bytes], Script], peer: Callable[..., Peer], sender: Sender
) -> None:
    def script(connection: socket.socket) -> None:
        ending(partial)(connection)
        connection.close()

    outcome = sender.deliver(listed(peer(script).url), b"{}")
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, None)


def test_an_answer_that_breaks_off_after_the_status_counts_for_its_status(
    peer: Callable[..., Peer], sender: Sender
) -> None:
    outcome = sender.deliver(listed(peer(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")).url), b"{}")
    assert (outcome.kind, outcome.status) == (OutcomeKind.DELIVERED, 200)


def test_something_that_is_not_http_is_transient(peer: Callable[..., Peer], sender: Sender) -> None:
    outcome = sender.deliver(listed(peer(sending(b"220 mail.example ESMTP\r\n\r\n")).url), b"{}")
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert "mail.example" not in outcome.reason


def test_no_answer_in_time_is_transient(peer: Callable[..., Peer]) -> None:
    silent = peer(lambda connection: None)
    with closing(Sender("1", read_timeout=0.2)) as sender:
        outcome = sender.deliver(listed(silent.url), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no answer within the time limit")


def test_an_answer_that_never_ends_is_stopped_at_the_deadline(peer: Callable[..., Peer]) -> None:
    with closing(Sender("1", read_timeout=20, deadline=0.5)) as sender:
        outcome = sender.deliver(listed(peer(dripping(b"H")).url), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no whole answer within 0.5 s")


def test_an_answer_whose_body_comes_byte_by_byte_ends_at_the_deadline_and_its_status_counts(
    peer: Callable[..., Peer],
) -> None:
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n"
    with closing(Sender("1", read_timeout=20, deadline=0.5)) as sender:
        outcome = sender.deliver(listed(peer(dripping(head)).url), b"{}")
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, 503)


def test_an_answer_whose_head_comes_byte_by_byte_ends_at_the_deadline(peer: Callable[..., Peer]) -> None:
    with closing(Sender("1", read_timeout=20, deadline=0.5)) as sender:
        outcome = sender.deliver(listed(peer(dripping(b"HTTP/1.1 200 OK\r\nX: ")).url), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no whole answer within 0.5 s")


def test_after_a_deadline_the_next_delivery_works(peer: Callable[..., Peer]) -> None:
    camio = peer(lambda connection: None)
    with closing(Sender("1", read_timeout=20, deadline=0.2)) as sender:
        sender.deliver(listed(camio.url), b"{}")
        camio.script = answering(200)
        assert sender.deliver(listed(camio.url), b"{}").kind is OutcomeKind.DELIVERED


def test_a_refused_connection_is_transient(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = sender.deliver(listed(f"http://127.0.0.1:{port}/secret"), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "the connection failed (Connection refused)")


def test_a_name_that_does_not_resolve_is_transient(sender: Sender) -> None:
    outcome = sender.deliver(listed("http://nobody.invalid/secret"), b"{}")
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert "secret" not in outcome.reason


def test_a_url_that_no_client_can_use_is_final(sender: Sender) -> None:
    assert sender.deliver(Target("http://.example/", any_address=True), b"{}").kind is OutcomeKind.FINAL


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path, "cert").cert


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def test_a_certificate_that_is_not_trusted_is_transient(
    peer: Callable[..., Peer], sender: Sender, tls: ssl.SSLContext
) -> None:
    camio = peer(answering(200), tls)
    outcome = sender.deliver(listed(camio.url), b"{}")
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, None)
    assert "no trusted TLS connection" in outcome.reason
    assert camio.requests == []


def test_a_delivery_over_tls_uses_its_connection_again(
    peer: Callable[..., Peer], tls: ssl.SSLContext, certificate: Path
) -> None:
    camio = peer(answering(200), tls)
    with closing(Sender("1", certificates=str(certificate))) as sender:
        assert [sender.deliver(listed(camio.url), b"{}").kind for _ in range(2)] == [OutcomeKind.DELIVERED] * 2
    assert camio.connections == 1


def test_an_answer_byte_by_byte_over_tls_ends_at_the_deadline(
    peer: Callable[..., Peer], tls: ssl.SSLContext, certificate: Path
) -> None:
    with closing(Sender("1", read_timeout=20, deadline=0.5, certificates=str(certificate))) as sender:
        outcome = sender.deliver(listed(peer(dripping(b"H"), tls).url), b"{}")
    assert outcome == DeliveryOutcome(OutcomeKind.TRANSIENT, None, "no whole answer within 0.5 s")

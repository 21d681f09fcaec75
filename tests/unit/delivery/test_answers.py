"""Malformed and unusual answers: interim, unsolicited, incomplete, too long, with an ambiguous length.

A real server sends each. The tests check the outcome, and whether the connection is used again.
"""

import fcntl
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from camiohookd.delivery import Sender, Target
from camiohookd.next_try import DeliveryOutcome, OutcomeKind
from camiohookd.outgoing.answer import MAX_INTERIM_ANSWERS
from tests.support.certificates import make_certificate
from tests.support.scripted_server import Peer, Script, breaking_off, sending

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PATIENCE = 30.0


@pytest.fixture(params=["http", "https"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Script], tuple[Peer, Sender]]]:
    """Yield a function that starts a server with a script, and a sender that trusts it; with and without TLS."""
    pair = make_certificate(tmp_path) if request.param == "https" else None
    with ExitStack() as opened:

        def started(script: Script) -> tuple[Peer, Sender]:
            context = None
            if pair is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*pair)
            trusted = {"certificates": str(pair.cert)} if pair else {}
            limits = {"connect_timeout": 5.0, "read_timeout": 5.0, "deadline": 10.0}
            peer = opened.enter_context(closing(Peer(script, context)))
            return peer, opened.enter_context(closing(Sender("1", **limits, **trusted)))  # type: ignore[arg-type]  # floats and a text

        yield started


def deliver(peer: Peer, sender: Sender) -> DeliveryOutcome:
    return sender.deliver(Target(peer.url, any_address=True), b"{}")


def in_turn(*answers: bytes) -> Script:
    """Give one of `answers` to each request, the last one to all that follow."""
    left = list(answers)
    return lambda connection: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


# Interim answers


@pytest.mark.parametrize(
    "interim",
    [HINTS, CONTINUE, HINTS * 3 + CONTINUE, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
     b"HTTP/1.1 199 Whatever\r\n\r\n", CONTINUE * MAX_INTERIM_ANSWERS],
)  # fmt: skip
def test_skips_interim_answers_and_keeps_the_connection(
    interim: bytes, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(in_turn(interim + OK, interim + NO, OK))
    assert [deliver(peer, sender).status for _ in range(3)] == [200, 403, 200], "each request gets its own answer"
    assert (peer.connections, len(peer.requests)) == (1, 3)


def test_skips_an_interim_answer_long_before_the_answer(start: Callable[[Script], tuple[Peer, Sender]]) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(HINTS)
        threading.Event().wait(0.2)
        connection.sendall(OK)

    peer, sender = start(script)
    assert [deliver(peer, sender).status for _ in range(2)] == [200, 200]
    assert peer.connections == 1


def test_gives_up_after_a_number_of_interim_answers(start: Callable[[Script], tuple[Peer, Sender]]) -> None:
    def script(connection: socket.socket) -> None:
        while True:
            connection.sendall(CONTINUE)

    peer, sender = start(script)
    outcome = deliver(peer, sender)
    assert outcome.kind is OutcomeKind.TRANSIENT
    assert outcome.reason == f"no usable answer (more than {MAX_INTERIM_ANSWERS} interim answers)"
    peer.script = sending(OK)
    assert deliver(peer, sender).status == 200
    assert peer.connections == 2


def test_an_interim_answer_alone_is_not_an_answer(start: Callable[[Script], tuple[Peer, Sender]]) -> None:
    peer, sender = start(breaking_off(HINTS))
    outcome = deliver(peer, sender)
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, None)


# Unsolicited bytes


@pytest.mark.parametrize(
    "extra", [NO, OK, b"x", b"\r\n", b"HTTP/1.1 ", HINTS, b"x" * 100_000], ids=lambda extra: f"{len(extra)} bytes"
)
def test_a_connection_with_extra_bytes_after_the_answer_is_not_used_again(
    extra: bytes, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(in_turn(OK + extra, BUSY))
    assert deliver(peer, sender).status == 200
    assert deliver(peer, sender).status == 503, "the answer to this request, not what was left of the one before"
    assert peer.connections == 2


def test_notices_extra_bytes_after_a_body(start: Callable[[Script], tuple[Peer, Sender]]) -> None:
    with_body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    peer, sender = start(in_turn(with_body, chunked, with_body + NO, chunked + NO, BUSY))
    assert [deliver(peer, sender).status for _ in range(5)] == [200, 200, 200, 200, 503]
    assert peer.connections == 3, "kept after the clean ones, closed after the others"


def test_an_answer_that_arrives_while_the_connection_is_idle_closes_it(
    start: Callable[[Script], tuple[Peer, Sender]],
) -> None:
    idle, sent = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        connection.sendall(OK)
        if len(peer.requests) == 1:
            assert idle.wait(PATIENCE)
            connection.sendall(OK)
            wait_until_received(connection)
            sent.set()

    peer, sender = start(script)
    assert deliver(peer, sender).status == 200
    idle.set()
    assert sent.wait(PATIENCE)
    peer.script = sending(NO)
    assert deliver(peer, sender).status == 403, "it is not the unsolicited 200"
    assert peer.connections == 2


def test_unsolicited_answers_are_not_taken_for_answers_to_later_requests(
    start: Callable[[Script], tuple[Peer, Sender]],
) -> None:
    peer, sender = start(in_turn(OK + NO + NO, OK))
    assert [deliver(peer, sender).status for _ in range(3)] == [200, 200, 200]
    assert peer.connections == 2


def wait_until_received(connection: socket.socket) -> None:
    """Wait until the other side's kernel has all that was sent."""
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
        threading.Event().wait(0.01)


# Incomplete answers


@pytest.mark.parametrize(
    "half",
    [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", HINTS[:-2],
     HINTS + b"HTTP/1.1 200 OK\r\n"],
)  # fmt: skip
def test_an_answer_cut_off_in_its_head_is_transient(
    half: bytes, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(breaking_off(half))
    outcome = deliver(peer, sender)
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, None)
    assert outcome.reason.startswith("no usable answer (")


@pytest.mark.parametrize(
    "half",
    [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"\r\nabc",
     b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"],
)  # fmt: skip
def test_the_status_counts_if_the_body_is_cut_off(half: bytes, start: Callable[[Script], tuple[Peer, Sender]]) -> None:
    peer, sender = start(breaking_off(b"HTTP/1.1 200 OK\r\n" + half))
    assert [deliver(peer, sender).status for _ in range(2)] == [200, 200]
    assert peer.connections == 2


# Ambiguous lengths


@pytest.mark.parametrize("status", [200, 503, 403])
@pytest.mark.parametrize(
    "headers",
    ["Content-Length: 1, 2", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 0\r\nContent-Length: 0",
     "Content-Length: -1", "Content-Length: +0", "Content-Length: 0x0", "Content-Length: many", "Content-Length:",
     "Content-Length: 0\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xyz",
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Content-Length: " + "9" * 5000, "No colon here",
     ": no name", "Content-Length : 0", "Content-Length: \u0665"],
)  # fmt: skip
def test_with_an_ambiguous_length_the_status_counts_and_the_connection_is_not_reused(
    status: int, headers: str, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(breaking_off(f"HTTP/1.1 {status} Whatever\r\n{headers}\r\n\r\n0\r\n\r\n".encode()))
    outcome = deliver(peer, sender)
    kinds = {200: OutcomeKind.DELIVERED, 503: OutcomeKind.TRANSIENT, 403: OutcomeKind.FINAL}
    assert (outcome.kind, outcome.status) == (kinds[status], status)
    deliver(peer, sender)
    assert peer.connections == 2


@pytest.mark.parametrize(
    ("head", "connections"),
    [("204 No Content\r\n", 1), ("204 No Content\r\nContent-Length: 0\r\n", 1), ("304 Not Modified\r\n", 1),
     ("204 No Content\r\nContent-Length: 5\r\n", 2), ("204 No Content\r\nTransfer-Encoding: chunked\r\n", 2),
     ("200 OK\r\nConnection: close\r\nContent-Length: 0\r\n", 2)],
)  # fmt: skip
def test_an_answer_without_a_body_keeps_its_connection_unless_a_header_forbids_it(
    head: str, connections: int, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(sending(f"HTTP/1.1 {head}\r\n".encode()))
    assert deliver(peer, sender).status == int(head[:3])
    deliver(peer, sender)
    assert peer.connections == connections


@pytest.mark.parametrize("size", ["-1", "-5", "z", "", "1" * 70_000])
def test_a_wrong_chunk_size_ends_the_body_and_the_status_counts(
    size: str, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    answer = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n".encode() + bytes(100_000)
    peer, sender = start(in_turn(answer, OK))
    assert [deliver(peer, sender).status for _ in range(2)] == [200, 200]
    assert peer.connections == 2


# Bytes that are not HTTP


@pytest.mark.parametrize(
    "nonsense",
    [b"220 mail.example ESMTP\r\n\r\n", b"HTTP/1.1 99 Low\r\n\r\n", b"HTTP/1.1 1000 High\r\n\r\n",
     b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01\x02\x00",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
     b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"x" * 70_000],
    ids=range(10),
)  # fmt: skip
def test_nothing_that_a_server_sends_makes_the_url_final(
    nonsense: bytes, start: Callable[[Script], tuple[Peer, Sender]]
) -> None:
    peer, sender = start(breaking_off(nonsense))
    outcome = deliver(peer, sender)
    assert (outcome.kind, outcome.status) == (OutcomeKind.TRANSIENT, None)
    assert outcome.reason.startswith("no usable answer (")
    assert "mail.example" not in outcome.reason

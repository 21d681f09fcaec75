"""Fixtures that several of the unit tests share."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import HandClock


@dataclass
class FakeCamio:
    """A loopback server that records the bytes of every request and answers with the bytes of `answer`."""

    answer: bytes = b""
    requests: list[bytes] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def answers(self, status: str, body: bytes = b"", *headers: str) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.answer = "\r\n".join([*head, "", ""]).encode() + body

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(self._read(connection))
                # The client may have closed the connection.
                try:
                    connection.sendall(self.answer)
                except OSError:
                    continue

    def _read(self, connection: socket.socket) -> bytes:
        with connection.makefile("rb") as stream:
            if stream.peek(1).startswith(b"\x16"):  # a TLS handshake, which has no lines
                return stream.read1()
            lines: list[bytes] = []
            while (line := stream.readline()) not in (b"\r\n", b""):
                lines.append(line)
            length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
            return b"".join([*lines, b"\r\n", stream.read(length)])


@pytest.fixture
def fake_camio() -> Iterator[FakeCamio]:
    server = FakeCamio()
    server.answers("200 OK", b'{"id": "h1"}')
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join()


@pytest.fixture
def disk() -> Iterator[CountingDisk]:
    """Yield a disk that counts calls and fails on demand. Close its open files at the end."""
    disk = CountingDisk()
    yield disk
    disk.die()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()

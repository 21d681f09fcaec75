"""HTTP over plain sockets, for requests that HTTP libraries do not send."""

import json
import socket
from contextlib import suppress
from typing import Any

import pytest


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: box", *headers, "", ""]).encode("latin-1")


def end_sending(connection: socket.socket) -> None:
    """Tell the peer that nothing more comes."""
    with suppress(OSError):  # The peer may have reset the connection: ENOTCONN.
        connection.shutdown(socket.SHUT_WR)


def read_all(connection: socket.socket) -> bytes:
    """Read until the peer closes the connection."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    """Read one answer and no byte more; return its status and its JSON."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(1)
        assert chunk, f"closed after {received!r}"
        received += chunk
    length = next(line for line in received.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    body, size = b"", int(length.split(b":")[1])
    while len(body) < size:
        body += connection.recv(size - len(body))
    return int(received.split()[1]), json.loads(body)


def outward_address() -> str:
    """Return an address of this machine that is not the loopback; skip the test if it has none."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # sends nothing
        address = str(probe.getsockname()[0])
        if not address.startswith("127."):
            return address
    pytest.skip("NOT TESTED: limits of clients outside the loopback, because this machine has no other address")

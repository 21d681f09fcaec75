"""HTTP by hand, for what no decent client sends."""

import json
import socket
from contextlib import suppress
from typing import Any

import pytest


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: box", *headers, "", ""]).encode("latin-1")


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    """Status and JSON of one answer, read no further."""
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
    """This machine's own address, which is not the loopback; skips the test where it has none."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # sends nothing
        address = str(probe.getsockname()[0])
        if not address.startswith("127."):
            return address
    pytest.skip("NOT TESTED: what others than the loopback are held to, because this machine has no other address")

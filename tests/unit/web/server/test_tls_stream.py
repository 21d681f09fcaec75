"""A TLS connection survives an error that belongs to another one."""

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tornado.iostream import StreamClosedError

from camiohookd.web.server.tls_stream import TlsStream
from tests.support.certificates import make_certificate


class OfAnother:
    """Fails in place of a method of SSLSocket for the first `times` calls on the server's side."""

    def __init__(self, method: Any, times: int) -> None:
        self._method = method
        self._left = times

    def __get__(self, connection: ssl.SSLSocket, _: object) -> Any:
        def called(*arguments: Any) -> Any:
            if connection.server_side and self._left:
                self._left -= 1
                raise BrokenPipeError(32, "of another connection")
            return self._method(connection, *arguments)

        return called


def exchange(folder: Path) -> bytes:
    """Send five bytes to a server and back."""
    pair = make_certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    ours, theirs = socket.socketpair()
    back: list[bytes] = []

    def client() -> None:
        trusting = ssl.create_default_context(cafile=pair.cert)
        with suppress(OSError), trusting.wrap_socket(theirs, server_hostname="127.0.0.1") as connection:
            connection.sendall(b"hello")
            back.append(connection.recv(5))

    async def serve() -> None:
        ours.setblocking(False)
        stream = TlsStream(context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False))
        await stream.wait_for_handshake()
        await stream.write(await stream.read_bytes(5))
        await asyncio.to_thread(thread.join)
        stream.close()

    thread = threading.Thread(target=client)
    thread.start()
    try:
        asyncio.run(serve())
    finally:
        ours.close()
        thread.join()
    return b"".join(back)


@pytest.mark.parametrize("name", ["recv_into", "send"])
def test_an_error_of_another_connection_ends_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ssl.SSLSocket, name, OfAnother(getattr(ssl.SSLSocket, name), 1))
    assert exchange(tmp_path) == b"hello"


def test_its_own_error_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl.SSLSocket, "recv_into", OfAnother(ssl.SSLSocket.recv_into, 2))
    with pytest.raises(StreamClosedError):
        exchange(tmp_path)

"""A loopback server that receives deliveries and answers as a script says, also in breach of HTTP."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress

Script = Callable[[socket.socket], None]


class Peer:
    """A server at `at` that calls `greet`, reads and records a request, and then calls `script`."""

    def __init__(
        self,
        script: Script,
        tls: ssl.SSLContext | None = None,
        *,
        at: tuple[str, int] = ("127.0.0.1", 0),
        greet: Script = lambda _connection: None,
    ) -> None:
        self.script = script
        self.greet = greet
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(at)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/callback/1"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            self.greet(connection)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with closing(connection):
                while request := _read_request(connection):
                    self.requests.append(request)
                    self.script(connection)


def _read_request(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        head += chunk
    head, _, body = head.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(status: int, *headers: str, body: bytes = b"") -> Script:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return sending("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def sending(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


def breaking_off(data: bytes) -> Script:
    """Send `data` and nothing more."""

    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return script


def resetting(data: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    return script


def dripping(beginning: bytes) -> Script:
    """Send `beginning`, then one letter at a time until the peer closes the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(beginning)
        never = threading.Event()
        while not never.wait(0.05):
            connection.sendall(b"x")

    return script

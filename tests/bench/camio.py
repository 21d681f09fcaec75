"""Camio's side of a benchmark: threads post events, one thread answers callbacks.

It shares the machine with the daemon that is measured, so it copies nothing and parses almost nothing.
"""

import asyncio
import itertools
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

TIMEOUT = 120.0


class Events:
    """Make bodies of events that hold the same `pictures` of `camera` and differ in their callback URL.

    `fraction` are the digits of the pictures' timestamps after the second.
    """

    def __init__(self, origin: str, pictures: Sequence[bytes], camera: str = "front", fraction: str = "738647") -> None:
        self._origin = origin
        images = [
            {
                "timestamp": f"2017-05-05T01:31:{nth:02d}.{fraction}",
                "image_b64": b64encode(data).decode(),
                "type": "image/jpeg",
            }
            for nth, data in enumerate(pictures)
        ]
        rest = msgspec.json.encode({"camera": camera, "user_id": "someone", "images": images})
        self._rest = b"," + rest[1:]

    def body(self, name: str) -> tuple[bytes, bytes]:
        """Return both halves of an event's body; `name` is the last part of the callback URL's path."""
        return b'{"callback_url":"%b/callback/%b"' % (self._origin.encode(), name.encode()), self._rest


class Connection:
    """A keep-alive connection that posts and waits for the answer."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, *parts: bytes) -> int:
        """Post a body in `parts` and return the status of the answer."""
        length = sum(map(len, parts))
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: box\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()
        self._socket.sendall(head + parts[0])
        for part in parts[1:]:
            self._socket.sendall(part)
        return self._status()

    def _status(self) -> int:
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        missing = int(lengths[0].partition(b":")[2]) - len(body)
        while missing > 0:
            missing -= len(self._more())
        if b"\r\nconnection: close" in head.lower():
            self.close()
            self._connect()
        return int(head.split()[1])

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed before the answer was whole")
        return data

    def close(self) -> None:
        self._socket.close()


_numbers = itertools.count()


def unique() -> str:
    """Return a name that no other event of this process has."""
    return f"e{next(_numbers)}"


def accepts(port: int, path: str, events: Events, seconds: float, connections: int = 8) -> float:
    """Return accepted events per second. Each connection posts the next event when the last one is answered."""
    counts = [0] * connections
    started = time.perf_counter()

    def client(nth: int) -> None:
        connection = Connection(port, path)
        while time.perf_counter() - started < seconds:
            status = connection.post(*events.body(unique()))
            assert status == 200, f"the answer to an event was {status}"
            counts[nth] += 1
        connection.close()

    in_parallel(client, connections)
    return sum(counts) / (time.perf_counter() - started)


def in_parallel(work: Callable[[int], None], count: int) -> None:
    """Run `work` in parallel, each call with its number; raise what one of them raises."""
    errors: list[BaseException] = []

    def guarded(nth: int) -> None:
        try:
            work(nth)
        except BaseException as error:  # noqa: BLE001  # raised again below, on the calling thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(nth,), daemon=True) for nth in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Receiver:
    """Answer callbacks with 200 on its own thread; `arrived` holds the name and time (`perf_counter`) of each.

    While `status` is not 200, it answers with that status and does not count the callback.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.status = 200
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_for(self, condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        """Wait until `condition` holds; check it at each arrival. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"only {len(self.arrived)} callbacks within {timeout:g} s")

    def receive(self, name: str) -> None:
        with self._changed:
            self.arrived.setdefault(name, time.perf_counter())
            self._changed.notify_all()

    def _serve(self) -> None:
        serving = self._loop.create_server(lambda: _Callback(self), sock=self._listener)
        self._loop.run_until_complete(serving)
        self._loop.run_forever()


class _Callback(asyncio.Protocol):
    """One connection from the daemon: requests one after another."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n") + 4) > 3:
            head = self._data[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._data) < end + length:
                return
            path = self._data.split(b" ", 2)[1].decode()
            self._data = self._data[end + length :]
            status = self._receiver.status
            if status == 200:
                self._receiver.receive(path.rpartition("/")[2])
            self._transport.write(b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n\r\n{}" % status)

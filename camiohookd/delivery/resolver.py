"""Names into addresses within a time limit, which the system's own resolver does not have.

A lookup that outlives its time limit goes on in a thread of its own, and whoever asks for the same name meanwhile gets
its answer, so that a resolver that never answers costs a bounded number of threads.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

MAX_LOOKUPS = 32


class SocketAddress(NamedTuple):
    """What a socket of `family` can connect to; `address` begins with the IP address and the port."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]


Lookup = Callable[[str, int], list[SocketAddress]]


def ask_system(host: str, port: int) -> list[SocketAddress]:
    """The addresses of `host` in the order to try them, by the system's resolver, which may take minutes. Raises
    OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [SocketAddress(family, address) for family, _, _, _, address in found]  # type: ignore[arg-type]  # typeshed allows for Python without IPv6


class Resolver:
    """Asks `lookup` and waits as long as it is told to; safe to share between threads."""

    def __init__(self, lookup: Lookup = ask_system) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], Future[list[SocketAddress]]] = {}

    def resolve(self, host: str, port: int, seconds: float) -> list[SocketAddress]:
        """The addresses of `host`. Raises OSError, whose `strerror` is the reason."""
        answer = self._ask(host, port)
        try:
            return answer.result(seconds)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, f"its name was not resolved within {seconds:g} s") from None

    def _ask(self, host: str, port: int) -> Future[list[SocketAddress]]:
        with self._lock:
            answer = self._asked.get((host, port))
            if answer is None:
                if len(self._asked) >= MAX_LOOKUPS:
                    raise socket.gaierror(socket.EAI_AGAIN, f"{MAX_LOOKUPS} other names wait for the resolver")
                answer = Future()
                threading.Thread(target=self._answer, args=(host, port, answer), name="resolve", daemon=True).start()
                self._asked[host, port] = answer  # only now: there may have been no more threads
            return answer

    def _answer(self, host: str, port: int, answer: Future[list[SocketAddress]]) -> None:
        try:
            found = self._lookup(host, port)
        except Exception as error:  # noqa: BLE001  # whoever asked gets it
            self._forget(host, port)
            answer.set_exception(error)
        else:
            self._forget(host, port)
            answer.set_result(found)

    def _forget(self, host: str, port: int) -> None:
        with self._lock:
            del self._asked[host, port]

"""Resolve names within a time limit, which the system's resolver does not have.

Each lookup runs in its own thread. A lookup that exceeds its limit continues there, and later calls for the same
name wait for it too, so that a resolver that never answers takes a bounded number of threads.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

MAX_LOOKUPS = 32


class SocketAddress(NamedTuple):
    """An address for a socket of `family`; `address` begins with the IP address and the port."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]


Lookup = Callable[[str, int], list[SocketAddress]]


def ask_system(host: str, port: int) -> list[SocketAddress]:
    """Return the addresses of `host` in the order to try them, from the system's resolver, which may take minutes.

    Raises OSError.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [SocketAddress(family, address) for family, _, _, _, address in found]  # type: ignore[arg-type]  # typeshed allows for Python without IPv6


class Resolver:
    """Calls `lookup` with a time limit; safe to share between threads."""

    def __init__(self, lookup: Lookup = ask_system) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], Future[list[SocketAddress]]] = {}

    def resolve(self, host: str, port: int, seconds: float) -> list[SocketAddress]:
        """Return the addresses of `host`, within `seconds`. Raises OSError, whose `strerror` is the reason."""
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
                    raise socket.gaierror(socket.EAI_AGAIN, f"{MAX_LOOKUPS} other lookups are still running")
                answer = Future()
                threading.Thread(target=self._answer, args=(host, port, answer), name="resolve", daemon=True).start()
                self._asked[host, port] = answer  # not before: starting the thread may fail
            return answer

    def _answer(self, host: str, port: int, answer: Future[list[SocketAddress]]) -> None:
        try:
            found = self._lookup(host, port)
        except Exception as error:  # noqa: BLE001  # the callers get it
            self._forget(host, port)
            answer.set_exception(error)
        else:
            self._forget(host, port)
            answer.set_result(found)

    def _forget(self, host: str, port: int) -> None:
        with self._lock:
            del self._asked[host, port]

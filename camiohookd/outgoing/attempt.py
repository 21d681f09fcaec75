"""One try of a delivery: its time limits and the step that it has reached.

requests and urllib3 pass an `Attempt` along as the request's timeout. Neither has a deadline for a request as a whole:
their timeouts restart with each byte. So the sockets here ask the attempt before each wait how long it may take.
"""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from urllib3 import Timeout

from camiohookd.next_try import DeliveryStep

Dial = Callable[[str, int, "Attempt"], "PlainSocket"]
"""Connect to a host and a port for an attempt. Raises OSError."""

_SHORTEST_WAIT = 0.001  # 0 would mean "do not wait", not "time is over"


class Attempt(Timeout):
    """A try that ends `deadline` seconds from now at the latest.

    `connect` is the limit for the host's name, for each of its addresses and for the TLS handshake, `read` the limit
    between two bytes, all in seconds. `dial` is how the attempt gets a connection.
    """

    def __init__(self, dial: Dial, *, connect: float, read: float, deadline: float) -> None:
        super().__init__(connect=connect, read=read)
        self.dial = dial
        self.step = DeliveryStep.PREPARE
        self._limits = {
            DeliveryStep.DIAL: connect,
            DeliveryStep.TLS: connect,
            DeliveryStep.SEND: deadline,
            DeliveryStep.READ: read,
        }
        self._ends = time.monotonic() + deadline

    def clone(self) -> "Attempt":
        """Return the attempt itself: urllib3 copies a timeout for each request, and an attempt serves only one."""
        return self

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def wait(self) -> float:
        """Return how long the present step may wait."""
        return max(min(self._limits[self.step], self._ends - time.monotonic()), _SHORTEST_WAIT)


class PlainSocket(socket.socket):
    """A TCP socket that waits no longer than its attempt allows; without an attempt it does not wait at all."""

    attempt: Attempt | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.attempt.wait() if self.attempt else 0.0)
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Send all of the data within one limit."""
        self.settimeout(self.attempt.wait() if self.attempt else 0.0)
        super().sendall(*args, **kwargs)


class TlsSocket(ssl.SSLSocket):
    """The same over TLS. The handshake has the limit that the plain socket had."""

    attempt: Attempt | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.attempt.wait() if self.attempt else 0.0)
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Send a part of the data; `sendall` of a TLS socket calls this for each part."""
        self.settimeout(self.attempt.wait() if self.attempt else 0.0)
        return super().send(*args, **kwargs)

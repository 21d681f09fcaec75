"""A deadline for a whole delivery, which neither requests nor urllib3 offers.

One thread looks after all deliveries: it sleeps until the time of the first one is over, and ends when there is none.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Watchdog:
    """Ends a connection that is not done in time, however slowly it drips; made by `Watchdogs`.

    A socket's own timeout starts again with every byte that arrives. Once the time is over, `fired` is true and nothing
    more is read from or written to the connection that is watched.
    """

    def __init__(self, ends: float) -> None:
        self.fired = False
        self.ends = ends
        self._lock = threading.Lock()
        self._watched: int | None = None

    def left(self) -> float:
        """Seconds that are left, never quite none, since a socket takes that for something else."""
        return max(self.ends - time.monotonic(), 0.001)

    def watch(self, connection: socket.socket) -> None:
        """From now on watch `connection`, and nothing that was watched before.

        Its file is what is watched: TLS, which takes the file over from the socket, is watched too.
        """
        with self._lock:
            self._let_go()
            # Not ssl's own socket, whose shutdown is not safe while another thread reads.
            self._watched = os.dup(connection.fileno())
            if self.fired:
                self._shut_down()

    def fire(self) -> None:
        """The time is over."""
        with self._lock:
            self.fired = True
            self._shut_down()

    def stop(self) -> None:
        """Leave the connection alone from now on."""
        with self._lock:
            self._let_go()

    def _shut_down(self) -> None:
        if self._watched is None:
            return
        try:
            with socket.socket(fileno=os.dup(self._watched)) as same:
                same.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def _let_go(self) -> None:
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None


class Watchdogs:
    """Watchdogs that all have `seconds`; safe to share between threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._on_duty: dict[Watchdog, None] = {}  # whose time is over first comes first
        self._looked_after = False

    @contextmanager
    def one(self) -> Iterator[Watchdog]:
        """A watchdog whose time begins now; at the end it lets go."""
        watchdog = self._begin()
        try:
            yield watchdog
        finally:
            with self._lock:
                self._on_duty.pop(watchdog, None)
            watchdog.stop()

    def _begin(self) -> Watchdog:
        with self._lock:
            if not self._looked_after:
                threading.Thread(target=self._look_after, name="watchdog", daemon=True).start()
                self._looked_after = True
            watchdog = Watchdog(time.monotonic() + self._seconds)
            self._on_duty[watchdog] = None
            return watchdog

    def _look_after(self) -> None:
        while (first := self._first()) is not None:
            left = first.ends - time.monotonic()
            if left > 0:
                time.sleep(left)  # by then it may be done, and another one be the first
            elif self._take_off(first):
                first.fire()

    def _first(self) -> Watchdog | None:
        with self._lock:
            first = next(iter(self._on_duty), None)
            self._looked_after = first is not None
            return first

    def _take_off(self, watchdog: Watchdog) -> bool:
        """False if it is done meanwhile."""
        with self._lock:
            return watchdog in self._on_duty and not self._on_duty.pop(watchdog)

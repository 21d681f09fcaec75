"""A deadline for a whole delivery, which neither requests nor urllib3 offers."""

import socket
import threading
import time


class Watchdog:
    """Ends a connection that is not done after `seconds`, however slowly it drips.

    A socket's own timeout starts again with every byte that arrives. The time begins now; once it is over, `fired` is
    true and nothing more is read from or written to the connection that is watched.
    """

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def left(self) -> float:
        """Seconds that are left, never quite none, since a socket takes that for something else."""
        return max(self._ends - time.monotonic(), 0.001)

    def watch(self, connection: socket.socket) -> None:
        """From now on watch `connection`, and nothing that was watched before.

        Its file is what is watched: TLS, which takes the file over from the socket, is watched too.
        """
        with self._lock:
            self._let_go()
            # Not ssl's own socket, whose shutdown is not safe while another thread reads.
            self._watched = socket.socket(fileno=socket.dup(connection.fileno()))
            if self.fired:
                self._shut_down()

    def stop(self) -> None:
        """Leave the connection alone from now on."""
        self._timer.cancel()
        with self._lock:
            self._let_go()

    def _end(self) -> None:
        with self._lock:
            self.fired = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._watched is None:
            return
        try:
            self._watched.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def _let_go(self) -> None:
        if self._watched is not None:
            self._watched.close()
            self._watched = None

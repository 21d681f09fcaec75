"""Accepts per second beside 1,000 connections that send their request headers byte by byte.

What keeps it from .95, by the rows of 28 November 2026 (.936 and .923): 1,000 bytes a second wake the event loop as
many times. What is lost, 64 to 77 ms of each second, is 64 to 77 µs a byte, for Tornado's reading of it and for the
program that sends it on the same two cores.
"""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench import rig
from tests.bench.accept import events
from tests.bench.camio import accepts
from tests.bench.harness import Bench, Result, alternate, at_least, result

CONNECTIONS = 1000
PAUSE = 1.0
BACK_AFTER = 10.0
HEAD = b"POST /tasks/guess HTTP/1.1\r\nHost: box\r\nX-Slow: " + b"z" * 10_000
LIMITS = {"as it is set": {}, "with room for all": {"CAMIOHOOKD_HOOK_MAX_CONNECTIONS": str(2 * CONNECTIONS)}}


def run(bench: Bench) -> Iterator[Result]:
    seconds, bodies = bench.scaled(1.5, 0.3), events()
    for number, (limits, settings) in enumerate(LIMITS.items()):
        place = bench.place(f"slowloris{number}")
        with rig.daemon(place, settings=rig.STALLED_LABELER | settings) as daemon:

            def rate(port: int = daemon.port) -> float:
                return accepts(port, rig.PATH, bodies, seconds)

            def beside(measured: Callable[[], float] = rate, port: int = daemon.port) -> float:
                with dribbling(port):
                    return measured()

            rates = alternate({"alone": rate, "beside": beside})
        metric = f"accepts beside {CONNECTIONS:,} that dribble, {limits}"
        yield result("slowloris", metric, rates["beside"], "/s", baseline=rates["alone"], target=at_least(0.8, 0.95))


@contextmanager
def dribbling(port: int) -> Iterator[None]:
    """Run a process with `count` connections that each send a byte per second."""
    with rig.program("slowloris", str(port)) as process:
        rig.ask(process, "all connected?")
        yield


def dribble(port: int) -> None:
    """Send until the process is killed; print a line when all are connected. Reconnect later if closed."""
    sent = {connected(port): 0 for _ in range(CONNECTIONS)}
    print(len(sent), flush=True)
    thrown_out: list[float] = []  # the time of each
    while True:
        ends = time.monotonic() + PAUSE
        while thrown_out and thrown_out[0] < ends - BACK_AFTER:
            thrown_out.pop(0)
            sent[connected(port)] = 0
        for connection, count in list(sent.items()):
            try:
                sent[connection] += connection.send(HEAD[count : count + 1])
            except OSError:
                connection.close()
                del sent[connection]
                thrown_out.append(time.monotonic())
        time.sleep(max(ends - time.monotonic(), 0))


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    dribble(int(sys.argv[1]))

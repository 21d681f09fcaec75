"""Open the listening sockets, and keep them over a restart, so that no connection is refused meanwhile.

address ─▶ the socket that systemd kept from the last run, if it listens on that address ─▶ otherwise a new socket, of
which systemd keeps a copy (its file descriptor store: sd_notify(3), FDSTORE=1; sd_listen_fds(3))

A client that connects while the daemon restarts waits in the socket's backlog. After `systemctl stop`, systemd closes
its copy and the port is closed. Without systemd, all sockets are new.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tornado.netutil import bind_sockets

from camiohookd.config.values import Address
from camiohookd.errors import CamiohookdError
from camiohookd.system import systemd
from camiohookd.system.log_fields import about

BACKLOG = 1024
"""Connections that the kernel queues until they are accepted: many, so that a rush of clients does not fill it."""

FORGETTING_SECONDS = 5.0
"""How long systemd may take to close a socket that it no longer has to keep."""

_PAUSE = 0.05
_LISTENING = "0A"  # TCP_LISTEN, linux/tcp_states.h
_FIRST_FREE_PORT = 1024

log = logging.getLogger("camiohookd.daemon")


class Sockets:
    """The sockets that systemd kept, by name, until `listen` takes them."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._kept = systemd.kept_sockets(environ)
        self._has_forgotten = False

    def listen(self, name: str, address: Address, setting: str) -> list[socket.socket]:
        """Return sockets that listen on `address`. systemd keeps them as `name`; errors name `setting`.

        Raises CamiohookdError if it cannot listen there.
        """
        kept = self._kept.pop(name, [])
        if kept and {_place(each) for each in kept} == _places(address):
            log.debug("%s listens on the sockets of the last run", name, extra=about("sockets_kept"))
            return kept
        if kept:
            self._forget(name, kept)
        bound = self._bind_new(address, setting)
        systemd.keep_sockets(name, bound, self._environ)
        return bound

    def let_go(self) -> None:
        """Close the kept sockets that no `listen` has taken."""
        for name, kept in self._kept.items():
            self._forget(name, kept)
        self._kept.clear()

    def _forget(self, name: str, kept: list[socket.socket]) -> None:
        systemd.forget_sockets(name, self._environ)
        for each in kept:
            each.close()
        self._has_forgotten = True

    def _bind_new(self, address: Address, setting: str) -> list[socket.socket]:
        """Bind new sockets. A port may be taken until systemd has closed its copy of a socket that is forgotten."""
        ends = time.monotonic() + FORGETTING_SECONDS
        while True:
            try:
                return _bind(address, setting)
            except CamiohookdError as error:
                reason = error.__cause__
                is_taken = isinstance(reason, OSError) and reason.errno == errno.EADDRINUSE
                if not (is_taken and self._has_forgotten) or time.monotonic() >= ends:
                    raise
            time.sleep(_PAUSE)


def _place(bound: socket.socket) -> tuple[int, str, int]:
    return bound.family, *bound.getsockname()[:2]


def _places(address: Address) -> set[tuple[int, str, int]]:
    """Return the addresses on which `bind_sockets` would listen."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return set()
    return {(family, str(place[0]), int(place[1])) for family, _, _, _, place in found}


def check_address(address: Address, setting: str) -> None:
    """Bind `address` and close it again. Raises CamiohookdError if the daemon could not listen on it.

    A port on which this user listens already counts as usable: that is the running daemon.
    """
    try:
        bound = _bind(address, setting)
    except CamiohookdError as error:
        reason = error.__cause__
        if isinstance(reason, OSError) and reason.errno == errno.EADDRINUSE and _is_ours(address.port):
            return
        raise
    for each in bound:
        each.close()


def _is_ours(port: int) -> bool:
    """Return whether a socket of this process's user listens on the TCP port (proc_pid_net(5), net/tcp)."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                _, local, _, state, _, _, _, uid, *_ = line.split()
                if (int(local.rpartition(":")[2], 16), state, int(uid)) == (port, _LISTENING, os.geteuid()):
                    return True
    return False


def _bind(address: Address, setting: str) -> list[socket.socket]:
    try:
        return bind_sockets(address.port, address.host, flags=socket.AI_PASSIVE, backlog=BACKLOG)
    except OSError as error:
        advice = ""
        if error.errno == errno.EADDRINUSE:
            advice = f". Another program uses that port: ss -ltnp 'sport = :{address.port}' shows it"
        elif error.errno == errno.EACCES and address.port < _FIRST_FREE_PORT:
            advice = (
                ". Ports under 1024 need a drop-in for the service: the first lines of "
                "/usr/share/camiohookd/low-ports.conf install it"
            )
        raise CamiohookdError(f"cannot listen on {address} ({setting}): {error.strerror}{advice}") from error

"""Talk to systemd: report the daemon's state, and have listening sockets kept over a restart.

Formats: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
"""

import logging
import os
import socket
from collections.abc import Mapping, Sequence

from camiohookd.system.log_fields import about

_FIRST_KEPT = 3  # the number of the first descriptor that systemd passes

_VARIABLES = frozenset(("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))

log = logging.getLogger("camiohookd.daemon")


def without_systemd(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` for a child process that must not speak with systemd in the service's place."""
    return {name: value for name, value in environ.items() if name not in _VARIABLES}


def notify(state: str, environ: Mapping[str, str] = os.environ, files: Sequence[int] = ()) -> None:
    """Send systemd `state`, for example ``READY=1`` or ``STATUS=...``, with the descriptors `files`.

    Does nothing if systemd has not asked for notices. Logs a warning if sending fails.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            socket.send_fds(sock, [state.encode()], files)
    except OSError as error:
        log.warning("cannot notify systemd of %s: %s", state, error, extra=about("systemd_not_notified"))


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds that systemd waits for a ``WATCHDOG=1``, or None if it has no watchdog for this process."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


def kept_sockets(environ: Mapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """Return the listening sockets that systemd has kept for this process, by name. Call this once."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    kept: dict[str, list[socket.socket]] = {}
    for number, name in enumerate(environ.get("LISTEN_FDNAMES", "").split(":")[: int(environ["LISTEN_FDS"])]):
        found = socket.socket(fileno=_FIRST_KEPT + number)
        found.set_inheritable(False)
        kept.setdefault(name, []).append(found)
    return kept


def keep_sockets(name: str, sockets: Sequence[socket.socket], environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd keep copies of `sockets` for the next run, if the unit allows it (FileDescriptorStoreMax)."""
    notify(f"FDSTORE=1\nFDNAME={name}", environ, [each.fileno() for each in sockets])


def forget_sockets(name: str, environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd close the sockets that it keeps under `name`."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}", environ)

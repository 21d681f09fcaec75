"""How the daemon talks to systemd: log lines with a priority for journald, and notices of its state.

A log record → one line (its traceback: lines of their own, indented), the secrets in it masked and control
characters escaped, so that nothing from outside can forge a line → stderr. Formats: sd-daemon(3), sd_notify(3).
"""

import logging
import os
import socket
from collections.abc import Mapping, Sequence

_FIRST_KEPT = 3  # the number of the first file that systemd hands over

log = logging.getLogger("camiohookd.daemon")


def notify(state: str, environ: Mapping[str, str] = os.environ, files: Sequence[int] = ()) -> None:
    """Tells systemd `state`, e.g. ``READY=1`` or ``STATUS=...``; does nothing where systemd does not ask for it.

    `files` are descriptors that go with it.
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
        log.warning("systemd was not told %s: %s", state, error)


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a ``WATCHDOG=1``, None where it does not (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


def kept_sockets(environ: Mapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """The listening sockets that systemd has kept for this process, by name; to be called once (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    kept: dict[str, list[socket.socket]] = {}
    for number, name in enumerate(environ.get("LISTEN_FDNAMES", "").split(":")[: int(environ["LISTEN_FDS"])]):
        found = socket.socket(fileno=_FIRST_KEPT + number)
        found.set_inheritable(False)
        kept.setdefault(name, []).append(found)
    return kept


def keep_sockets(name: str, sockets: Sequence[socket.socket], environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd keep copies of `sockets` for the next run, as far as the unit lets it."""
    notify(f"FDSTORE=1\nFDNAME={name}", environ, [each.fileno() for each in sockets])


def forget_sockets(name: str, environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd close its copies of those it keeps under `name`."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}", environ)

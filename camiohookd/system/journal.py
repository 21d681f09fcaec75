"""Send records to systemd's journal by its own protocol, so that they keep their fields.

    JOURNAL_STREAM says that stderr is the journal ─▶ one datagram a record to /run/systemd/journal/socket

``journalctl -u camiohookd CAMERA=front`` then finds what concerns one camera. The protocol is described at
https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; JOURNAL_STREAM in systemd.exec(5).
"""

import array
import errno
import fcntl
import os
import socket
from collections.abc import Mapping

JOURNAL_SOCKET = "/run/systemd/journal/socket"

IDENTIFIER = "camiohookd"

_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def stderr_is_journal(environ: Mapping[str, str] = os.environ, descriptor: int = 2) -> bool:
    """Return whether systemd connected `descriptor` with the journal, and nothing has redirected it since."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(descriptor)
    except OSError:  # it is closed
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class Journal:
    """A connection to the journal's socket `path`; any thread may send."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, message: str, priority: int, logger: str, fields: Mapping[str, str]) -> None:
        """Send one record; the names of `fields` are upper-case letters. Raises OSError if the journal is not there."""
        entries = {
            "MESSAGE": message,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": logger,
            **fields,
        }
        data = b"".join(_encoded(name, value.encode()) for name, value in entries.items())
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_in_memory(data)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_in_memory(self, data: bytes) -> None:
        """Send what is too large for a datagram as a sealed file in memory, in a datagram without data."""
        file = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(file, "wb", closefd=False) as stream:  # a descriptor has no path
                stream.write(data)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))
            self._socket.sendmsg([], [rights], 0, self._path)
        finally:
            os.close(file)


def _encoded(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)

"""A TLS connection that does not take over the error of another one."""

import ssl
from contextlib import suppress

from tornado.iostream import SSLIOStream

_unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TlsStream(SSLIOStream):
    """Reads and writes a second time after an error, before it gives the connection up.

    Python does not clear OpenSSL's list of errors before it reads or writes. So a sound connection can get the error of
    another one that has ended (https://github.com/python/cpython/issues/148594). The second try, after the list is
    cleared, shows the state of this connection.
    """

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        with suppress(OSError):
            count = super().read_from_fd(buf)
            if count != 0:  # an end without a notice is an error, too
                return count
        _clear_errors()
        return super().read_from_fd(buf)

    def write_to_fd(self, data: memoryview) -> int:
        with suppress(OSError):
            return super().write_to_fd(data)
        _clear_errors()
        return super().write_to_fd(data)


def _clear_errors() -> None:
    """Clear OpenSSL's list of errors of this thread, as refusing ciphers does; Python has no function for it."""
    with suppress(ssl.SSLError):
        _unused.set_ciphers("no cipher")

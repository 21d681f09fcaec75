"""A TLS connection that does not take over the error of another one."""

from tornado.iostream import SSLIOStream


class TlsStream(SSLIOStream):
    """Reads and writes a second time after an error, before it gives the connection up.

    Python does not clear OpenSSL's list of errors before it reads or writes. A sound connection can so get the error of
    another one that has ended (https://github.com/python/cpython/issues/148594). To raise the error clears the list, so
    that the second try shows the state of this connection.
    """

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        try:
            count = super().read_from_fd(buf)
        except OSError:
            return super().read_from_fd(buf)
        return super().read_from_fd(buf) if count == 0 else count  # an end without a notice is an error, too

    def write_to_fd(self, data: memoryview) -> int:
        try:
            return super().write_to_fd(data)
        except OSError:
            return super().write_to_fd(data)

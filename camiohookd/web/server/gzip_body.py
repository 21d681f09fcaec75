"""A body with ``Content-Encoding: gzip`` ─▶ the body, within the limit of any other. Owned by no thread."""

import zlib

from camiohookd.web.server import answers
from camiohookd.web.server.answers import Refused

NAMES = ("gzip", "x-gzip")  # RFC 9110, section 8.4.1.3
_GZIP = 16 + zlib.MAX_WBITS  # zlib.h, inflateInit2: the header and the checksum of gzip, and nothing else


def unpack(body: bytes | bytearray, limit: int) -> bytes:
    """The one file in `body`, no more of which is ever unpacked than `limit` bytes and one; raise `Refused`."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise Refused(answers.BAD_GZIP) from None
    if len(unpacked) > limit:
        raise Refused(answers.too_large(limit))
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(answers.BAD_GZIP)
    return unpacked

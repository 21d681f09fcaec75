"""Decompresses a body with ``Content-Encoding: gzip``, within the limit of any other body. Any thread may use it."""

import zlib

from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused

NAMES = ("gzip", "x-gzip")  # RFC 9110, section 8.4.1.3
_GZIP = 16 + zlib.MAX_WBITS  # zlib.h, inflateInit2: only gzip, with its header and checksum
_PACKED_PIECE = 64 * 1024
_PIECE = 1024 * 1024


def unpack(body: bytes | bytearray, limit: int) -> bytearray:
    """Return the content of the one gzip file in `body`, decompressed piece by piece.

    Raises `Refused` if it is more than `limit` bytes, or if `body` is not exactly one complete file.
    """
    unpacker = zlib.decompressobj(_GZIP)
    unpacked = bytearray()
    view = memoryview(body)
    try:
        for start in range(0, len(body), _PACKED_PIECE):
            packed: bytes | memoryview = view[start : start + _PACKED_PIECE]
            if unpacker.eof:
                raise Refused(error_responses.BAD_GZIP)
            piece = unpacker.decompress(packed, _PIECE)
            while piece:
                unpacked += piece
                if len(unpacked) > limit:
                    raise Refused(error_responses.too_large(limit))
                piece = unpacker.decompress(unpacker.unconsumed_tail, _PIECE)
    except zlib.error:
        raise Refused(error_responses.BAD_GZIP) from None
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(error_responses.BAD_GZIP)
    return unpacked

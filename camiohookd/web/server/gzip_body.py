"""A body with ``Content-Encoding: gzip`` ─▶ the body, within the limit of any other. Owned by no thread."""

import zlib

from camiohookd.web.server import answers
from camiohookd.web.server.answers import Refused

NAMES = ("gzip", "x-gzip")  # RFC 9110, section 8.4.1.3
_GZIP = 16 + zlib.MAX_WBITS  # zlib.h, inflateInit2: the header and the checksum of gzip, and nothing else
_PACKED_PIECE = 64 * 1024
_PIECE = 1024 * 1024


def unpack(body: bytes | bytearray, limit: int) -> bytearray:
    """Return what the one file in `body` holds, unpacked piece by piece, at most `limit` bytes; raise `Refused`."""
    unpacker = zlib.decompressobj(_GZIP)
    unpacked = bytearray()
    view = memoryview(body)
    try:
        for start in range(0, len(body), _PACKED_PIECE):
            packed: bytes | memoryview = view[start : start + _PACKED_PIECE]
            if unpacker.eof:
                raise Refused(answers.BAD_GZIP)
            piece = unpacker.decompress(packed, _PIECE)
            while piece:
                unpacked += piece
                if len(unpacked) > limit:
                    raise Refused(answers.too_large(limit))
                piece = unpacker.decompress(unpacker.unconsumed_tail, _PIECE)
    except zlib.error:
        raise Refused(answers.BAD_GZIP) from None
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(answers.BAD_GZIP)
    return unpacked

"""What reading a JPEG's file will cost, told from its parts before any decoder sees it (ITU-T T.81, annex B).

A file of a few kilobytes can keep a decoder busy for hours: with thousands of scans, each a pass over all pixels, or
with a header of a million parts.
"""

import re

from camiohookd.errors import PictureError

MAX_SCANS = 64
"""A progressive picture has about ten."""

MAX_STEPS = 2000
"""Parts, and bytes between them before the first scan. What Pillow keeps of a short part is thirty times as large, and
such a byte takes it two microseconds. A colour profile may be 255 parts."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # but for those that have no length
_END_OF_IMAGE, _START_OF_SCAN = b"\xd9", b"\xda"


def count_scans(data: bytes) -> int:
    """How many scans a JPEG's file has (ITU-T T.81, annex B). Raises `PictureError` if reading it would take long."""
    scans = steps = position = 0
    while (marker := _MARKER.search(data, position)) and marker[1] != _END_OF_IMAGE:
        steps += 1 if scans else marker.start() - position + 1
        scans += marker[1] == _START_OF_SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        if scans > MAX_SCANS:
            raise PictureError(f"the picture has too many scans: more than {MAX_SCANS}")
        if steps > MAX_STEPS:
            break
    if steps > MAX_STEPS or (not scans and len(data) - position > MAX_STEPS):
        raise PictureError(f"the picture's file is damaged: it has too many parts, more than {MAX_STEPS}")
    return scans

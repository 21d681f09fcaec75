"""Read a file of lines in pieces, so that a long file takes little memory. Skip bytes that the disk cannot read."""

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from camiohookd.storage.progress import Progress
from camiohookd.system.disk import Disk
from camiohookd.system.log_fields import about

PIECE_BYTES = 256 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is given in parts: no version writes such a one."""

MAX_UNREADABLE = 8
"""After so many pieces that the disk cannot read, the rest of the file is given up: each may take the disk minutes."""

_REPORT_EVERY = 1024 * 1024

log = logging.getLogger("camiohookd.queue")


def read_lines(
    disk: Disk, path: Path, progress: Progress, missed: Callable[[int, int], None]
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, each with its offset and its end; the last one may have no end.

    It calls `missed` with the offset and the length of bytes that the disk cannot read (EIO); the line before is cut.
    Raises OSError for any other failure.
    """
    size = path.stat().st_size
    offset = failures = reported = 0
    with disk.open_read(path, PIECE_BYTES) as file:
        while True:
            try:
                line = file.readline(MAX_LINE_BYTES)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                failures += 1
                # The start of the line, which was read before the error, is lost, too.
                behind = max(size, offset) if failures > MAX_UNREADABLE else _next_piece(offset, file.tell())
                log.error(
                    "cannot read bytes %d to %d of %s: %s", offset, behind, path, error, extra=about("unreadable_bytes")
                )
                missed(offset, behind - offset)
                if behind >= size:
                    return
                offset = file.seek(behind)
                continue
            if not line:
                return
            yield offset, line
            offset += len(line)
            if offset - reported >= _REPORT_EVERY:
                progress.report(f"reading {path.name}", offset, size)
                reported = offset


def _next_piece(offset: int, position: int) -> int:
    return (max(offset, position) // PIECE_BYTES + 1) * PIECE_BYTES

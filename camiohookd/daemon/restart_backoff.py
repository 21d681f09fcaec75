"""How often in a row the daemon has ended badly, so that it starts ever more slowly: systemd before 254 cannot do that.

systemd starts it again 5 s after each bad end (`RestartSec`) and keeps the runtime folder meanwhile; the count stands
there, in a file. A daemon that is told to stop, or has served for a while, has ended the row.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from camiohookd.system import systemd

AT_ONCE = 5
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
LASTING_SECONDS = 600.0
_START_SECONDS = 120.0  # the unit's TimeoutStartSec

log = logging.getLogger("camiohookd.daemon")


def pause_after(bad_ends: int) -> float:
    """Seconds to wait after so many bad ends in a row: none at first, then twice as long each time."""
    late = bad_ends - AT_ONCE
    return 0.0 if late <= 0 else min(FIRST_PAUSE * 2.0 ** min(late - 1, 10), LONGEST_PAUSE)


class RestartBackoff:
    """Counts in the runtime folder `folder`; what it cannot read or write there it takes for a first start."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], pause_after: Callable[[int], float] = pause_after
    ) -> None:
        self._file = folder / "restarts"
        self._environ = environ
        self._pause_after = pause_after

    def begin(self, stopped: Callable[[], bool]) -> None:
        """Count this start, and wait first if many have ended badly, or until `stopped` says so."""
        if "NOTIFY_SOCKET" not in self._environ:
            return  # nobody starts it again
        bad_ends = self._read()
        with suppress(OSError):
            self._file.write_text(f"{bad_ends + 1}\n")
        seconds = self._pause_after(bad_ends)
        if not seconds:
            return
        log.warning("it ended badly %d times in a row: it waits %.0f s before it starts again", bad_ends, seconds)
        status = f"Waits {seconds:.0f} s, since it ended badly {bad_ends} times in a row; see its journal"
        microseconds = round((seconds + _START_SECONDS) * 1e6)
        systemd.notify(f"EXTEND_TIMEOUT_USEC={microseconds}\nSTATUS={status}", self._environ)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stopped():
            time.sleep(0.1)

    def forget(self) -> None:
        """The row is ended."""
        with suppress(OSError):
            self._file.unlink()

    async def forget_when_lasting(self) -> None:
        """To run beside the daemon's work."""
        await asyncio.sleep(LASTING_SECONDS)
        self.forget()

    def _read(self) -> int:
        try:
            return int(self._file.read_text())
        except (OSError, ValueError):
            return 0

"""Wait before a start that follows many crashes, each time longer: systemd before version 254 cannot do that.

systemd restarts the daemon 5 s after each crash (`RestartSec`) and keeps the runtime folder meanwhile. A file in it
counts the starts. The count ends when the daemon is told to stop, or has served for a while.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from camiohookd.system import systemd
from camiohookd.system.log_fields import about

AT_ONCE = 5
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
LASTING_SECONDS = 600.0
_START_SECONDS = 120.0  # the unit's TimeoutStartSec

log = logging.getLogger("camiohookd.daemon")


def pause_after(crashes: int) -> float:
    """Return the seconds to wait after that many crashes in a row: none at first, then twice as long each time."""
    late = crashes - AT_ONCE
    return 0.0 if late <= 0 else min(FIRST_PAUSE * 2.0 ** min(late - 1, 10), LONGEST_PAUSE)


class RestartBackoff:
    """Counts in the runtime folder `folder`; a file that cannot be read or written counts as a first start."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], pause_after: Callable[[int], float] = pause_after
    ) -> None:
        self._file = folder / "restarts"
        self._environ = environ
        self._pause_after = pause_after

    def begin(self, stopped: Callable[[], bool]) -> None:
        """Count this start. After many crashes, wait first, but no longer than until `stopped` returns True."""
        if "NOTIFY_SOCKET" not in self._environ:
            return  # not started by systemd, which alone would restart it
        crashes = self._read()
        with suppress(OSError):
            self._file.write_text(f"{crashes + 1}\n")
        seconds = self._pause_after(crashes)
        if not seconds:
            return
        log.warning(
            "crashed %d times in a row: waiting %.0f s before this start",
            crashes,
            seconds,
            extra=about("crashed_before"),
        )
        status = f"Waiting {seconds:.0f} s after {crashes} crashes in a row; see journalctl -u camiohookd"
        microseconds = round((seconds + _START_SECONDS) * 1e6)
        systemd.notify(f"EXTEND_TIMEOUT_USEC={microseconds}\nSTATUS={status}", self._environ)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stopped():
            time.sleep(0.1)

    def forget(self) -> None:
        """End the count: the daemon was stopped by a signal, or has served for long enough."""
        with suppress(OSError):
            self._file.unlink()

    async def forget_when_lasting(self) -> None:
        """End the count after `LASTING_SECONDS`; runs beside the daemon's work."""
        await asyncio.sleep(LASTING_SECONDS)
        self.forget()

    def _read(self) -> int:
        try:
            return int(self._file.read_text())
        except (OSError, ValueError):
            return 0

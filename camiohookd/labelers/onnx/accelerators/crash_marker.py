"""Remember in a file that a device is in use, so that a driver that kills the process does not do it at every start.

The file is written before a device is started and removed when the device is released, also at the end of the program.
If a start finds the file, the program died while it used the device, and the device is not used for a while. A file
from an earlier boot is ignored: the machine lost power.
"""

import atexit
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from camiohookd.labelers.onnx.runner import Runner, Tensor
from camiohookd.system.clock import Clock, SystemClock
from camiohookd.system.log_fields import about

STEADY_SECONDS = 1800.0
"""If the process ran at least this long on the device, do not count its death against the device."""

log = logging.getLogger("camiohookd.labeler")


class Guard:
    """The file of one daemon. Only deaths with the same device setting, `wish`, count.

    With None as `path`, nothing is remembered.
    """

    def __init__(self, path: Path | None, wish: str, clock: Clock | None = None) -> None:
        self._path = path
        self._wish = wish
        self._clock = clock or SystemClock()
        self.deaths = self._deaths()
        """How many times in a row the program died while it used the device."""

    def enter(self) -> None:
        """Write the file, before the device is used."""
        if self._path is None:
            return
        boot, seconds = self._clock.boot()
        text = json.dumps({"wish": self._wish, "boot": boot, "since": seconds, "deaths": self.deaths})
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_text(text)
        except OSError as error:
            log.warning(
                "cannot write %s, so a crash of the device will not be noticed: %s",
                self._path,
                error,
                extra=about("crash_marker_not_written"),
            )
        atexit.register(self.leave)

    def leave(self) -> None:
        """Remove the file, when the device is not used any more."""
        atexit.unregister(self.leave)
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _deaths(self) -> int:
        found = self._read()
        boot, seconds = self._clock.boot()
        if found.get("wish") != self._wish or found.get("boot") != boot:
            return 0
        with suppress(KeyError, TypeError, ValueError):
            return 1 if seconds - float(found["since"]) >= STEADY_SECONDS else int(found["deaths"]) + 1
        return 1

    def _read(self) -> dict[str, Any]:
        if self._path is not None:
            with suppress(OSError, ValueError):
                found = json.loads(self._path.read_text())
                return found if isinstance(found, dict) else {}
        return {}


class GuardedRunner:
    """A `Runner` that calls `Guard.leave` when it is closed."""

    def __init__(self, runner: Runner, guard: Guard) -> None:
        self._runner = runner
        self._guard = guard
        self.device, self.inputs, self.outputs = runner.device, runner.inputs, runner.outputs

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._runner.run(outputs, feeds)

    def close(self) -> None:
        self._guard.leave()
        self._runner.close()

"""A driver that kills the whole process must not do so at every start: a file says that a device is in use.

It is written before a device is started and removed when the device is let go, at the end of the program too. A start
that finds it knows that the program has died with the device in use, and leaves the device alone for a while. A file of
an earlier boot says nothing: the power went.
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

STEADY_SECONDS = 1800.0
"""Who has lived for so long with the device did not die of it as a habit."""

log = logging.getLogger("camiohookd.labeler")


class Guard:
    """The file of one daemon; `wish` is what it was set to use, of which alone the deaths count. None for a file:
    nothing is remembered."""

    def __init__(self, path: Path | None, wish: str, clock: Clock | None = None) -> None:
        self._path = path
        self._wish = wish
        self._clock = clock or SystemClock()
        self.deaths = self._deaths()
        """How often in a row the program has died with the device in use."""

    def enter(self) -> None:
        """The device is about to be used."""
        if self._path is None:
            return
        boot, seconds = self._clock.boot()
        text = json.dumps({"wish": self._wish, "boot": boot, "since": seconds, "deaths": self.deaths})
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_text(text)
        except OSError as error:
            log.warning("%s cannot be written, so that a crash of the device is not noticed: %s", self._path, error)
        atexit.register(self.leave)

    def leave(self) -> None:
        """The device is not used any more, and nobody has died."""
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
    """A `Runner` on a device that has been entered, and is left when it is closed."""

    def __init__(self, runner: Runner, guard: Guard) -> None:
        self._runner = runner
        self._guard = guard
        self.device, self.inputs, self.outputs = runner.device, runner.inputs, runner.outputs

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._runner.run(outputs, feeds)

    def close(self) -> None:
        self._guard.leave()
        self._runner.close()

"""When the state of a zone counts as changed: after so many events in a row that show the new one.

The last states are kept in a small file, so that a restart is not taken for a change.
"""

import logging
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from camiohookd.system.disk import Disk, replace_file
from camiohookd.system.log_fields import about

log = logging.getLogger("camiohookd.labeler")


class _Memory(msgspec.Struct):
    """The `state` that counts; the newest `event` seen; the `changed` event, the last in which the state changed.

    `candidate` is another state that the last `times` events showed.
    """

    state: str
    event: int
    changed: int = -1
    candidate: str = ""
    times: int = 0


class Settled(NamedTuple):
    """The state that counts in an event, and whether it changed in it."""

    state: str
    changed: bool


class Steadiness:
    """Remembers the states by the names of what was taught; any thread may ask. `path` is the file, None for none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._memories: dict[str, _Memory] | None = None  # read when it is first needed: not everybody may

    def settle(self, name: str, state: str, event: int, steady: int) -> Settled:
        """Record the state that an event shows, and return the state to report.

        The first recorded state does not count as a change. An event that is labeled again gets the same answer; one
        that is older than the newest changes nothing.
        """
        with self._lock:
            if self._memories is None:
                self._memories = _read(self._path)
            memory = self._memories.get(name)
            if memory is None:
                self._memories[name] = _Memory(state, event)
                self._write(self._memories)
                return Settled(state, changed=False)
            if event <= memory.event:
                changed = event == memory.changed
                return Settled(memory.state if event == memory.event or changed else state, changed)
            memory.event = event
            if state == memory.state:
                memory.candidate, memory.times = "", 0
                return Settled(state, changed=False)
            memory.times = memory.times + 1 if state == memory.candidate else 1
            memory.candidate = state
            if memory.times < steady:
                return Settled(memory.state, changed=False)
            self._memories[name] = _Memory(state, event, changed=event)
            self._write(self._memories)
            return Settled(state, changed=True)

    def _write(self, memories: dict[str, _Memory]) -> None:
        if self._path is None:
            return
        try:
            replace_file(Disk(), self._path, msgspec.json.encode(memories))
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error.strerror, extra=about("taught_not_written"))


def _read(path: Path | None) -> dict[str, _Memory]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Memory])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("cannot read %s, so the next states are the first: %s", path, error, extra=about("taught_not_read"))
        return {}

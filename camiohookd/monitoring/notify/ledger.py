"""Decide which notices are due: one when a trouble begins, and one when it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from camiohookd.monitoring.notify.conditions import Key
from camiohookd.system.clock import iso

SETTLE_SECONDS = 300.0
"""How long a trouble must be gone before it counts as ended, so that one that comes and goes is sent once."""

MOST = 200
"""The most troubles at a time; no notice is sent of more (each silent camera is one)."""


class Notice(msgspec.Struct, frozen=True):
    """A notice as channels send it, in JSON. Times are ISO 8601 in UTC; `subject` is a camera, a listener or ""."""

    alert: str
    state: Literal["begins", "over"]
    subject: str
    text: str
    since: str
    time: str
    host: str


@dataclass(slots=True)
class _Entry:
    text: str
    since: float
    seen: float


class Ledger:
    """The troubles that were sent. `host` is this machine's name; `settle` is in seconds, see `SETTLE_SECONDS`."""

    def __init__(self, host: str, settle: float = SETTLE_SECONDS) -> None:
        self._host = host
        self._settle = settle
        self._known: dict[Key, _Entry] = {}

    def update(self, troubles: Mapping[Key, str], now: float) -> list[Notice]:
        """Return the notices that are due at the Unix time `now`, with these `troubles` present."""
        notices = []
        for key, text in troubles.items():
            if (entry := self._known.get(key)) is not None:
                entry.seen = now
            elif len(self._known) < MOST:
                self._known[key] = _Entry(text, now, now)
                notices.append(self._notice(key, "begins", text, now, now))
        for key, entry in list(self._known.items()):
            if key not in troubles and not 0 <= now - entry.seen < self._settle:  # also if the clock was set back
                del self._known[key]
                notices.append(self._notice(key, "over", f"Over: {entry.text}", entry.since, now))
        return notices

    def _notice(self, key: Key, state: Literal["begins", "over"], text: str, since: float, now: float) -> Notice:
        return Notice(key.alert, state, key.subject, text, iso(since), iso(now), self._host)

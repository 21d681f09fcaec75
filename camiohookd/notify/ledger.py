"""Tell each trouble once when it begins, and once when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from camiohookd.notify.conditions import Key
from camiohookd.system.clock import iso

SETTLE_SECONDS = 300.0
"""How long a trouble has to be gone before it is over, so that one that comes and goes is not told each time."""

MOST = 200
"""Troubles that are known at one time; more are not told (each silent camera is one)."""


class Notice(msgspec.Struct, frozen=True):
    """What a channel gets, as JSON. Times are ISO 8601 in UTC; `subject` is a camera or a listener, or ""."""

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
    """What has been told. `host` is this machine's name; `settle` seconds are `SETTLE_SECONDS`."""

    def __init__(self, host: str, settle: float = SETTLE_SECONDS) -> None:
        self._host = host
        self._settle = settle
        self._known: dict[Key, _Entry] = {}

    def update(self, troubles: Mapping[Key, str], now: float) -> list[Notice]:
        """Return what is to be told at the Unix time `now`, when there are these `troubles`."""
        notices = []
        for key, text in troubles.items():
            if (entry := self._known.get(key)) is not None:
                entry.seen = now
            elif len(self._known) < MOST:
                self._known[key] = _Entry(text, now, now)
                notices.append(self._notice(key, "begins", text, now, now))
        for key, entry in list(self._known.items()):
            if key not in troubles and not 0 <= now - entry.seen < self._settle:  # a clock that was set back ends it
                del self._known[key]
                notices.append(self._notice(key, "over", f"Over: {entry.text}", entry.since, now))
        return notices

    def _notice(self, key: Key, state: Literal["begins", "over"], text: str, since: float, now: float) -> Notice:
        return Notice(key.alert, state, key.subject, text, iso(since), iso(now), self._host)

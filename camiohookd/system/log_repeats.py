"""Count repeated faults in the log instead of writing each: a fault of every event must not fill the disk.

    record ─▶ `Repeats` ─▶ written: the first `MOST` of a kind in a minute
                      └──▶ counted: one line at the end of the minute says how many there were

Records are of one kind if they differ only in their numbers, such as a task's id or a time. After `MOST_TEXTS` kinds of
an event in a minute, all further records of that event count as one kind: a text may hold what somebody sent, such as
the name of a camera. Records below a warning are always written.
"""

import copy
import logging
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from camiohookd.system.log_fields import event_of

MOST = 20
"""Records of a kind that are written in a minute; as many as the remarks about one event (`logs.warn_of_each`)."""

SECONDS = 60.0

MAX_KINDS = 1000
"""Kinds that are counted at one time; the one that was longest unseen is summed up early."""

MOST_TEXTS = 50
"""Kinds of one logger, level and event that are told apart at one time."""

_COUNT = "camiohookd_repeats"
_NUMBER = re.compile(r"\d+")

_Event = tuple[str, int, str]
_Kind = tuple[_Event, str]


def kind_of(text: str) -> str:
    """Return `text` with a sign in place of each number."""
    return _NUMBER.sub("#", text)


def repeats_of(record: logging.LogRecord) -> int | None:
    """Return how many records a summary stands for; None if it is no summary."""
    count: int | None = getattr(record, _COUNT, None)
    return count


@dataclass(slots=True)
class _Seen:
    began: float
    written: int = 0
    counted: int = 0
    last: logging.LogRecord | None = None


class Repeats(logging.Filter):
    """A filter for a handler; `write` is the handler's `handle`, which gets the summaries. Any thread may log."""

    def __init__(
        self,
        write: Callable[[logging.LogRecord], object],
        *,
        seconds: float = SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._write = write
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Kind, _Seen] = OrderedDict()
        self._texts: Counter[_Event] = Counter()  # the kinds in `_seen`, by event
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record` now."""
        if record.levelno < logging.WARNING or repeats_of(record) is not None:
            return True
        event = (record.name, record.levelno, event_of(record))
        text = kind_of(record.getMessage())
        now = self._clock()
        with self._lock:
            over = self._take(now - self._seconds)
            seen = self._seen_of(event, text, now)
            write = seen.written < self._most
            if write:
                seen.written += 1
            else:
                seen.counted += 1
                seen.last = record
                self._start_timer()
            if len(self._seen) > MAX_KINDS:
                over.append(self._pop())
        self._write_summaries(over)
        return write

    def sum_up(self) -> None:
        """Write a line for each kind of which records were counted and not written."""
        with self._lock:
            over = self._take(float("inf"))
        self._write_summaries(over)

    def _take(self, before: float) -> list[_Seen]:
        """Forget the kinds that began at `before` or earlier, and return them. They are in the order of their begin."""
        over = []
        while self._seen and next(iter(self._seen.values())).began <= before:
            over.append(self._pop())
        return over

    def _seen_of(self, event: _Event, text: str, now: float) -> _Seen:
        if (event, text) not in self._seen and self._texts[event] >= MOST_TEXTS:
            text = ""
        seen = self._seen.get((event, text))
        if seen is None:
            seen = self._seen[event, text] = _Seen(now)
            self._texts[event] += 1
        return seen

    def _pop(self) -> _Seen:
        """Remove the kind that began first."""
        (event, _), seen = self._seen.popitem(last=False)
        self._texts[event] -= 1
        if not self._texts[event]:
            del self._texts[event]
        return seen

    def _start_timer(self) -> None:
        """Sum up later, in case that no record comes any more."""
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._at_time)
            self._timer.name = "log-repeats"
            self._timer.daemon = True
            self._timer.start()

    def _at_time(self) -> None:
        with self._lock:
            self._timer = None
        self.sum_up()

    def _write_summaries(self, over: list[_Seen]) -> None:
        for seen in over:
            if seen.last is not None:
                self._write(_summary(seen.counted, self._seconds, seen.last))


def _summary(count: int, seconds: float, last: logging.LogRecord) -> logging.LogRecord:
    summary = copy.copy(last)
    lines = "line" if count == 1 else "lines"
    summary.msg = f"%d more {lines} like this one within %.0f s, counted instead of written; the last: %s"
    summary.args = (count, seconds, last.getMessage())
    summary.exc_info = summary.exc_text = summary.stack_info = None
    setattr(summary, _COUNT, count)
    return summary

"""Keep the last warnings and errors of the log in memory, to show them to the owner."""

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from camiohookd.system.log_repeats import kind_of
from camiohookd.system.logs import SafeFormatter

KEPT = 20


@dataclass(slots=True)
class LoggedError:
    """A line of the log. There were `count` in a row that differ only in their numbers; this is the last of them.

    `at` is its Unix time.
    """

    at: float
    level: str
    text: str
    count: int = 1


class RecentErrors(logging.Handler):
    """Keeps the last `KEPT` kinds of lines from "warning" up; any thread may log and call `newest_first`.

    Each is masked as the log is: `secrets` and the queries of URLs are hidden.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(SafeFormatter(secrets, "%(message)s"))
        self._kept: deque[LoggedError] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's first line; called with the handler's lock held."""
        assert isinstance(self.formatter, SafeFormatter)
        text = self.formatter.lines(record)[0]
        level = record.levelname.lower()
        if self._kept and (self._kept[-1].level, kind_of(self._kept[-1].text)) == (level, kind_of(text)):
            last = self._kept[-1]
            last.at, last.text, last.count = record.created, text, last.count + 1
        else:
            self._kept.append(LoggedError(record.created, level, text))

    def newest_first(self) -> list[LoggedError]:
        """Return copies of what is kept."""
        self.acquire()
        try:
            return [replace(each) for each in reversed(self._kept)]
        finally:
            self.release()


def watch_log(secrets: Iterable[str]) -> RecentErrors:
    """Return a `RecentErrors` that gets every record of the root logger from now on."""
    recent = RecentErrors(secrets)
    logging.getLogger().addHandler(recent)
    return recent

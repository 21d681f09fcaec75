"""Write log records to stderr, one line a record, in the form for journald or for a terminal. Mask secrets."""

import atexit
import copy
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from camiohookd.system.journal import JOURNAL_SOCKET, Journal, stderr_is_journal
from camiohookd.system.log_fields import about, event_of, fields_of
from camiohookd.system.log_repeats import Repeats, repeats_of
from camiohookd.units import plural

log = logging.getLogger("camiohookd.daemon")

MAX_LINES_PER_EVENT = 20

_MASK = "***"


_ERROR_PRIORITY = 3


_PRIORITIES = (  # a level, and the syslog priority of records from this level up to the one before
    (logging.CRITICAL, 2),
    (logging.ERROR, _ERROR_PRIORITY),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


_DEBUG_PRIORITY = 7


_QUERY = re.compile(r"(/[^\s?'\"<>]*\?)[^\s'\"<>]+")  # matches the query of a URL, or of a path


def setup_logging(level: str, secrets: Iterable[str], form: str = "text") -> None:
    """Send all log records of `level` ("debug", "info", ...) and above to stderr, and mask `secrets`.

    `form` is "text" or "json", one object a line. A text line has the time and the level on a terminal; otherwise
    journald's priority. If stderr is the journal, it gets each record with its fields. Repeated faults are counted.
    Uncaught exceptions and warnings are logged, too.
    """
    handler = JournalHandler() if stderr_is_journal() else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(secrets) if form == "json" else _formatter(secrets))
    repeats = Repeats(handler.handle)
    handler.addFilter(repeats)
    atexit.register(repeats.sum_up)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def change_logging(level: str, secrets: Iterable[str]) -> None:
    """Change the level, and mask these secrets in addition to the earlier ones. No record is lost meanwhile."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler.formatter, SafeFormatter):
            handler.setFormatter(handler.formatter.hiding(secrets))
    root.setLevel(level.upper())


def _formatter(secrets: Iterable[str]) -> "SafeFormatter":
    return TerminalFormatter(secrets) if sys.stderr.isatty() else JournalFormatter(secrets)


def complaint(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return `text` for stderr before logging is set up. If systemd reads stderr, each line gets the error priority."""
    if "JOURNAL_STREAM" not in environ or sys.stderr.isatty():
        return text
    return "\n".join(f"<{_ERROR_PRIORITY}>{line}" for line in text.split("\n"))


class SafeFormatter(logging.Formatter):
    """Format a record as lines without secrets, URL queries and control characters. The message is the first line."""

    def __init__(self, secrets: Iterable[str], fmt: str) -> None:
        super().__init__(fmt, datefmt="%H:%M:%S")
        self.secrets = _longest_first(secrets)

    def hiding(self, more: Iterable[str]) -> "SafeFormatter":
        """Return the same formatter with `more` secrets."""
        other = copy.copy(self)
        other.secrets = _longest_first({*self.secrets, *more})
        return other

    def lines(self, record: logging.LogRecord) -> list[str]:
        record.message = escape(self._mask(record.getMessage()))
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        return [self.formatMessage(record), *(f"    {line}" for line in self.traceback(record))]

    def traceback(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of the record's traceback and stack; empty if it has none."""
        # Do not use record.exc_text: another formatter may have left an unmasked traceback there.
        texts = (self.formatException(record.exc_info) if record.exc_info else "", record.stack_info or "")
        return [escape(line) for text in texts if text for line in self._mask(text).split("\n")]

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """Return the record's ``event``, and ``task`` and ``camera`` where it has them, without secrets."""
        return {name: escape(self._mask(value)) for name, value in fields_of(record).items()}

    def _mask(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        # Errors of libraries repeat URLs. The query of a callback URL is a secret that `secrets` cannot contain.
        return _QUERY.sub(rf"\1{_MASK}", text)


def _longest_first(secrets: Iterable[str]) -> list[str]:
    return sorted({secret for secret in secrets if secret}, key=len, reverse=True)


class JournalFormatter(SafeFormatter):
    """Put its priority before each line, which journald removes. journald adds the time."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return _with_event(super().formatMessage(record), record)

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"<{priority_of(record)}>{line}" for line in self.lines(record))


def priority_of(record: logging.LogRecord) -> int:
    """Return the syslog priority of a record, from 2 (critical) to 7 (debug). See syslog(3)."""
    return next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)


def _with_event(line: str, record: logging.LogRecord) -> str:
    return f"{line} event={event_of(record)}"


class TerminalFormatter(SafeFormatter):
    """Format for a person who started the daemon in a terminal."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return _with_event(super().formatMessage(record), record)

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(self.lines(record))


class JsonFormatter(SafeFormatter):
    """Format a record as one line with a JSON object, for programs that collect logs.

    ``time`` is ISO 8601 in UTC, ``level`` as in the setting log.level. ``task``, ``camera``, ``traceback`` (a list of
    lines) and ``repeated`` (how many lines this one sums up) are there only if the record has them.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return self.lines(record)[0]

    def lines(self, record: logging.LogRecord) -> list[str]:
        (message, *_), traceback = super().lines(record), self.traceback(record)
        item: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self.fields(record),
            "message": message,
        }
        if traceback:
            item["traceback"] = traceback
        if (repeated := repeats_of(record)) is not None:
            item["repeated"] = repeated
        return [json.dumps(item, ensure_ascii=False)]


class JournalHandler(logging.StreamHandler[TextIO]):
    """Sends each record to the journal with its fields; to stderr if the journal's socket does not take it."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        super().__init__(sys.stderr)
        self._journal = Journal(path)

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(self.formatter, SafeFormatter)
        try:
            fields = {name.upper(): value for name, value in self.formatter.fields(record).items()}
            self._journal.send("\n".join(self.formatter.lines(record)), priority_of(record), record.name, fields)
        except OSError:
            super().emit(record)
        except Exception:  # noqa: BLE001  # as logging's own handlers do
            self.handleError(record)


def warn_of_each(log: logging.Logger, task_id: str, lines: Sequence[str]) -> None:
    """Log a warning for each of `lines` about one event. Beyond `MAX_LINES_PER_EVENT`, log only their number."""
    for line in lines[:MAX_LINES_PER_EVENT]:
        log.warning("task=%s %s", task_id, escape(line), extra=about("event_remark", task=task_id))
    if len(lines) > MAX_LINES_PER_EVENT:
        log.warning(
            "task=%s and %s",
            task_id,
            plural(len(lines) - MAX_LINES_PER_EVENT, "more such line"),
            extra=about("event_remark", task=task_id),
        )


def escape(text: str) -> str:
    """Escape unprintable characters (line ends, escapes, direction marks, lone surrogates) as ``\\n``, ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("unexpected error", exc_info=(kind, error, traceback), extra=about("unexpected_error"))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread else "?"
        log.critical("unexpected error in thread %s", name, exc_info=args.exc_value, extra=about("unexpected_error"))

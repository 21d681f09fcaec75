"""Write log records to stderr, one line a record, in the form for journald or for a terminal. Mask secrets."""

import copy
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

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


def setup_logging(level: str, secrets: Iterable[str]) -> None:
    """Send all log records of `level` ("debug", "info", ...) and above to stderr, and mask `secrets`.

    On a terminal, lines have the time and the level; otherwise journald's priority. Uncaught exceptions and warnings
    are logged, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(secrets))
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
        lines = [self.formatMessage(record)]
        if record.exc_info:
            # Do not use record.exc_text: another formatter may have left an unmasked traceback there.
            lines += self._indented(self.formatException(record.exc_info))
        if record.stack_info:
            lines += self._indented(record.stack_info)
        return lines

    def _indented(self, text: str) -> list[str]:
        return [f"    {escape(line)}" for line in self._mask(text).split("\n")]

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

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        return "\n".join(f"<{priority}>{line}" for line in self.lines(record))


class TerminalFormatter(SafeFormatter):
    """Format for a person who started the daemon in a terminal."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(self.lines(record))


def warn_of_each(log: logging.Logger, task_id: str, lines: Sequence[str]) -> None:
    """Log a warning for each of `lines` about one event. Beyond `MAX_LINES_PER_EVENT`, log only their number."""
    for line in lines[:MAX_LINES_PER_EVENT]:
        log.warning("task=%s %s", task_id, escape(line))
    if len(lines) > MAX_LINES_PER_EVENT:
        log.warning("task=%s and %s", task_id, plural(len(lines) - MAX_LINES_PER_EVENT, "more such line"))


def escape(text: str) -> str:
    """Escape unprintable characters (line ends, escapes, direction marks, lone surrogates) as ``\\n``, ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("unexpected error", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread else "?"
        log.critical("unexpected error in thread %s", name, exc_info=args.exc_value)

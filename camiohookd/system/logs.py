"""Log records on stderr: one line a record, with journald's priority or for a terminal, secrets masked."""

import copy
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

log = logging.getLogger("camiohookd.daemon")

MAX_LINES_PER_EVENT = 20

_MASK = "***"


_ERROR_PRIORITY = 3


_PRIORITIES = (  # a level and the syslog priority of it and what lies between it and the one before
    (logging.CRITICAL, 2),
    (logging.ERROR, _ERROR_PRIORITY),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


_DEBUG_PRIORITY = 7


_QUERY = re.compile(r"(/[^\s?'\"<>]*\?)[^\s'\"<>]+")  # of a URL, or of what follows its host


def setup_logging(level: str, secrets: Iterable[str]) -> None:
    """Sends all log records of `level` ("debug", "info", ...) and over to stderr, `secrets` masked.

    On a terminal with the time and the level, else with journald's priority. Uncaught exceptions and warnings go the
    same way.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def change_logging(level: str, secrets: Iterable[str]) -> None:
    """From now on this level, and these secrets masked as well as those before; no record is lost meanwhile."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler.formatter, SafeFormatter):
            handler.setFormatter(handler.formatter.hiding(secrets))
    root.setLevel(level.upper())


def _formatter(secrets: Iterable[str]) -> "SafeFormatter":
    return TerminalFormatter(secrets) if sys.stderr.isatty() else JournalFormatter(secrets)


def complaint(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """`text` for stderr from who has no log yet: each line with an error's priority where systemd takes stderr."""
    if "JOURNAL_STREAM" not in environ or sys.stderr.isatty():
        return text
    return "\n".join(f"<{_ERROR_PRIORITY}>{line}" for line in text.split("\n"))


class SafeFormatter(logging.Formatter):
    """One record as lines that hold no secret, no URL's query and no control character; the message is always the first
    alone."""

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
            # Never from record.exc_text: another formatter may have left an unmasked traceback there.
            lines += self._indented(self.formatException(record.exc_info))
        if record.stack_info:
            lines += self._indented(record.stack_info)
        return lines

    def _indented(self, text: str) -> list[str]:
        return [f"    {escape(line)}" for line in self._mask(text).split("\n")]

    def _mask(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        # Errors of libraries repeat URLs, and the query of a callback's is a secret that nobody knows beforehand.
        return _QUERY.sub(rf"\1{_MASK}", text)


def _longest_first(secrets: Iterable[str]) -> list[str]:
    return sorted({secret for secret in secrets if secret}, key=len, reverse=True)


class JournalFormatter(SafeFormatter):
    """Each line with its priority, which journald takes off again; the time is journald's business."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        return "\n".join(f"<{priority}>{line}" for line in self.lines(record))


class TerminalFormatter(SafeFormatter):
    """For a person who started the daemon by hand."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(secrets, "%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(self.lines(record))


def warn_of_each(log: logging.Logger, task_id: str, lines: Sequence[str]) -> None:
    """Log a warning for each of `lines` about one event, and beyond `MAX_LINES_PER_EVENT` only how many more."""
    for line in lines[:MAX_LINES_PER_EVENT]:
        log.warning("task=%s %s", task_id, escape(line))
    if len(lines) > MAX_LINES_PER_EVENT:
        log.warning("task=%s and %d more such lines", task_id, len(lines) - MAX_LINES_PER_EVENT)


def escape(text: str) -> str:
    """`text` with what does not print (line ends, escapes, direction marks, lone surrogates) as ``\\n``, ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("an error that should not happen", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread else "?"
        log.critical("an error that should not happen, in thread %s", name, exc_info=args.exc_value)

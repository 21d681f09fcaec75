"""How the daemon talks to systemd: log lines with a priority for journald, and notices of its state.

A log record → one line (its traceback: lines of their own, indented), the secrets in it masked and control
characters escaped, so that nothing from outside can forge a line → stderr. Formats: sd-daemon(3), sd_notify(3).
"""

import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

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
_FIRST_KEPT = 3  # the number of the first file that systemd hands over

log = logging.getLogger("camiohookd.daemon")


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
            handler.setFormatter(_formatter({*handler.formatter.secrets, *secrets}))
    root.setLevel(level.upper())


def _formatter(secrets: Iterable[str]) -> "SafeFormatter":
    return TerminalFormatter(secrets) if sys.stderr.isatty() else JournalFormatter(secrets)


def complaint(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """`text` for stderr from who has no log yet: each line with an error's priority where systemd takes stderr."""
    if "JOURNAL_STREAM" not in environ or sys.stderr.isatty():
        return text
    return "\n".join(f"<{_ERROR_PRIORITY}>{line}" for line in text.split("\n"))


def notify(state: str, environ: Mapping[str, str] = os.environ, files: Sequence[int] = ()) -> None:
    """Tells systemd `state`, e.g. ``READY=1`` or ``STATUS=...``; does nothing where systemd does not ask for it.

    `files` are descriptors that go with it.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            socket.send_fds(sock, [state.encode()], files)
    except OSError as error:
        log.warning("systemd was not told %s: %s", state, error)


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a ``WATCHDOG=1``, None where it does not (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


def kept_sockets(environ: Mapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """The listening sockets that systemd has kept for this process, by name; to be called once (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    kept: dict[str, list[socket.socket]] = {}
    for number, name in enumerate(environ.get("LISTEN_FDNAMES", "").split(":")[: int(environ["LISTEN_FDS"])]):
        found = socket.socket(fileno=_FIRST_KEPT + number)
        found.set_inheritable(False)
        kept.setdefault(name, []).append(found)
    return kept


def keep_sockets(name: str, sockets: Sequence[socket.socket], environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd keep copies of `sockets` for the next run, as far as the unit lets it."""
    notify(f"FDSTORE=1\nFDNAME={name}", environ, [each.fileno() for each in sockets])


def forget_sockets(name: str, environ: Mapping[str, str] = os.environ) -> None:
    """Have systemd close its copies of those it keeps under `name`."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}", environ)


class SafeFormatter(logging.Formatter):
    """One record as lines that hold no secret, no URL's query and no control character; the message is always the first
    alone."""

    def __init__(self, secrets: Iterable[str], fmt: str) -> None:
        super().__init__(fmt, datefmt="%H:%M:%S")
        self.secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

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

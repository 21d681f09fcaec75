"""Log lines that an outsider can cause: how many, and what they look like."""

import logging
import time
from collections.abc import Callable

from camiohookd.web.server.answers import ErrorResponse

_LOGGED_LENGTH = 200

log = logging.getLogger("camiohookd.web")


class Throttle:
    """At most one warning of a kind in `seconds`; the next one says how many were left out.

    The kinds must be few: each is remembered.
    """

    def __init__(self, log: logging.Logger, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, message: str, *args: object) -> None:
        now = self._clock()
        if now < self._until.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._until[kind] = now + self._seconds
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            message += f"; {left_out} more like it since the last such line"
        self._log.warning(message, *args)


def log_refusal(throttle: Throttle, answer: ErrorResponse, peer: str, received: int) -> None:
    """Log that a request from `peer`, of whose body `received` bytes were read, got the error `answer`."""
    throttle.warning(
        answer.code,
        "refused status=%d code=%s from=%s bytes=%d: %s",
        answer.status,
        answer.code,
        printable(peer or "this machine"),
        received,
        printable(answer.message),
    )


class _Tornado(logging.Filter):
    """Lets through what Tornado calls an error; warnings, which outsiders cause, are throttled as ours are."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle(log)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return record.levelno > logging.WARNING
        self._throttle.warning(f"{record.module}:{record.lineno}", "a connection failed: %s", record.getMessage())
        return False


_tornado = _Tornado()


def quieten_tornado() -> None:
    """Let no outsider fill the log by way of Tornado.

    Below a warning it prints parts of malformed messages: one may hold the key, and scanners send thousands.
    """
    general = logging.getLogger("tornado.general")
    general.setLevel(logging.WARNING)
    general.addFilter(_tornado)  # a second time it does nothing


def printable(text: str) -> str:
    """`text` for a log line: whatever it holds, one line, and not a long one."""
    short = text if len(text) <= _LOGGED_LENGTH else text[: _LOGGED_LENGTH - 1] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short)

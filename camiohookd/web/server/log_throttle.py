"""Limits and escapes log lines that a client can cause."""

import logging
import time
from collections.abc import Callable

from camiohookd.system.log_fields import about
from camiohookd.web.server.error_responses import ErrorResponse

_LOGGED_LENGTH = 200

log = logging.getLogger("camiohookd.web")


class Throttle:
    """Logs at most one warning of each kind in `seconds`; the next one says how many were suppressed.

    There must be few kinds, since each is remembered.
    """

    def __init__(self, log: logging.Logger, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warning(self, kind: str, message: str, *args: object, event: str = "") -> None:
        """Log `message` unless a warning of this `kind` was logged less than `seconds` ago.

        `event` is the stable name of what happened, `kind` if it is not given.
        """
        now = self._clock()
        if now < self._until.get(kind, now):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._until[kind] = now + self._seconds
        suppressed = self._suppressed.pop(kind, 0)
        if suppressed:
            message += f"; {suppressed} more of this kind since the last such line"
        self._log.warning(message, *args, extra=about(event or kind))


def log_refusal(throttle: Throttle, response: ErrorResponse, peer: str, received: int) -> None:
    """Log that a request from `peer` is refused with `response`, after `received` bytes of its body."""
    throttle.warning(
        response.code,
        "refused status=%d code=%s from=%s bytes=%d: %s",
        response.status,
        response.code,
        printable(peer or "this machine"),
        received,
        printable(response.message),
        event="refused",
    )


class _Tornado(logging.Filter):
    """Passes Tornado's errors, and throttles its warnings, which clients cause, as our own."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle(log)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return record.levelno > logging.WARNING
        self._throttle.warning(
            f"{record.module}:{record.lineno}",
            "a connection failed: %s",
            record.getMessage(),
            event="connection_failed",
        )
        return False


_tornado = _Tornado()


def quieten_tornado() -> None:
    """Keep clients from filling the log through Tornado.

    Its lines below a warning contain parts of malformed messages, possibly the key, and scanners send thousands.
    """
    general = logging.getLogger("tornado.general")
    general.setLevel(logging.WARNING)
    general.addFilter(_tornado)  # adding it again has no effect


def printable(text: str) -> str:
    """Return `text` for a log line: shortened, with U+FFFD for each unprintable character."""
    short = text if len(text) <= _LOGGED_LENGTH else text[: _LOGGED_LENGTH - 1] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short)

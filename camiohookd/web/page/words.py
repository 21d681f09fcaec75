"""How the status page says numbers, times and causes. Pure functions; `moment` returns HTML, all others text."""

from datetime import UTC, datetime

from camiohookd.queue.task import Cause

_TITLES = {
    "wrong_password": "Wrong password",
    "too_many_wrong_passwords": "Too many wrong passwords",
    "forged_form": "The form was refused",
    "unknown_path": "There is no such page",
    "no_such_task": "There is no such event",
    "log_in": "Log in first",
    "foreign_host": "Not at this address",
}
_CAUSES = {
    Cause.EXPIRED: (
        "Not delivered in time",
        "Delivery was tried for as long as queue.max_age allows. If the callback's host works again, try them again.",
    ),
    Cause.POISON: (
        "Labeling killed the service",
        "The service ended each time while one of these was labeled. Export one and report it; trying again may end "
        "the service again.",
    ),
    Cause.NO_PICTURE: (
        "No usable picture",
        "None of the event's pictures could be read. Look at the reasons; images.formats and images.max_pixels may be "
        "too narrow.",
    ),
    Cause.LABELING: (
        "Labeling failed",
        "The labeler ended with an error. Mend your own code or the model, then try them again.",
    ),
    Cause.DAMAGED: (
        "Damaged on the disk",
        "What was stored does not match its checksum. Check the disk; trying again helps only if the pictures are "
        "whole.",
    ),
    Cause.REFUSED: (
        "The callback refused the labels",
        "Camio's answer says why. A callback URL is valid for some time only, so that trying again may be refused, "
        "too.",
    ),
    Cause.NOT_ALLOWED: (
        "The callback's host is not allowed",
        "If labels may go there, add the host to allow_hosts under [callback], reload the service, and try them again.",
    ),
    Cause.PROBABLY_DELIVERED: (
        "Probably delivered before a crash",
        "The callback refused the second delivery, as it does when it has the labels already. There is nothing to do.",
    ),
}
_LEVELS = {"warning": "warn", "error": "bad", "critical": "bad"}
_UNITS = (("days", 86400), ("h", 3600), ("min", 60))


def sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def error_title(code: str) -> str:
    """Return the headline for an error response of that code."""
    return _TITLES.get(code, "This did not work")


def cause(name: str) -> tuple[str, str]:
    """Return the title of a cause of failures, and what to do."""
    try:
        return _CAUSES[Cause(name)]
    except (ValueError, KeyError):
        return name, "Look at the reasons."


def level_status(level: str) -> str:
    """Return the status (ok, warn, bad or "") of a log level."""
    return _LEVELS.get(level.lower(), "")


def many(count: int, one: str, more: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def duration(seconds: float) -> str:
    """Return seconds in the unit that fits: ``40 ms``, ``3.2 s``, ``5 min``, ``2 h``, ``3 days``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size in _UNITS:
        if seconds >= 2 * size or (unit == "min" and seconds >= 100):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Return bytes in the decimal unit that fits."""
    for unit, bytes_of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= bytes_of:
            return f"{number / bytes_of:.1f} {unit}"
    return f"{number:.0f} B"


def moment(when: str | float) -> str:
    """Return HTML for a moment, ISO 8601 in UTC or seconds since 1970. Scripts write it in the browser's zone."""
    try:
        time = datetime.fromtimestamp(when, UTC) if isinstance(when, int | float) else datetime.fromisoformat(when)
    except (ValueError, OverflowError, OSError):
        return '<span class="nowrap">at an unknown time</span>'
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    iso = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time class="nowrap" datetime="{iso}">{time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")} UTC</time>'

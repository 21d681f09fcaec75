"""Write times, causes and errors for the status page. Pure functions; `moment` returns HTML, the others text."""

from datetime import UTC, datetime

from camiohookd.queue.task import Cause

_TITLES = {
    "wrong_password": "Wrong password",
    "too_many_wrong_passwords": "Too many wrong passwords",
    "forged_form": "The form was refused",
    "unknown_path": "There is no such page",
    "no_such_task": "There is no such event",
    "log_in": "Log in first",
    "foreign_host": "The page is not served at this address",
}
_CAUSES = {
    Cause.EXPIRED: (
        "Not delivered in time",
        "They were tried for as long as queue.max_age allows. Try them again when the callback's host works.",
    ),
    Cause.POISON: (
        "Labeling crashed the service",
        "The service crashed each time while it labeled one of these. Export one and report it; another try may crash "
        "the service again.",
    ),
    Cause.NO_PICTURE: (
        "No usable picture",
        "None of the event's pictures could be read. The reasons say why; images.formats or images.max_pixels may be "
        "too strict.",
    ),
    Cause.LABELING: (
        "Labeling failed",
        "The labeler raised an error. Correct your own code or the model, then try again.",
    ),
    Cause.DAMAGED: (
        "Damaged on the disk",
        "The data does not match its checksum. Check the disk. Another try helps only if the pictures are intact.",
    ),
    Cause.REFUSED: (
        "The callback refused the labels",
        "The reasons have Camio's answer. A callback URL expires, so another try may be refused, too.",
    ),
    Cause.NOT_ALLOWED: (
        "The callback's host is not allowed",
        "To allow it, add the host to allow_hosts under [callback], reload the service, and try again.",
    ),
    Cause.PROBABLY_DELIVERED: (
        "Probably delivered before a crash",
        "The callback refused a second delivery, probably because it has the labels already. There is nothing to do.",
    ),
}
_LEVELS = {"warning": "warn", "error": "bad", "critical": "bad"}


def sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def error_title(code: str) -> str:
    """Return the headline for an error response of that code."""
    return _TITLES.get(code, "The request failed")


def cause(name: str) -> tuple[str, str]:
    """Return a title for a cause of failures, and advice."""
    try:
        return _CAUSES[Cause(name)]
    except (ValueError, KeyError):
        return name, "The reasons say more."


def level_status(level: str) -> str:
    """Return the status (ok, warn, bad or "") of a log level."""
    return _LEVELS.get(level.lower(), "")


def moment(when: str | float) -> str:
    """Return HTML for a time (ISO 8601 or seconds since 1970), in UTC; a script converts it to the browser's zone."""
    try:
        time = datetime.fromtimestamp(when, UTC) if isinstance(when, int | float) else datetime.fromisoformat(when)
    except (ValueError, OverflowError, OSError):
        return '<span class="nowrap">at an unknown time</span>'
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    iso = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time class="nowrap" datetime="{iso}">{time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")} UTC</time>'

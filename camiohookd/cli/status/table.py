"""Write a `StatusReport` as lines for a terminal of 80 columns; times are shown in this machine's time zone."""

import textwrap
from collections.abc import Iterator
from datetime import datetime

from camiohookd.monitoring.status import QueueStatus, Spread, StatusReport
from camiohookd.system.logs import escape
from camiohookd.units import duration, plural, size

WIDTH = 80
_INDENT = 12
_SHOWN_ERRORS = 5
_SHOWN_CAMERAS = 15


def lines(report: StatusReport) -> list[str]:
    """Return the report as lines."""
    return [line[:WIDTH].rstrip() for line in _lines(report)]


def _lines(report: StatusReport) -> Iterator[str]:
    yield f"camiohookd {report.version}: {report.verdict}"
    for reason in report.reasons:
        yield from _wrapped("", reason, indent=2)
    if report.up_since is not None:
        yield from _running(report)
    if report.queue is not None:
        yield from _queue(report.queue)
    if report.up_since is not None:
        yield from _times(report)
        yield from _cameras(report)
        yield from _errors(report)


def _running(report: StatusReport) -> Iterator[str]:
    assert report.up_since is not None
    yield _row("up since", f"{_moment(report.up_since)} ({duration(report.up_seconds)})")
    yield from _wrapped("model", f"{report.model} on {report.device}{', degraded' if report.degraded else ''}")
    ago = "in the last hour" if report.up_seconds >= 3600 else "since the start"
    yield _row("events", f"{report.events_last_hour} accepted {ago}")


def _queue(queue: QueueStatus) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in queue.tasks.items())
    waits = f"; the oldest waits {duration(queue.oldest_seconds)}" if queue.oldest_seconds else ""
    yield from _wrapped("queue", f"{counts}{waits}")
    written = queue.written_bytes_per_event
    per_event = f"; {size(written)} written per event" if written else ""
    yield from _wrapped("disk", f"the queue takes {size(queue.stored_bytes)}, {size(queue.free_bytes)} free{per_event}")


def _times(report: StatusReport) -> Iterator[str]:
    yield ""
    yield f"{'':{_INDENT}}{'half within':>14}{'95 % within':>14}  of the last"
    yield _spread("wait", report.wait, "events")
    yield _spread("label", report.label, "events")
    yield _spread("delivery", report.delivery, "tries")


def _spread(name: str, spread: Spread | None, what: str) -> str:
    if spread is None:
        return f"{name:<{_INDENT}}{'-':>14}{'-':>14}"
    return f"{name:<{_INDENT}}{duration(spread.p50):>14}{duration(spread.p95):>14}  {spread.count} {what}"


def _cameras(report: StatusReport) -> Iterator[str]:
    if not report.cameras:
        return
    yield ""
    yield "last event of each camera"
    for event in report.cameras[:_SHOWN_CAMERAS]:
        camera = escape(event.camera) or "(no name)"
        yield f"  {_moment(event.time)}  {camera[:20]:<20}  {escape(event.labels)}"
    if len(report.cameras) > _SHOWN_CAMERAS:
        yield f"  and {plural(len(report.cameras) - _SHOWN_CAMERAS, 'more camera')}: see --json"


def _errors(report: StatusReport) -> Iterator[str]:
    yield ""
    yield "last warnings and errors" if report.errors else "no warnings and errors since the start"
    for error in report.errors[:_SHOWN_ERRORS]:
        times = f" ({error.count} times)" if error.count > 1 else ""
        yield from _wrapped("", f"{_moment(error.time)} {error.level}: {escape(error.text)}{times}", indent=2, most=3)
    if len(report.errors) > _SHOWN_ERRORS:
        yield "  earlier ones: journalctl -u camiohookd -p warning"


def _row(name: str, text: str) -> str:
    return f"{name:<{_INDENT}}{text}"


def _wrapped(name: str, text: str, *, indent: int = _INDENT, most: int | None = None) -> list[str]:
    """Return the text in at most `most` lines, with `name` before it; "..." marks text that was cut."""
    first = f"{name:<{indent}}"
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * (indent + (2 if indent < _INDENT else 0)),
        max_lines=most,
        placeholder=" ...",
    )


def _moment(time: str) -> str:
    """Return a time of the report in local time; without the date if it is today."""
    local = datetime.fromisoformat(time).astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")

"""Describe the results of a run: `SimulationResult`s in, lines of text out."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from camiohookd.camio.simulator.session import SimulationResult
from camiohookd.units import plural

BEST_LABELS = 4
PROBLEMS_SHOWN = 5
HEADER = ("event", "images", "answer", "ms to 200", "ms to labels", "labels")


def report(results: Sequence[SimulationResult], doubt: str | None, origin: str) -> Iterator[str]:
    """Return the table, the problems, and the summary with `doubt`; `origin` received the callbacks."""
    yield from _table([HEADER, *map(_row, results)])
    for result in results:
        yield from _problems(result)
    if any(map(_callback_refused, results)):
        yield ""
        yield from how_to_allow(origin)
    yield ""
    yield from _summary(results)
    if doubt:
        yield ""
        yield f"WRONG: {doubt}"


def how_to_allow(origin: str) -> Iterator[str]:
    """Return what to change so that the daemon may deliver to `origin`."""
    hosts = json.dumps(["camio.com", "*.camio.com", origin])
    yield "The daemon is not allowed to call this simulator back. Put this into its configuration and reload it:"
    yield ""
    yield "    [callback]"
    yield f"    allow_hosts = {hosts}"
    yield ""
    yield f"or start it with CAMIOHOOKD_CALLBACK_ALLOW_HOSTS='{hosts}';"
    yield f"then give this command --listen {origin.removeprefix('http://')}, so that its address stays the same."


def _row(result: SimulationResult) -> tuple[str, ...]:
    status = str(result.response.status) if result.response else "none"
    return (
        result.event_id,
        str(result.images),
        status if result.posts < 2 else f"{status} ({result.posts} posts)",
        _milliseconds(result.accepted_after),
        _milliseconds(result.labeled_after),
        _labels(result),
    )


def _labels(result: SimulationResult) -> str:
    if result.verdict is None:
        return "MISSING"
    if result.problems:
        return "INVALID"
    ranked = sorted(result.verdict.labels.items(), key=lambda item: -(item[1] or 0.0))
    best = [name if probability is None else f"{name} {probability:.2f}" for name, probability in ranked[:BEST_LABELS]]
    more = [f"and {len(ranked) - BEST_LABELS} more"] if len(ranked) > BEST_LABELS else []
    return ", ".join(best + more) or "nothing found"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for event, *numbers, labels in rows:
        right = [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
        yield "  ".join([event.ljust(widths[0]), *right, labels])


def _problems(result: SimulationResult) -> Iterator[str]:
    if not result.problems:
        return
    yield ""
    yield f"{result.event_id}:"
    yield from (f"  {problem}" for problem in result.problems[:PROBLEMS_SHOWN])
    if len(result.problems) > PROBLEMS_SHOWN:
        yield f"  and {len(result.problems) - PROBLEMS_SHOWN} more"


def _callback_refused(result: SimulationResult) -> bool:
    return result.response is not None and b"callback_not_allowed" in result.response.body


def _summary(results: Sequence[SimulationResult]) -> Iterator[str]:
    valid = [result for result in results if result.valid]
    yield f"{len(valid)} of {len(results)} events came back valid"
    yield _spread("200 after", (result.accepted_after for result in results))
    yield _spread("labels after", (result.labeled_after for result in results))
    forms = Counter(result.verdict.form for result in valid if result.verdict)
    if forms["event"]:
        yield f"{forms['event']} of the replies were in the older form, a flat list for the whole event"
    if repeated := sum(max(result.deliveries - 1, 0) for result in results):
        yield f"{plural(repeated, 'reply came', 'replies came')} once more, which the contract allows"


def _spread(what: str, times: Iterable[float | None]) -> str:
    known = [one for one in times if one is not None]
    if not known:
        return f"{what}: never"
    return f"{what} {_milliseconds(statistics.median(known))} ms (median), {_milliseconds(max(known))} ms (longest)"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"

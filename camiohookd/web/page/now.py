"""``/``: say whether the box works, and show the chain from Camio to Camio with live numbers.

`StatusReport` ─▶ `now_of` ─▶ `Now` ─▶ now.html, and `live_numbers` for the open pages
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from camiohookd.monitoring.status import CameraEvent, RecentError, StatusReport
from camiohookd.queue.task import State
from camiohookd.units import duration, plural, size
from camiohookd.web.page import words
from camiohookd.web.page.endpoint import PageEndpoint

_STATUS = {"works": "ok", "degraded": "warn", "draining": "warn"}
_VERDICTS = {
    "works": "It works",
    "degraded": "It works, with a restriction",
    "draining": "It takes no new events",
    "does not work": "It does not work",
}
_OLD_SECONDS = 600.0


class ChainNode(NamedTuple):
    """One node of the chain; `status` is ok, warn, bad or ""."""

    key: str
    title: str
    value: str
    note: str
    status: str


class ChainPlace(NamedTuple):
    """Where a node is drawn, in units of the SVG."""

    node: ChainNode
    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


class Layout(NamedTuple):
    """The chain as one SVG: ``wide`` for a desktop, ``tall`` for a phone. `arrows` are SVG paths."""

    name: str
    width: int
    height: int
    places: Sequence[ChainPlace]
    arrows: Sequence[str]


class Now(NamedTuple):
    """What the page shows. `facts` are names, keys for live updates, and values."""

    verdict: str
    status: str
    summary: str
    reasons: Sequence[str]
    layouts: Sequence[Layout]
    chain_in_words: str
    facts: Sequence[tuple[str, str, str]]
    cameras: Sequence[CameraEvent]
    errors: Sequence[RecentError]


class NowPage(PageEndpoint):
    """``/``."""

    async def show(self) -> None:
        self.show_page("now", now=now_of(self.page.sources.report()))


def now_of(report: StatusReport) -> Now:
    """Return what to show for `report`."""
    nodes = _chain(report)
    return Now(
        verdict=_VERDICTS.get(report.verdict, words.sentence(report.verdict)[:-1]),
        status=_STATUS.get(report.verdict, "bad"),
        summary=_summary(report),
        reasons=[words.sentence(reason) for reason in report.reasons],
        layouts=(_wide(nodes), _tall(nodes)),
        chain_in_words="; ".join(f"{node.title}: {node.value}, {node.note}" for node in nodes),
        facts=_facts(report),
        cameras=report.cameras[:8],
        errors=report.errors[:8],
    )


def live_numbers(now: Now) -> dict[str, Any]:
    """Return the texts, statuses and lists, by key, with which open pages replace the old ones."""
    nodes = [place.node for place in now.layouts[0].places]
    texts = {"verdict": now.verdict, "summary": now.summary}
    texts |= {f"{node.key}.value": node.value for node in nodes} | {f"{node.key}.note": node.note for node in nodes}
    texts |= {key: value for _, key, value in now.facts}
    status = {"verdict": now.status} | {node.key: node.status for node in nodes}
    return {"texts": texts, "status": status, "lists": {"reasons": list(now.reasons)}}


def _summary(report: StatusReport) -> str:
    queue = report.queue
    waiting = queue.tasks.get(State.PENDING, 0) + queue.tasks.get(State.LABELLED, 0) if queue else 0
    failed = queue.tasks.get(State.FAILED, 0) if queue else 0
    parts = [f"{plural(report.events_last_hour, 'event')} in the last hour", f"{waiting:,} waiting"]
    parts += [f"{failed:,} failed"] if failed else []
    return ", ".join(parts) + "."


def _chain(report: StatusReport) -> Sequence[ChainNode]:
    tasks = report.queue.tasks if report.queue else {}
    oldest = report.queue.oldest_seconds if report.queue else 0.0
    pending, labelled, done = (tasks.get(state, 0) for state in (State.PENDING, State.LABELLED, State.DONE))
    camio = {"does not work": "bad", "draining": "warn"}.get(report.verdict, "ok")
    label, is_old = report.label, oldest >= _OLD_SECONDS
    return (
        ChainNode("camio", "Camio sends", f"{report.events_last_hour:,}", "events in the last hour", camio),
        ChainNode(
            "queue",
            "Queue",
            f"{pending:,}",
            f"oldest {duration(oldest)}" if pending else "nothing waits",
            "warn" if pending and is_old else "ok",
        ),
        ChainNode(
            "model",
            "Model",
            duration(label.p50) if label else "idle",
            f"{'an event, ' if label else ''}on {report.device or 'an unknown device'}"[:34],
            "warn" if report.degraded else "ok",
        ),
        ChainNode(
            "labels",
            "Camio gets labels",
            f"{done:,}",
            f"delivered; {labelled:,} to send" if labelled else "delivered",
            "warn" if labelled and is_old else "ok",
        ),
    )


def _facts(report: StatusReport) -> Sequence[tuple[str, str, str]]:
    queue = report.queue
    facts = [
        ("Version", "version", report.version),
        ("Up for", "up", duration(report.up_seconds)),
        ("Model", "model_name", report.model or "own code"),
        ("Device", "device", f"{report.device or 'unknown'}{' (degraded)' if report.degraded else ''}"),
    ]
    spreads = (
        ("Wait", "wait", report.wait),
        ("Labeling", "label", report.label),
        ("Delivery", "send", report.delivery),
    )
    facts += [
        (name, key, f"half within {duration(each.p50)}, 95 % within {duration(each.p95)}")
        for name, key, each in spreads
        if each is not None
    ]
    if queue is not None:
        facts.append(("Disk", "disk", f"{size(queue.free_bytes)} free, {size(queue.stored_bytes)} used here"))
        if queue.written_bytes_per_event is not None:
            facts.append(("Written", "written", f"{size(queue.written_bytes_per_event)} an event"))
    return facts


def _wide(nodes: Sequence[ChainNode]) -> Layout:
    width, gap, height = 236, 72, 110
    places = [ChainPlace(node, 4 + each * (width + gap), 4, width, height) for each, node in enumerate(nodes)]
    arrows = [f"M{place.x + width + 8} {4 + height // 2}h{gap - 18}" for place in places[:-1]]
    return Layout("wide", 8 + len(nodes) * (width + gap) - gap, height + 8, places, arrows)


def _tall(nodes: Sequence[ChainNode]) -> Layout:
    width, gap, height = 300, 44, 106
    places = [ChainPlace(node, 4, 4 + each * (height + gap), width, height) for each, node in enumerate(nodes)]
    arrows = [f"M{4 + width // 2} {place.y + height + 8}v{gap - 18}" for place in places[:-1]]
    return Layout("tall", width + 8, 8 + len(nodes) * (height + gap) - gap, places, arrows)

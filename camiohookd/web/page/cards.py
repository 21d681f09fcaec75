"""Show an event as a card: a thumbnail with boxes, zones and labels, for the list and for live updates."""

from collections.abc import Mapping
from typing import NamedTuple

from camiohookd.monitoring.history.views import EventDetails, EventSummary, State
from camiohookd.web.page.drawing import Drawing, drawing
from camiohookd.web.page.endpoint import PageEndpoint

STATES: Mapping[State, tuple[str, str]] = {
    "labelled": ("on its way", ""),
    "delivered": ("delivered", "ok"),
    "failed": ("failed", "bad"),
    "dropped": ("dropped", "warn"),
    "unknown": ("unknown", "warn"),
}
"""Each state in words, and the status (ok, warn, bad or "") that gives it a color."""


class Card(NamedTuple):
    """The values of the template. `picture` is the address of the thumbnail, None if there is none."""

    summary: EventSummary
    state: str
    status: str
    labels: str
    picture: str | None
    drawing: Drawing | None


class Filter(NamedTuple):
    """Which events a page shows; None: any."""

    camera: str | None
    label: str | None
    state: State | None

    def allows(self, event: EventSummary) -> bool:
        """Return whether the page shows `event`."""
        return (
            (self.camera is None or (event.camera or "") == self.camera)
            and (self.label is None or any(name == self.label for name, _ in event.labels))
            and (self.state is None or event.state == self.state)
        )


def filter_of(endpoint: PageEndpoint) -> Filter:
    """Return the filter in the query of a page; an empty or unknown value allows everything."""
    given = {name: endpoint.parameter(name) for name in ("camera", "label", "state")}
    state = next((state for state in STATES if state == given["state"]), None)
    camera = given["camera"] or ("" if endpoint.parameter("unnamed") else None)
    return Filter(camera, given["label"] or None, state)


async def card_of(endpoint: PageEndpoint, task_id: str, chosen: Filter) -> bytes | None:
    """Return the card of an event as HTML; None if the event is not kept, or `chosen` does not allow it."""
    details = await endpoint.page.sources.history.event(int(task_id))
    return card_html(endpoint, details) if details is not None and chosen.allows(details.summary) else None


def card_html(endpoint: PageEndpoint, details: EventDetails) -> bytes:
    """Return the card of an event as HTML; it is the same for everyone who may see the page."""
    summary = details.summary
    drawn, address = None, None
    if summary.thumbnails:
        number = summary.thumbnails[0]
        address = thumbnail_address(summary.id, number)
        if number < len(details.pictures):
            drawn = drawing(details.pictures[number], details.rule, all_objects=False)
    words, status = STATES[summary.state]
    card = Card(summary, words, status, labels_in_words(summary), address, drawn)
    return endpoint.page_template("card", card=card)


def labels_in_words(summary: EventSummary) -> str:
    """Return the labels of an event with their probabilities."""
    return ", ".join(f"{name} {probability:.2f}" for name, probability in summary.labels) or "nothing"


def thumbnail_address(task_id: str, number: int) -> str:
    """Return the path of a thumbnail."""
    return f"/events/{task_id}/pictures/{number}.jpg"

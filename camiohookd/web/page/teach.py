"""``/cameras/teach``: choose pictures of a camera, name what they show, and teach it."""

from typing import NamedTuple
from urllib.parse import quote

from camiohookd.labelers.taught.places import TaughtError, check_name
from camiohookd.monitoring.history.views import EventSummary
from camiohookd.web.page.cameras import chosen_camera
from camiohookd.web.page.cards import thumbnail_address
from camiohookd.web.page.endpoint import Form, PageEndpoint
from camiohookd.web.server.error_responses import ErrorResponse, Refused

EVENTS = 60
"""The last events of the camera to choose from."""

LABELS = 4
REFRESH_SECONDS = 2
PATH = "/cameras/teach"


class Choice(NamedTuple):
    """An event to choose, and the address of its first kept picture."""

    event: EventSummary
    picture: str


class TeachPage(PageEndpoint):
    """``/cameras/teach?camera=NAME``; while something is being taught, the browser asks again by itself."""

    methods = ("GET", "HEAD", "POST")

    async def show(self) -> None:
        history, view = self.page.sources.history, await chosen_camera(self)
        name = view.name
        found = await history.events(camera=name, label=None, state=None, before=None, limit=EVENTS)
        result = self.page.sources.teaching.latest()
        if result is not None and result.succeeded is None:
            self.set_header("Refresh", str(REFRESH_SECONDS))
        self.show_page(
            "teach",
            camera=name,
            result=result,
            zones=[zone.name for zone in self.page.sources.rule_for(name).zone],
            kinds=[label for label, _ in view.usual],
            labels=range(1, LABELS + 1),
            choices=[
                Choice(each, thumbnail_address(each.id, each.thumbnails[0])) for each in found.events if each.thumbnails
            ],
        )

    async def act(self, form: Form) -> None:
        camera, name = form.get("camera", ""), form.get("name", "").strip()
        try:
            check_name(name)
        except TaughtError as error:
            raise Refused(ErrorResponse(400, "bad_name", str(error), "name")) from None
        self.page.sources.teaching.start(name, arguments(camera, form))
        self.go_to(f"{PATH}?camera={quote(camera, safe='')}")


def arguments(camera: str, form: Form) -> list[str]:
    """Return the arguments of ``camiohookd teach`` for a form. No value can be taken for an option."""
    kind, _, subject = form.get("subject", "").partition(":")
    made = [f"--zone={camera}:{subject}" if kind == "zone" else f"--on={subject}"]
    made.append(f"--report={form.get('report', 'state')}")
    if form.get("anyway"):
        made.append("--anyway")
    if form.get("no-pictures"):
        made.append("--no-pictures")
    for nth in range(1, LABELS + 1):
        chosen = [key for key, value in form.items() if key.startswith("event-") and value == str(nth)]
        if chosen:
            made.append(f"--label={form.get(f'label-{nth}', '').strip()}")
            made += [f"--event={key.removeprefix('event-')}" for key in chosen]
    return made

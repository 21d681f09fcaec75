"""``/events``: show the latest events as cards, by camera, label and state; and serve their thumbnails."""

from urllib.parse import urlencode

from camiohookd.web.page.cards import STATES, card_of, filter_of
from camiohookd.web.page.endpoint import PageEndpoint
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused

PAGE = 24
MOST_LIVE = 48
"""The most cards on a page with live updates."""

_IMAGE_SECONDS = 3600


class EventsPage(PageEndpoint):
    """``/events?camera=...&label=...&state=...&before=ID``."""

    async def show(self) -> None:
        chosen = filter_of(self)
        before = self.parameter("before")
        history = self.page.sources.history
        found = await history.events(
            camera=chosen.camera,
            label=chosen.label,
            state=chosen.state,
            before=int(before) if before.isdecimal() and len(before) < 20 else None,
            limit=PAGE,
        )
        cards = [await card_of(self, event.id, chosen) for event in found.events]
        cameras = await history.cameras()
        query = {name: value for name, value in chosen._asdict().items() if value is not None}
        self.show_page(
            "events",
            cards=[card for card in cards if card is not None],
            chosen=chosen,
            states=STATES,
            cameras=[camera.name for camera in cameras],
            labels=sorted({name for camera in cameras for name, _ in camera.usual}),
            next=f"/events?{urlencode({**query, 'before': found.next})}" if found.next else None,
            is_first=not before,
            most=MOST_LIVE,
        )


class Thumbnail(PageEndpoint):
    """``/events/ID/pictures/NUMBER.jpg``: at most 640 pixels wide and high."""

    async def show(self) -> None:
        _, _, task_id, _, name = self.request.path.split("/")
        jpeg = await self.page.sources.history.thumbnail(int(task_id), int(name.removesuffix(".jpg")))
        if jpeg is None:
            raise Refused(error_responses.UNKNOWN_PATH)
        self.set_header("Content-Type", "image/jpeg")
        self.set_header("Cache-Control", f"private, max-age={_IMAGE_SECONDS}")
        self.write(jpeg)

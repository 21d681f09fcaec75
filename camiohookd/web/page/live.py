"""``/live``: send changes to open pages, as server-sent events (WHATWG HTML, section 9.2).

`Feed` ─▶ a `Watcher` for each open page ─▶ ``event: numbers``, or ``event: card`` for the list of events
"""

import time
from functools import partial
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError

from camiohookd.monitoring.history.views import EventDetails
from camiohookd.web.page.cards import Filter, card_html, filter_of
from camiohookd.web.page.endpoint import PageEndpoint
from camiohookd.web.page.feed import KEEP_ALIVE_SECONDS, LOOK_SECONDS, Watcher


class Live(PageEndpoint):
    """``/live?page=now`` and ``/live?page=events&camera=...``."""

    async def show(self) -> None:
        is_list, chosen = self.parameter("page") == "events", filter_of(self)
        self._watcher = watcher = self.page.feed.enter()
        self.set_header("Content-Type", "text/event-stream")
        try:
            self.write(f"retry: {int(LOOK_SECONDS * 1000)}\n\n")
            await self.flush()
            while not watcher.ended and self.page.access.is_logged_in(self.session):
                began = time.monotonic()
                await watcher.wait()
                sent = await self._send_cards(watcher, chosen) if is_list else self._send_numbers(watcher)
                if not sent and time.monotonic() - began >= KEEP_ALIVE_SECONDS:
                    self.write(": still here\n\n")
                await self.flush()
        except StreamClosedError:
            pass  # the page was closed
        finally:
            self.page.feed.leave(watcher)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if (watcher := getattr(self, "_watcher", None)) is not None:
            watcher.end()

    def _send_numbers(self, watcher: Watcher) -> bool:
        numbers, watcher.numbers = watcher.numbers, {}
        if numbers:
            self._send("numbers", numbers)
        return bool(numbers)

    async def _send_cards(self, watcher: Watcher, chosen: Filter) -> bool:
        changed, watcher.changed = watcher.changed, {}
        for task_id in changed:
            read = partial(self.page.sources.history.event, int(task_id))
            details = await self.page.feed.once(f"event {task_id}", read)
            if details is not None and chosen.allows(details.summary):
                html = await self.page.feed.once(f"card {task_id}", partial(self._card, details))
                self._send("card", {"id": task_id, "html": html})
        return bool(changed)

    async def _card(self, details: EventDetails) -> str:
        return card_html(self, details).decode()

    def _send(self, event: str, data: dict[str, Any]) -> None:
        self.write(b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data)))

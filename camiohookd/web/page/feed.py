"""Tell the open status pages what changes.

Everything is bounded: watchers, what waits for each, and how often changes are looked for. Belongs to the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from camiohookd.system.log_fields import about
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused

MOST_WATCHERS = 8
LOOK_SECONDS = 2.0
BUSY_LOOK_SECONDS = 5.0
"""The pause while events wait to be labeled, because a card takes several milliseconds of a core."""

KEEP_ALIVE_SECONDS = 20.0
MOST_CARDS = 6
"""The most changed events, newest first, that are sent at a time."""

BUSY_MOST_CARDS = 2

Made = TypeVar("Made")

log = logging.getLogger("camiohookd.web")


class Watcher:
    """One open page. Newer data replaces what it has not taken yet."""

    def __init__(self) -> None:
        self.numbers: dict[str, Any] | None = None
        self.changed: dict[str, None] = {}
        self.ended = False
        self._something = asyncio.Event()

    def tell_numbers(self, numbers: dict[str, Any]) -> None:
        self.numbers = numbers
        self._something.set()

    def tell_changed(self, ids: list[str]) -> None:
        for task_id in ids:
            self.changed.pop(task_id, None)
            self.changed[task_id] = None
        while len(self.changed) > MOST_CARDS:
            del self.changed[next(iter(self.changed))]
        self._something.set()

    def end(self) -> None:
        """Send nothing more: the page is closed."""
        self.ended = True
        self._something.set()

    async def wait(self) -> None:
        """Return when there is something to send, or after `KEEP_ALIVE_SECONDS`."""
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                await self._something.wait()
        except TimeoutError:
            return
        self._something.clear()


class Feed:
    """Tells the open pages what changes.

    `numbers` returns the numbers of the first page. `is_busy` says whether events wait to be labeled.
    """

    def __init__(self, numbers: Callable[[], dict[str, Any]], is_busy: Callable[[], bool] = lambda: False) -> None:
        self._numbers = numbers
        self._is_busy = is_busy
        self._watchers: dict[Watcher, None] = {}
        self._changed: dict[str, None] = {}
        self._made: dict[str, asyncio.Task[Any]] = {}
        self._looking: asyncio.Task[None] | None = None

    def enter(self) -> Watcher:
        """Return a new watcher. Raises `Refused` if there are too many."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise Refused(error_responses.TOO_MANY_LIVE)
        watcher = Watcher()
        self._watchers[watcher] = None
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Remove `watcher`."""
        self._watchers.pop(watcher, None)

    async def once(self, key: str, make: Callable[[], Coroutine[Any, Any, Made]]) -> Made:
        """Return what `make` returns. Until events change again, all who ask for `key` share one call."""
        if key not in self._made:
            self._made[key] = asyncio.create_task(make())
        made: Made = await asyncio.shield(self._made[key])
        return made

    def event_changed(self, task_id: str) -> None:
        """Note that an event has changed; do nothing if no page is open."""
        if self._watchers:
            self._changed.pop(task_id, None)
            self._changed[task_id] = None
            if len(self._changed) > MOST_CARDS:
                del self._changed[next(iter(self._changed))]

    async def _look(self) -> None:
        before: dict[str, Any] | None = None
        while self._watchers:
            is_busy = self._is_busy()
            changed, self._changed = list(self._changed)[-BUSY_MOST_CARDS if is_busy else 0 :], {}
            if changed:
                self._made = {}
            try:
                numbers = self._numbers()
            except Exception:
                log.exception(
                    "unexpected error while reading the numbers of the status page: open pages get no updates",
                    extra=about("page_feed_failed"),
                )
                return
            for watcher in self._watchers:
                if numbers != before or watcher.numbers is None:
                    watcher.tell_numbers(numbers)
                if changed:
                    watcher.tell_changed(changed)
            before = numbers
            await asyncio.sleep(BUSY_LOOK_SECONDS if is_busy else LOOK_SECONDS)

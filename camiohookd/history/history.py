"""Remembers what happens to events, and answers the status page. One thread does all that blocks.

Activity ─▶ `_hear` ─▶ thread: `Archive`
               └─ files of pictures ─▶ `WaitingPictures` ─▶ thread, within a budget of time: thumbnails
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from camiohookd.activity import Activity, EventLabelled, LabelledPicture, Occurrence
from camiohookd.config.rule import Rule
from camiohookd.errors import CamiohookdError, StoreUnavailable
from camiohookd.history import records
from camiohookd.history.archive import Archive
from camiohookd.history.records import Step
from camiohookd.history.thumbnails import Make, ThumbnailMaker
from camiohookd.history.trends import Sample
from camiohookd.history.views import (
    CameraView,
    EventDetails,
    EventPage,
    RecentDetection,
    Replay,
    Span,
    State,
    Trends,
)

SAMPLE_SECONDS = 10.0
REMEMBER_SECONDS = 0.2
"""How long occurrences are gathered: the thread is not woken for each."""

MOST_HEARD = 2000
"""Occurrences that wait for the disk; more are not remembered."""

Result = TypeVar("Result")

log = logging.getLogger("camiohookd.history")


class History:
    """Remembers what happens from `start` to `close`. Belongs to the event loop.

    `open_archive` is called on the thread, and may raise OSError: then nothing is remembered, and every question raises
    StoreUnavailable. `keeps_events` says whether events and thumbnails are kept, or only numbers.

    `busy` says whether events wait to be labelled, so that thumbnails have to stand back. `sample` returns the state
    for the trends. `settled` returns what has become of events by now, by their ids: see `Archive.settle`.
    """

    def __init__(
        self,
        open_archive: Callable[[], Archive],
        make: Make,
        *,
        keeps_events: bool,
        busy: Callable[[], bool],
        sample: Callable[[], Sample],
        settled: Callable[[list[int]], Awaitable[Mapping[int, Step | None]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_archive = open_archive
        self._archive: Archive | None = None  # belongs to the thread
        self._keeps_events = keeps_events
        self._sample = sample
        self._settled = settled
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "history")
        self._heard: list[tuple[Occurrence, float]] = []  # and when; not remembered yet
        self._remembering: set[asyncio.Future[None]] = set()
        self._soon: asyncio.TimerHandle | None = None
        self._thumbnails = ThumbnailMaker(
            self._thread,
            make,
            self._keep_thumbnail,
            busy=busy,
            all_remembered=self._all_remembered,
            made=lambda task_id: self._changed(str(task_id)),
        )
        self._keeping: asyncio.Task[None] | None = None
        self._watchers: dict[Callable[[str], None], None] = {}
        self._stop_hearing: Callable[[], None] = lambda: None

    def start(self, activity: Activity) -> None:
        """Remember from now on."""
        self._loop.run_in_executor(self._thread, self._open)
        least = records.LEAST_PROBABILITY if self._keeps_events else 1.0
        self._stop_hearing = activity.subscribe(self._hear, least)
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Leave everything on the disk."""
        self._stop_hearing()
        self._thumbnails.close()
        if self._keeping is not None:
            self._keeping.cancel()
        await self._all_remembered()
        with suppress(StoreUnavailable):
            await self._ask(Archive.close)
        self._thread.shutdown(wait=False)

    def watch(self, watcher: Callable[[str], None]) -> Callable[[], None]:
        """Call `watcher` with the id of each event that changes, on the event loop; the result ends that.

        It is called when an event is labelled, when something happens to it, and for each thumbnail that is made.
        """
        self._watchers[watcher] = None
        return lambda: self._watchers.pop(watcher, None)

    # Answers

    async def events(
        self,
        *,
        camera: str | None = None,
        label: str | None = None,
        state: State | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> EventPage:
        """Return the last events, newest first: of one camera ("" is that without a name), with one label, in one
        state; those that were labelled before the event `before`."""
        return await self._ask(
            lambda archive: archive.reader.events(camera=camera, label=label, state=state, before=before, limit=limit)
        )

    async def event(self, task_id: int) -> EventDetails | None:
        """Return an event in full; None if it is not remembered."""
        return await self._ask(lambda archive: archive.reader.event(task_id))

    async def thumbnail(self, task_id: int, picture: int) -> bytes | None:
        """Return the thumbnail of a picture, a JPEG; None if there is none."""
        return await self._ask(lambda archive: archive.reader.thumbnail(task_id, picture))

    async def cameras(self) -> tuple[CameraView, ...]:
        """Return the cameras, by name."""
        now = self._clock()
        return await self._ask(lambda archive: archive.reader.cameras(now))

    async def detections(self, camera: str, limit: int = 50) -> tuple[RecentDetection, ...]:
        """Return the last objects with a box that were found in a camera's pictures, for the zone editor."""
        return await self._ask(lambda archive: archive.reader.detections(camera, limit))

    async def trends(self, span: Span) -> Trends:
        """Return the numbers of the last hour, day or week."""
        now = self._clock()
        return await self._ask(lambda archive: archive.trends.read(span, now))

    async def replay(self, task_id: int, rule: Rule) -> Replay | None:
        """Return what `rule` would send for an event; None if that is not remembered. Nothing is sent."""
        return await self._ask(lambda archive: archive.reader.replay(task_id, rule))

    async def _ask(self, question: Callable[[Archive], Result]) -> Result:
        self._remember()  # before the question is answered: the thread does one after the other
        return await self._loop.run_in_executor(self._thread, self._answer, question)

    # On the thread

    def _open(self) -> None:
        try:
            self._archive = self._open_archive()
        except OSError as error:
            log.error("cannot keep events for the status page: %s", error)

    def _answer(self, question: Callable[[Archive], Result]) -> Result:
        if self._archive is None:
            raise StoreUnavailable("the history cannot be read, see the log at the start of the service")
        return question(self._archive)

    def _keep_thumbnail(self, task_id: int, picture: int, jpeg: bytes) -> None:
        if self._archive is not None:
            self._archive.keep_thumbnail(task_id, picture, jpeg)

    # Remembering

    def _hear(self, occurrence: Occurrence) -> None:
        if len(self._heard) >= MOST_HEARD:
            log.debug("the disk is too slow: event %s is not remembered in full", occurrence.task_id)
            return
        if isinstance(occurrence, EventLabelled):
            if self._keeps_events:
                self._thumbnails.plan(occurrence)
            pictures = tuple(LabelledPicture(each.labels, b"") for each in occurrence.pictures)
            occurrence = replace(occurrence, pictures=pictures)  # no file waits for the disk
        self._heard.append((occurrence, self._clock()))
        if self._soon is None:
            self._remember_soon()

    def _remember_soon(self) -> None:
        self._soon = self._loop.call_later(REMEMBER_SECONDS, self._remember_unless_busy)

    def _remember_unless_busy(self) -> None:
        self._soon = None
        if not self._remembering:  # else it goes on when that is done, so that little waits for a disk that hangs
            self._remember()

    def _remember(self) -> None:
        """Let the thread remember what was heard."""
        if self._heard:
            heard, self._heard = self._heard, []
            done = self._loop.run_in_executor(self._thread, self._take_in, heard)
            self._remembering.add(done)
            done.add_done_callback(partial(self._remembered, heard))

    async def _all_remembered(self) -> None:
        """Return when nothing is heard that is not remembered."""
        while self._heard or self._remembering:
            self._remember()
            await asyncio.wait(self._remembering)

    def _take_in(self, heard: Sequence[tuple[Occurrence, float]]) -> None:
        """On the thread."""
        archive = self._archive
        if archive is None:
            return
        for occurrence, at in heard:
            try:
                archive.take_in(occurrence, at)
            except Exception:
                log.exception("unexpected error while event %s was remembered", occurrence.task_id)

    def _remembered(self, heard: Sequence[tuple[Occurrence, float]], done: "asyncio.Future[None]") -> None:
        self._remembering.discard(done)
        for task_id in dict.fromkeys(occurrence.task_id for occurrence, _ in heard):
            self._changed(task_id)
        if self._heard and self._soon is None:
            self._remember_soon()

    def _changed(self, task_id: str) -> None:
        for watcher in list(self._watchers):
            watcher(task_id)

    async def _keep(self) -> None:
        """Correct what a crash left behind, then note the state again and again."""
        try:
            known = await self._settled(await self._ask(Archive.unsettled))
            await self._ask(lambda archive: archive.settle(known))
            while True:
                await self._tick()
                await asyncio.sleep(SAMPLE_SECONDS)
        except CamiohookdError as error:
            log.debug("nothing is noted any more: %s", error)
        except Exception:
            log.exception("unexpected error while the state was noted for the status page; nothing is noted any more")

    async def _tick(self) -> None:
        now, state = self._clock(), self._sample()
        await self._ask(lambda archive: archive.tick(now, state))

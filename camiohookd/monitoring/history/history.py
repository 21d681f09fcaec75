"""Record what happens to events, and answer the status page.

Activity ─▶ `_hear` ─▶ `Gatherer` ─▶ `ArchiveThread`
               └─ files of pictures ─▶ `ThumbnailMaker` ─▶ the same thread, within a budget of time
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from camiohookd.config.rule import Rule
from camiohookd.errors import CamiohookdError, StoreUnavailable
from camiohookd.monitoring.activity import Activity, EventLabeled, LabeledPicture, Occurrence
from camiohookd.monitoring.history import records
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.archive_thread import ArchiveThread
from camiohookd.monitoring.history.gatherer import Gatherer
from camiohookd.monitoring.history.records import Step
from camiohookd.monitoring.history.thumbnails import Make, ThumbnailMaker
from camiohookd.monitoring.history.trends import Sample
from camiohookd.monitoring.history.views import (
    CameraView,
    EventDetails,
    EventList,
    RecentDetection,
    Replay,
    Span,
    State,
    Trends,
)
from camiohookd.monitoring.history.waiting import WaitingPictures
from camiohookd.system.log_fields import about

SAMPLE_SECONDS = 10.0
CLOSE_SECONDS = 5.0

Result = TypeVar("Result")

log = logging.getLogger("camiohookd.history")


class History:
    """Records what happens from `start` to `close`. Belongs to the event loop.

    For `open_archive` see `ArchiveThread`. `keep` is the number of events that it keeps: with 0 only trends.
    `make` makes a thumbnail. `busy` says whether events wait to be labeled: then few thumbnails are made. `sample`
    returns the state for the trends. `settled` returns the last step of events by their ids: see `Archive.settle`.
    """

    def __init__(
        self,
        open_archive: Callable[[], Archive],
        make: Make,
        *,
        keep: int,
        busy: Callable[[], bool],
        sample: Callable[[], Sample],
        settled: Callable[[list[int]], Awaitable[Mapping[int, Step | None]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._thread = ArchiveThread(open_archive)
        self._keeps_events = keep > 0
        self._sample = sample
        self._settled = settled
        self._clock = clock
        self._gatherer = Gatherer(self._thread, self._changed)
        self._thumbnails = ThumbnailMaker(
            self._thread.pool,
            WaitingPictures(keep),
            make,
            self._keep_thumbnail,
            busy=busy,
            all_remembered=self._gatherer.all_remembered,
            made=lambda task_id: self._changed(str(task_id)),
        )
        self._keeping: asyncio.Task[None] | None = None
        self._watchers: dict[Callable[[str], None], None] = {}
        self._stop_hearing: Callable[[], None] = lambda: None

    def start(self, activity: Activity) -> None:
        """Open the archive, and record what happens from now on."""
        self._thread.start()
        least = records.LEAST_PROBABILITY if self._keeps_events else 1.0
        self._stop_hearing = activity.subscribe(self._hear, least)
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Write everything to the disk, for at most `CLOSE_SECONDS`, and stop recording."""
        self._stop_hearing()
        self._thumbnails.close()
        if self._keeping is not None:
            self._keeping.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gatherer.all_remembered()
                await self._ask(Archive.close)
        except StoreUnavailable:
            log.debug("there is no history to close", extra=about("history_not_kept"))
        except TimeoutError:
            log.warning(
                "the disk is too slow: the last events are not kept for the status page",
                extra=about("history_too_slow"),
            )
        self._thread.stop()

    @property
    def written(self) -> int:
        """Return the bytes written to the disk since the start."""
        return self._thread.written

    def watch(self, watcher: Callable[[str], None]) -> Callable[[], None]:
        """Call `watcher` on the event loop with the id of each event that changes; return a function that ends this.

        An event changes when it is labeled, when a step is recorded, and with each thumbnail.
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
    ) -> EventList:
        """Return at most `limit` events, newest first.

        Only those of `camera` ("": without a name), with `label`, in `state`, and labeled before the event `before`.
        """
        return await self._ask(
            lambda archive: archive.reader.events(camera=camera, label=label, state=state, before=before, limit=limit)
        )

    async def event(self, task_id: int) -> EventDetails | None:
        """Return an event in full; None if it is not kept."""
        return await self._ask(lambda archive: archive.reader.event(task_id))

    async def thumbnail(self, task_id: int, picture: int) -> bytes | None:
        """Return the thumbnail of a picture as a JPEG; None if there is none."""
        return await self._ask(lambda archive: archive.reader.thumbnail(task_id, picture))

    async def cameras(self) -> tuple[CameraView, ...]:
        """Return the cameras, by name."""
        now = self._clock()
        return await self._ask(lambda archive: archive.reader.cameras(now))

    async def detections(self, camera: str, limit: int = 50) -> tuple[RecentDetection, ...]:
        """Return the last `limit` objects with a box in a camera's pictures, for the zone editor."""
        return await self._ask(lambda archive: archive.reader.detections(camera, limit))

    async def trends(self, span: Span) -> Trends:
        """Return the numbers of the last hour, day or week."""
        now = self._clock()
        return await self._ask(lambda archive: archive.trends.read(span, now))

    async def replay(self, task_id: int, rule: Rule) -> Replay | None:
        """Return what `rule` would send for an event; None if the event is not kept. Send nothing."""
        return await self._ask(lambda archive: archive.reader.replay(task_id, rule))

    async def _ask(self, question: Callable[[Archive], Result]) -> Result:
        self._gatherer.remember()  # the thread works in order, so this comes before the answer
        return await self._thread.ask(question)

    # Recording

    def _hear(self, occurrence: Occurrence) -> None:
        if self._gatherer.is_full:
            log.debug(
                "the disk is too slow: event %s is not kept in full",
                occurrence.task_id,
                extra=about("history_too_slow", task=occurrence.task_id, camera=occurrence.camera),
            )
            return
        if isinstance(occurrence, EventLabeled):
            if self._keeps_events:
                self._thumbnails.plan(occurrence)
            pictures = tuple(LabeledPicture(each.labels, b"") for each in occurrence.pictures)
            occurrence = replace(occurrence, pictures=pictures)  # keep no file in memory until the disk has written it
        self._gatherer.add(occurrence, self._clock())

    def _keep_thumbnail(self, task_id: int, picture: int, jpeg: bytes) -> None:
        """Keep a thumbnail; called on the thread."""
        self._thread.do_here(lambda archive: archive.keep_thumbnail(task_id, picture, jpeg))

    def _changed(self, task_id: str) -> None:
        for watcher in list(self._watchers):
            watcher(task_id)

    async def _keep(self) -> None:
        """Correct the states of events after a crash, then record the state every `SAMPLE_SECONDS`."""
        try:
            known = await self._settled(await self._ask(Archive.unsettled))
            await self._ask(lambda archive: archive.settle(known))
            while True:
                await self._tick()
                await asyncio.sleep(SAMPLE_SECONDS)
        except CamiohookdError as error:
            log.debug("stopped recording the trends: %s", error, extra=about("trends_not_kept"))
        except Exception:
            log.exception(
                "unexpected error while recording the trends for the status page; they end here until a restart",
                extra=about("trends_not_kept"),
            )

    async def _tick(self) -> None:
        now, state = self._clock(), self._sample()
        await self._ask(lambda archive: archive.tick(now, state))

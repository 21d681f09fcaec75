"""Make the thumbnails of labeled events on the archive's thread, within budgets of time, memory and bytes.

event ─▶ `WaitingPictures` ─▶ (its turn, its time) ─▶ made and kept on the thread
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from camiohookd.errors import PictureError
from camiohookd.monitoring.activity import EventLabeled
from camiohookd.monitoring.history import records, waiting
from camiohookd.monitoring.history.waiting import Job, WaitingPictures
from camiohookd.monitoring.history.wear import WearBudget
from camiohookd.pictures.memory import NoRoom
from camiohookd.system.log_fields import about

SHARE = 0.005
"""The share of the process's processor time for thumbnails while events wait to be labeled."""

SHARE_OF_CORE = 0.003
"""The share of one core that thumbnails may always take: with a labeler in another process, this one is idle."""

QUIET_SECONDS = 0.3
"""How long after an event was labeled the next one is expected: until then thumbnails take their share only."""

LOOK_AGAIN_SECONDS = 0.1
NO_ROOM_SECONDS = 1.0

Make = Callable[[Job], bytes]
"""Makes a thumbnail. Raises PictureError, NoRoom."""

log = logging.getLogger("camiohookd.history")


class ThumbnailMaker:
    """Makes one thumbnail after the other of `pictures`. Belongs to the event loop.

    `make` and `keep` are called on `thread`.
    `keep(task_id, picture, jpeg)` keeps a thumbnail; then `made(task_id)` is called. While `busy` says that events wait
    to be labeled, thumbnails take only their share. `all_remembered` returns when `keep` knows all labeled events.
    """

    def __init__(
        self,
        thread: Executor,
        pictures: WaitingPictures,
        make: Make,
        keep: Callable[[int, int, bytes], None],
        *,
        busy: Callable[[], bool],
        all_remembered: Callable[[], Awaitable[None]],
        made: Callable[[int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._make = make
        self._keep = keep
        self._busy = busy
        self._all_remembered = all_remembered
        self._made = made
        self._waiting = pictures
        self._wear = WearBudget()
        self._quiet_from = 0.0  # on the loop's clock, as `_next_time`
        # The earliest time for the next thumbnail while events wait, in processor time and on the loop's clock.
        self._next_cpu = self._next_time = 0.0
        self._running: asyncio.Task[None] | None = None

    def plan(self, event: EventLabeled) -> None:
        """Queue an event's pictures for thumbnails. Their files stay in memory until then."""
        jobs = waiting.jobs(event, records.MAX_PICTURES, all_of_them=self._wear.is_plenty())
        self._waiting.add(jobs)
        self._wear.spend(sum(job.usual_bytes for job in jobs))
        self._quiet_from = self._loop.time() + QUIET_SECONDS
        if self._waiting and (self._running is None or self._running.done()):
            self._running = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop making thumbnails."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        """Make the queued thumbnails: as fast as possible while it is quiet, otherwise within the share."""
        while self._waiting:
            if not self._may_make_one():
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                continue
            await self._all_remembered()  # `keep` refuses a thumbnail of an event that it does not know
            job = self._waiting.take()
            seconds = await self._loop.run_in_executor(self._thread, self._make_one, job)
            self._next_cpu = time.process_time() + seconds / SHARE
            self._next_time = self._loop.time() + seconds / SHARE_OF_CORE
            self._made(job.task_id)

    def _may_make_one(self) -> bool:
        now = self._loop.time()
        if now >= self._quiet_from and not self._busy():
            return True
        return time.process_time() >= self._next_cpu or now >= self._next_time

    def _make_one(self, job: Job) -> float:
        """Make and keep one thumbnail, on the thread; return the processor seconds that it took."""
        started = time.thread_time()
        try:
            self._keep(job.task_id, job.picture, self._make(job))
        except NoRoom:  # large pictures are being labeled: show this one without a thumbnail
            return NO_ROOM_SECONDS * SHARE_OF_CORE
        except PictureError as error:
            log.debug(
                "no thumbnail of event %d: %s", job.task_id, error, extra=about("thumbnail_failed", task=job.task_id)
            )
        except Exception:
            log.exception(
                "unexpected error while making a thumbnail of event %d",
                job.task_id,
                extra=about("thumbnail_failed", task=job.task_id),
            )
        return time.thread_time() - started

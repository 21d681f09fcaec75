"""Collect occurrences, and pass them to the archive's thread a few times a second, so that not each one wakes it.

Belongs to the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from camiohookd.monitoring.activity import EventAccepted, Occurrence
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.archive_thread import ArchiveThread
from camiohookd.system.log_fields import about

REMEMBER_SECONDS = 0.2
"""How long occurrences are collected before they are passed on."""

MOST_HEARD = 2000
"""The most occurrences that wait for the disk; more are not recorded."""

log = logging.getLogger("camiohookd.history")


class Gatherer:
    """Passes occurrences to `thread`; when they are recorded, calls `changed` with the id of each event.

    Not for an event that was only accepted: nothing is shown of it yet, and very many may be accepted a second.
    """

    def __init__(self, thread: ArchiveThread, changed: Callable[[str], None]) -> None:
        self._thread = thread
        self._changed = changed
        self._heard: list[tuple[Occurrence, float]] = []  # with their times; not passed on yet
        self._remembering: set[asyncio.Future[None]] = set()
        self._soon: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Return whether the disk is too slow for more."""
        return len(self._heard) >= MOST_HEARD

    def add(self, occurrence: Occurrence, at: float) -> None:
        """Record an occurrence within `REMEMBER_SECONDS`; `at` is in seconds since 1970."""
        self._heard.append((occurrence, at))
        if self._soon is None:
            self._remember_soon()

    def remember(self) -> None:
        """Pass on now what was collected."""
        if self._heard:
            heard, self._heard = self._heard, []
            done = self._thread.do(partial(_take_in, heard=heard))
            self._remembering.add(done)
            done.add_done_callback(partial(self._remembered, heard))

    async def all_remembered(self) -> None:
        """Return when everything that was collected is recorded."""
        while self._heard or self._remembering:
            self.remember()
            await asyncio.wait(self._remembering)

    def _remember_soon(self) -> None:
        self._soon = asyncio.get_running_loop().call_later(REMEMBER_SECONDS, self._remember_unless_busy)

    def _remember_unless_busy(self) -> None:
        self._soon = None
        if not self._remembering:  # otherwise `_remembered` goes on, so that little waits for a hanging disk
            self.remember()

    def _remembered(self, heard: Sequence[tuple[Occurrence, float]], done: "asyncio.Future[None]") -> None:
        self._remembering.discard(done)
        shown = (each for each, _ in heard if not isinstance(each, EventAccepted))  # only counted, as yet
        for task_id in dict.fromkeys(each.task_id for each in shown):
            self._changed(task_id)
        if self._heard and self._soon is None:
            self._remember_soon()


def _take_in(archive: Archive, heard: Sequence[tuple[Occurrence, float]]) -> None:
    """Record the occurrences; called on the thread."""
    for occurrence, at in heard:
        try:
            archive.take_in(occurrence, at)
        except Exception:
            log.exception(
                "unexpected error while recording event %s for the status page",
                occurrence.task_id,
                extra=about("history_failed", task=occurrence.task_id, camera=occurrence.camera),
            )

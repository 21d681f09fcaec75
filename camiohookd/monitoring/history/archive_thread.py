"""Run everything that blocks on one thread, which owns the `Archive` and works in order."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from camiohookd.errors import StoreUnavailable
from camiohookd.monitoring.history.archive import Archive
from camiohookd.system.log_fields import about

Result = TypeVar("Result")

log = logging.getLogger("camiohookd.history")


class ArchiveThread:
    """Runs functions of the archive on its thread. Belongs to the event loop.

    `open_archive` is called on the thread. If it raises OSError, nothing is kept, and every question raises
    StoreUnavailable.
    """

    def __init__(self, open_archive: Callable[[], Archive]) -> None:
        self.pool = ThreadPoolExecutor(1, "history")
        self._loop = asyncio.get_running_loop()
        self._open_archive = open_archive
        self._archive: Archive | None = None  # belongs to the thread

    @property
    def written(self) -> int:
        """Return the bytes that the archive has written since the start."""
        return self._archive.written if self._archive is not None else 0  # a number, which any thread may read

    def start(self) -> None:
        """Open the archive."""
        self._loop.run_in_executor(self.pool, self._open)

    def stop(self) -> None:
        """Finish the work that was given so far, and take no more."""
        self.pool.shutdown(wait=False)

    async def ask(self, question: Callable[[Archive], Result]) -> Result:
        """Return what `question` returns. Raises StoreUnavailable if there is no archive."""
        return await self._loop.run_in_executor(self.pool, self._answer, question)

    def do(self, work: Callable[[Archive], object]) -> "asyncio.Future[None]":
        """Do `work` with the archive; do nothing if there is none."""
        return self._loop.run_in_executor(self.pool, self.do_here, work)

    # On the thread

    def do_here(self, work: Callable[[Archive], object]) -> None:
        """Do the same as `do`, if the caller is on the thread already."""
        if self._archive is not None:
            work(self._archive)

    def _open(self) -> None:
        try:
            self._archive = self._open_archive()
        except OSError as error:
            log.error("cannot keep events for the status page: %s", error, extra=about("history_not_kept"))
        except Exception:
            log.exception(
                "unexpected error while opening the history: no events are kept for the status page",
                extra=about("history_not_kept"),
            )

    def _answer(self, question: Callable[[Archive], Result]) -> Result:
        if self._archive is None:
            raise StoreUnavailable("the history cannot be read; the log at the start of the service says why")
        return question(self._archive)

"""The one thread that does all that blocks: it owns the `Archive`, and does one thing after the other."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from camiohookd.errors import StoreUnavailable
from camiohookd.history.archive import Archive
from camiohookd.system.log_fields import about

Result = TypeVar("Result")

log = logging.getLogger("camiohookd.history")


class ArchiveThread:
    """Belongs to the event loop.

    `open_archive` is called on the thread, and may raise OSError: then nothing is remembered, and every question raises
    StoreUnavailable.
    """

    def __init__(self, open_archive: Callable[[], Archive]) -> None:
        self.pool = ThreadPoolExecutor(1, "history")
        self._loop = asyncio.get_running_loop()
        self._open_archive = open_archive
        self._archive: Archive | None = None  # belongs to the thread

    def start(self) -> None:
        """Open the archive."""
        self._loop.run_in_executor(self.pool, self._open)

    def stop(self) -> None:
        """Do what was asked for so far, and nothing more."""
        self.pool.shutdown(wait=False)

    async def ask(self, question: Callable[[Archive], Result]) -> Result:
        """Return what `question` returns. Raises StoreUnavailable if there is no archive."""
        return await self._loop.run_in_executor(self.pool, self._answer, question)

    def do(self, work: Callable[[Archive], object]) -> "asyncio.Future[None]":
        """Do `work`, which is nothing if there is no archive."""
        return self._loop.run_in_executor(self.pool, self.do_here, work)

    # On the thread

    def do_here(self, work: Callable[[Archive], object]) -> None:
        """As `do`, called on the thread."""
        if self._archive is not None:
            work(self._archive)

    def _open(self) -> None:
        try:
            self._archive = self._open_archive()
        except OSError as error:
            log.error("cannot keep events for the status page: %s", error, extra=about("history_not_kept"))
        except Exception:
            log.exception(
                "unexpected error while the history was opened: no events are kept for the status page",
                extra=about("history_not_kept"),
            )

    def _answer(self, question: Callable[[Archive], Result]) -> Result:
        if self._archive is None:
            raise StoreUnavailable("the history cannot be read, see the log at the start of the service")
        return question(self._archive)

"""Replace the journals of the queue by a new snapshot, in small steps. After a failure, wait.

Belongs to the store thread.
"""

import logging
from collections.abc import Callable

from camiohookd.storage.tinydb_storage import JournaledStorage
from camiohookd.system.log_fields import about

PAUSE_AFTER_FAILURE = 60.0
"""Elapsed seconds until another try."""

log = logging.getLogger("camiohookd.queue")


class Compaction:
    """The compactions of `storage`. `free_bytes` returns the free bytes of the disk, and may raise OSError."""

    def __init__(self, storage: JournaledStorage, free_bytes: Callable[[], int]) -> None:
        self._storage = storage
        self._free_bytes = free_bytes
        self._not_before = 0.0

    def step(self, now: float, min_free_bytes: int) -> bool:
        """Do one step if a compaction is due and leaves `min_free_bytes` free; return True if there is more to do."""
        if now < self._not_before or not self._storage.files.wants_compaction():
            return False
        try:
            if self._fits(min_free_bytes):
                return not self._storage.compact_step()
            log.debug(
                "cannot compact the journal, next try in a minute: the disk has no room for a snapshot",
                extra=about("compaction_postponed"),
            )
        except OSError as error:
            log.warning("cannot compact the journal, next try in a minute: %s", error, extra=about("compaction_failed"))
        self._not_before = now + PAUSE_AFTER_FAILURE
        return False

    def may_end_with_one(self, min_free_bytes: int) -> bool:
        """Give up the running compaction, and return whether a whole one fits. Raises OSError."""
        self._storage.files.abort_compaction()
        return self._fits(min_free_bytes)

    def _fits(self, min_free_bytes: int) -> bool:
        """Return whether the disk has room: a snapshot is never larger than the old one and all journals together."""
        files = self._storage.files
        return files.is_compacting or self._free_bytes() - files.bytes_used >= min_free_bytes

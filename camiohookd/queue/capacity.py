"""Limit the size of the queue, delete what may go to make room, and estimate when there is room again."""

import logging
from collections import deque
from dataclasses import dataclass

from camiohookd.errors import QueueFull
from camiohookd.queue.store import QueueStore
from camiohookd.storage import journal
from camiohookd.system.log_fields import about
from camiohookd.units import plural, size

DAY = 86400.0
GB = 10**9
MB = 10**6

_DELETION_BYTES = len(journal.encode(journal.Set("9" * 18, {}, ["payload"])))
"""The most bytes of journal that deleting the pictures of one task takes."""

_WINDOW = 300.0
_LONGEST_WAIT = 600

log = logging.getLogger("camiohookd.queue")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits in counts, bytes and elapsed seconds. `max_bytes` None: its own and all free bytes, up to 20 GB."""

    max_tasks: int = 100_000
    max_bytes: int | None = None
    min_free_bytes: int = 200 * MB
    max_age: float = 14 * DAY
    done_keep: float = DAY
    failed_keep: float = 7 * DAY
    max_done: int = 100_000
    max_failed: int = 10_000


class DrainRate:
    """The rate at which tasks leave the queue, over the last five minutes."""

    def __init__(self) -> None:
        self._left: deque[float] = deque(maxlen=1000)

    def left(self, now: float) -> None:
        self._left.append(now)

    def seconds_for(self, tasks: float, now: float) -> int:
        """Estimate the seconds until that many tasks have left, from 1 to 600; 60 while nothing is known."""
        recent = [time for time in self._left if now - time <= _WINDOW]
        if not recent:
            return 60
        span = max(now - recent[0], 1.0)
        return min(max(1, round(tasks * span / len(recent))), _LONGEST_WAIT)


class Capacity:
    """Keeps the queue within its bounds. Belongs to the store thread."""

    def __init__(self, store: QueueStore, bounds: Bounds) -> None:
        self._store = store
        self._payloads = store.records.payloads
        self._kept = store.index.kept_pictures
        self.bounds = bounds
        self.drain = DrainRate()
        self._usual_need = 256 * 1024

    @property
    def max_bytes(self) -> int:
        """Return the bytes that the state folder may take at present."""
        if self.bounds.max_bytes is not None:
            return self.bounds.max_bytes
        return min(self._store.bytes_used + self._store.free_bytes(), 20 * GB)

    def check(self, need: int) -> None:
        """Raise QueueFull unless one more task with `need` bytes fits. Changes nothing. Raises OSError, too."""
        self._usual_need = need
        excess = self._store.index.waiting_count + 1 - self.bounds.max_tasks
        if excess > 0:
            raise self._full(self._too_many(), excess)
        if (shortage := self._shortage(need)) is not None:
            what, missing = shortage
            raise self._full(what, missing / max(need, 1), need)

    def refusal(self) -> str | None:
        """Return why an event like the last one would be refused now; None if it would be accepted."""
        if self._store.health.trouble:
            return self._store.health.trouble
        if self._store.index.waiting_count >= self.bounds.max_tasks:
            return self._too_many()
        try:
            shortage = self._shortage(self._usual_need)
            return None if shortage is None or shortage[1] <= self._reclaimable_bytes() else shortage[0]
        except OSError as error:
            return f"the disk cannot be asked for its free space: {error}"

    def make_room(self, need: int) -> bool:
        """Delete files that are kept for the owner until `need` bytes fit; return whether they do.

        Delete nothing if all of them together would not suffice. It commits, so do not call it within a batch. Raises
        StoreUnavailable.
        """
        try:
            return self._make_room(need)
        except OSError as error:
            raise self._store.health.refused(error) from error

    def _make_room(self, need: int) -> bool:
        self._payloads.drop_unneeded()
        shortage = self._shortage(need)
        if shortage is None:
            return True
        if self._reclaimable_bytes() < shortage[1]:
            return False
        self._store.quarantine.evict(shortage[1])
        while (shortage := self._shortage(need)) is not None:  # again if others have written to the disk meanwhile
            if not (count := self._delete_oldest_pictures(shortage[1])):
                return False
            log.warning(
                "deleted the pictures of %s to make room for new ones",
                plural(count, "event"),
                extra=about("pictures_deleted"),
            )
        return True

    def _delete_oldest_pictures(self, missing: int) -> int:
        """Delete pictures that are kept only for the owner until `missing` bytes are free; return the number of events.

        Commits by itself.
        """
        chosen = self._kept.oldest(self._freeable(), missing)
        with self._store.changes.batch():
            for task_id in chosen:
                self._store.table.change(task_id, {}, remove=("payload",))
            self._store.changes.commit()
        self._payloads.retire()
        return len(chosen)

    def _reclaimable_bytes(self) -> int:
        """Return the bytes that deleting everything kept only for the owner would free."""
        return sum(self._freeable().values()) + self._store.quarantine.bytes_used

    def _freeable(self) -> dict[int, int]:
        """Return the bytes that deleting the pictures of a segment frees, less those of the lines in the journal."""
        kept = self._kept.in_segment
        freeable = self._payloads.freeable(kept)
        net = {number: length - kept[number] * _DELETION_BYTES for number, length in freeable.items()}
        return {number: freed for number, freed in net.items() if freed > 0}

    def _shortage(self, need: int) -> tuple[str, int] | None:
        """Return which bound `need` more bytes would break, and how many bytes are missing."""
        if (missing := need + self.bounds.min_free_bytes - self._store.free_bytes()) > 0:
            return f"the disk has less than {size(self.bounds.min_free_bytes)} free (queue.min_free_bytes)", missing
        max_bytes = self.max_bytes
        if (missing := self._store.bytes_used + need - max_bytes) > 0:
            return f"the queue has reached the {size(max_bytes)} it may take (queue.max_bytes)", missing
        return None

    def _too_many(self) -> str:
        return f"{plural(self.bounds.max_tasks, 'event is', 'events are')} waiting already (queue.max_tasks)"

    def _full(self, message: str, excess: float, need: int = 0) -> QueueFull:
        return QueueFull(message, self.drain.seconds_for(excess, self._store.elapsed.now()), need)

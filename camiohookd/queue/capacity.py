"""How much the queue may hold, what is given up to make room, and how soon there is room again."""

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camiohookd.errors import QueueFull

if TYPE_CHECKING:  # the queue owns its room; only its type is known here
    from camiohookd.queue.task_queue import TaskQueue

DAY = 86400.0
GB = 10**9
MB = 10**6

_WINDOW = 300.0
_LONGEST_WAIT = 600

log = logging.getLogger("camiohookd.queue")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Counts, bytes and elapsed seconds; `max_bytes` None is half of what the disk has free at start, at most 20 GB."""

    max_tasks: int = 100_000
    max_bytes: int | None = None
    min_free_bytes: int = 200 * MB
    max_age: float = 14 * DAY
    done_keep: float = DAY
    failed_keep: float = 7 * DAY
    max_done: int = 100_000
    max_failed: int = 10_000


class DrainRate:
    """How fast tasks leave the queue, from those of the last five minutes."""

    def __init__(self) -> None:
        self._left: deque[float] = deque(maxlen=1000)

    def left(self, now: float) -> None:
        self._left.append(now)

    def seconds_for(self, tasks: float, now: float) -> int:
        """After how many seconds that many tasks will have left, from 1 to 600; 60 while nothing is known."""
        recent = [time for time in self._left if now - time <= _WINDOW]
        if not recent:
            return 60
        span = max(now - recent[0], 1.0)
        return min(max(1, round(tasks * span / len(recent))), _LONGEST_WAIT)


class Capacity:
    """Keeps the queue within its bounds. Belongs to the store thread."""

    def __init__(self, queue: "TaskQueue", bounds: Bounds) -> None:
        self._queue = queue
        self.bounds = bounds
        self.drain = DrainRate()
        free = queue.disk.free_bytes(queue.folder)
        self.max_bytes = min(free // 2, 20 * GB) if bounds.max_bytes is None else bounds.max_bytes

    def make(self, need: int) -> None:
        """See that one more task with `need` bytes fits, giving up what is kept for looking at.

        Raises QueueFull, OSError, StoreUnavailable.
        """
        excess = len(self._queue.index.waiting) + 1 - self.bounds.max_tasks
        if excess > 0:
            raise self._full(f"{self.bounds.max_tasks} events are waiting already (queue.max_tasks)", excess)
        while (shortage := self._shortage(need)) is not None:
            what, missing = shortage
            if not self._tidy() and not self._evict():
                raise self._full(what, missing / max(need, 1))

    def _shortage(self, need: int) -> tuple[str, int] | None:
        """What stands against `need` more bytes, and how many bytes are missing."""
        if (missing := self._queue.bytes_used + need - self.max_bytes) > 0:
            return f"the queue has reached the {self.max_bytes} bytes it may take (queue.max_bytes)", missing
        if (missing := need + self.bounds.min_free_bytes - self._queue.disk.free_bytes(self._queue.folder)) > 0:
            return f"the disk has less than {self.bounds.min_free_bytes} bytes free (queue.min_free_bytes)", missing
        return None

    def _tidy(self) -> bool:
        """Give back what nobody needs; True if that made room."""
        segments = self._queue.segments
        before = segments.bytes_used
        self._queue.commit()  # what is given back now would be needed again, if a later commit failed
        return segments.bytes_used < before

    def _evict(self) -> bool:
        """Give up what is kept for looking at, oldest first; False when there is nothing left."""
        if self._queue.quarantine.evict_oldest():
            return True
        count = self._let_payloads_go()
        if count:
            log.warning("the pictures of %d failed tasks were deleted to make room for new events", count)
        return count > 0 or self._queue.segments.retire()

    def _let_payloads_go(self) -> int:
        """Give up the pictures of failed tasks, oldest first, until a segment can be deleted.

        Returns how many; `_tidy` then deletes the segment.
        """
        segments, kept = self._queue.segments, self._queue.index.kept_payloads
        count = 0
        while not segments.can_shrink() and (oldest := kept.first()) is not None:
            self._queue.let_payload_go(oldest[1])
            count += 1
        return count

    def _full(self, message: str, excess: float) -> QueueFull:
        return QueueFull(message, self.drain.seconds_for(excess, self._queue.elapsed.now()))

"""A year of events: what is on the disk, and what is written each month, stays the same.

The test moves the clock. Each day has events that are delivered, some after a retry, and one that fails.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from camiohookd.monitoring.activity import DeliveryTried, EventAccepted, EventDone, EventFailed, Occurrence
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.trends import Sample
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import Cause
from camiohookd.queue.task_queue import TaskQueue
from tests.support.fault_disk import CountingDisk
from tests.support.history_events import labeled_event
from tests.support.queue_factory import HandClock, accept, commit, label, make_event, open_queue

DAY = 86_400.0
DAYS_OF_A_MONTH = 30
EVENT_BYTES = 2000
THUMBNAIL_BYTES = 1000
EVENTS_KEPT, SEGMENT_BYTES = 50, 16_384
"""Of the history: fewer and smaller than on a box, so that the first month fills them."""

SLACK = 1.35
"""How much more than the median a month may write or keep: a compaction falls into one month or the next."""


def size_of(folder: Path) -> int:
    """Return the bytes of all files in `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Box:
    """The queue and the history of a box, in `folder`."""

    def __init__(self, folder: Path, clock: HandClock, disk: CountingDisk) -> None:
        self._clock = clock
        self._number = 0
        self._queue: TaskQueue = open_queue(folder, clock=clock, disk=disk, bounds=Bounds(min_free_bytes=0))
        self._keeper = Housekeeper(self._queue)
        self._disk = disk
        self._archive = Archive(folder / "history", EVENTS_KEPT, disk=disk, segment_bytes=SEGMENT_BYTES)

    @property
    def written(self) -> int:
        """Return the bytes written since the start."""
        return self._disk.written + self._archive.trends.written

    def live_a_day(self, events: int) -> None:
        for nth in range(events):
            self._number += 1
            self._archive.tick(self._clock.wall(), Sample(1, "cpu", degraded=False))
            event = make_event(self._number, size=EVENT_BYTES)
            task = accept(self._queue, event) if nth == 0 else label(self._queue, event)
            self._note(EventAccepted(str(task), "front", self._clock.wall(), 1, 0))
            if nth == 0:
                self._fail(task)
            else:
                self._note(labeled_event(task, at=self._clock.wall()))
                self._archive.keep_thumbnail(task, 0, bytes(THUMBNAIL_BYTES))
                self._deliver(task, retries=nth % 3)
            self._clock.tick(DAY / events)
            while self._keeper.step():
                pass

    def _fail(self, task: int) -> None:
        commit(self._queue, lambda queue: queue.fail(task, Cause.LABELING, "test"))
        self._note(EventFailed(str(task), "front", self._clock.wall(), "labeling", "test"))

    def _deliver(self, task: int, retries: int) -> None:
        for nth in range(retries):
            commit(self._queue, lambda queue: queue.deliveries.retry(task, "answered 503", None))
            at, failure = self._clock.wall(), ("transient", 503, "answered 503", 1.0)
            self._note(DeliveryTried(str(task), "front", at, nth + 1, 0.1, *failure))
        commit(self._queue, lambda queue: queue.deliveries.done(task))
        self._note(EventDone(str(task), "front", self._clock.wall(), 1.0))

    def _note(self, occurrence: Occurrence) -> None:
        self._archive.take_in(occurrence, self._clock.wall())


def test_a_year_writes_and_keeps_the_same_each_month(
    memory_folder: Path, long_run: bool, print_figure: Callable[[str], None]
) -> None:
    """Without ``--long``, simulate only four months with fewer events a day."""
    disk = CountingDisk()
    events, months, days = (24, 12, DAYS_OF_A_MONTH) if long_run else (4, 4, DAYS_OF_A_MONTH)
    box = Box(memory_folder, HandClock(), disk)
    written, used = [], []
    for _ in range(months):
        before = box.written
        for _ in range(days):
            box.live_a_day(events)
        written.append(box.written - before)
        used.append(size_of(memory_folder))
    each = f"{median(written) / 1e6:.2f} MB written, {median(used) / 1e6:.2f} MB kept"
    last = f"{written[-1] / 1e6:.2f} MB written, {used[-1] / 1e6:.2f} MB kept"
    print_figure(f"{months} months of {events * days} events of 2 kB, with history: {each} in each; {last} in the last")
    disk.die()
    # Leave out the first month: in it, the journal grows to its size, and so does what is kept for a week.
    assert max(written[1:]) <= SLACK * median(written[1:]), written
    assert max(used[1:]) <= SLACK * median(used[1:]), used
    assert written[-1] <= 6 * events * days * EVENT_BYTES, "a month writes more than six times its events"

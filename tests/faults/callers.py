"""Several callers of the store thread in one batch: what each asks for, and what its answer promises.

`Crowd` runs callers in batches, as the store thread does, and keeps what they were told: which tasks they hold, and
what has become of which event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue import commands
from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import Cause, DueDelivery, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.wire.event import Event
from tests.faults.model import Acknowledged, Asked, Ledger, Seen, plain
from tests.faults.recording import FailingDisk
from tests.support.queue_factory import REPLY, HandClock, backoff, make_event, open_queue

HOUR = 3600.0
DAYS = 10 * 24 * HOUR
BOUNDS = Bounds(max_tasks=1000, max_bytes=10**12, min_free_bytes=0, max_age=HOUR, done_keep=HOUR, failed_keep=DAYS)

HOSTS = 4
FORGOTTEN, RETRIED, POSTED_AGAIN, DROPPED, LATER, ROOM = 0, 1, 2, 5, 16, 50


def _event(number: int) -> Event:
    """Return event `number`: large if it will fail or needs room, and with a host of its own if it is for later."""
    size = 1500 if number == ROOM else 800 if number < 6 else 60
    host = "later.test" if number == LATER else f"host-{number % HOSTS}.test"
    return make_event(number, size=size, camera=f"camera {number % 3}", host=host)


EVENT = {number: _event(number) for number in range(60)}


def core(seen: Seen) -> Seen:
    """Return what is promised of a task even where pictures that are kept only for the owner may be deleted."""
    if seen is None:
        return None
    assert not any(isinstance(part, str) and part.startswith("damaged: ") for part in seen)
    match seen[0]:
        case "labelled":
            return seen[:4]
        case "failed":
            return (*seen[:3], seen[4])
        case _:
            return seen


class CoreLedger(Ledger):
    """A ledger of what is promised, see `core`."""

    def problems(self, found: dict[str, tuple[str, Seen]]) -> Any:
        return super().problems({digest: (task_id, core(seen)) for digest, (task_id, seen) in found.items()})


@dataclass(frozen=True, slots=True)
class Caller:
    """`outcomes` are true of the events, by number, once `operation` was acknowledged; `hear` is given its result."""

    operation: Callable[[TaskQueue], Any]
    outcomes: dict[int, Seen]
    hear: Callable[[Any], None] = lambda _: None


def pending(number: int) -> Seen:
    """Return what is promised of an event that is accepted."""
    return "pending", EVENT[number].pictures


def _labelled(attempts: int = 0, not_before: float = 0.0) -> Seen:
    return "labelled", plain(REPLY), attempts, not_before


class Crowd:
    """The queue in `folder`, and what its callers were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = FailingDisk(folder)
        self.clock = HandClock()
        self.ledger = CoreLedger()
        self.told: dict[int, Seen] = {}
        self.in_hand: set[int] = set()
        self.in_air: dict[int, DueDelivery] = {}
        self._open()

    def _open(self) -> None:
        self.queue = open_queue(self.folder, disk=self.disk, clock=self.clock, bounds=BOUNDS)
        self.keeper = Housekeeper(self.queue)

    def id_of(self, number: int) -> int:
        return int(self.ledger.ids[EVENT[number].digest])

    def number_of(self, task: Task) -> int:
        return next(number for number, event in EVENT.items() if event.digest == task.digest)

    # Batches

    def run(self, callers: list[Caller]) -> list[Caller]:
        """Run all in one batch; return those that were refused, because of the disk or for want of room."""
        for caller in callers:
            self._mark(Asked({EVENT[number].digest: seen for number, seen in caller.outcomes.items()}))
        attempts = [BatchEntry(caller.operation) for caller in callers]
        run_together(self.queue, attempts)
        refused = []
        for caller, attempt in zip(callers, attempts, strict=True):
            if attempt.error is None:
                self.told |= caller.outcomes
                caller.hear(attempt.result)
                self._mark(Acknowledged(self._by_digest(caller.outcomes), {}))
            else:
                assert isinstance(attempt.error, StoreUnavailable | QueueFull), repr(attempt.error)
                refused.append(caller)
        return refused

    def do(self, *callers: Caller) -> None:
        assert not self.run(list(callers))

    def _mark(self, fact: object) -> None:
        self.disk.mark(fact)
        self.ledger.hear(fact)

    def _by_digest(self, outcomes: dict[int, Seen]) -> dict[str, Seen]:
        return {EVENT[number].digest: seen for number, seen in outcomes.items()}

    def keep_house(self, steps: int) -> None:
        for _ in range(steps):
            self.keeper.step()

    # What callers ask for

    def put(self, number: int, becomes: Seen = None) -> Caller:
        def hear(receipt: Any) -> None:
            self._mark(Acknowledged({}, {EVENT[number].digest: receipt.id}))

        return Caller(lambda queue: queue.put(EVENT[number]), {number: becomes or pending(number)}, hear)

    def claim(self) -> Caller:
        return Caller(lambda queue: queue.claim(), {}, self._claimed)

    def _claimed(self, task: Task | None) -> None:
        if task is not None:
            assert int(task.id) not in self.in_hand
            self.in_hand.add(int(task.id))

    def labelled(self, number: int) -> Caller:
        """As the label loop does: keep the reply and claim the next one in the same operation."""
        task_id = self.id_of(number)

        def operation(queue: TaskQueue) -> Task | None:
            queue.labelled(task_id, REPLY)
            return queue.claim()

        def hear(claimed: Task | None) -> None:
            self.in_hand.remove(task_id)
            self._claimed(claimed)

        return Caller(operation, {number: _labelled()}, hear)

    def _ends_labeling(self, number: int, operation: Callable[[TaskQueue, int], Any], becomes: Seen) -> Caller:
        task_id = self.id_of(number)
        return Caller(
            lambda queue: operation(queue, task_id), {number: becomes}, lambda _: self.in_hand.remove(task_id)
        )

    def give_back(self, number: int) -> Caller:
        return self._ends_labeling(number, TaskQueue.give_back, pending(number))

    def fail(self, number: int, cause: Cause) -> Caller:
        fail = partial(TaskQueue.fail, cause=cause, reason="test")
        return self._ends_labeling(number, fail, ("failed", cause, "test", None))

    def take(self) -> Caller:
        return Caller(lambda queue: queue.deliveries.take(), {}, self._taken)

    def _taken(self, delivery: DueDelivery | None) -> None:
        if delivery is not None:
            assert int(delivery.task.id) not in self.in_air
            self.in_air[int(delivery.task.id)] = delivery

    def done(self, number: int) -> Caller:
        task_id = self.id_of(number)
        return Caller(lambda queue: queue.deliveries.done(task_id), {number: ("done",)})

    def retry(self, number: int, after: float | None = None) -> Caller:
        task_id, told = self.id_of(number), self.told[number]
        assert told is not None
        due = round(self.queue.tasks.now() + (after or backoff(told[2] + 1)), 3)
        return Caller(
            lambda queue: queue.deliveries.retry(task_id, "503", after), {number: _labelled(told[2] + 1, due)}
        )

    def refused(self, number: int) -> Caller:
        task_id = self.id_of(number)
        return Caller(
            lambda queue: queue.fail(task_id, Cause.REFUSED, "404"),
            {number: ("failed", Cause.REFUSED, "404", plain(REPLY))},
        )

    def landed(self, number: int, *, success: bool = True) -> Caller:
        """As the delivery loop does: end the try, whose outcome is recorded, and take the next delivery."""
        delivery = self.in_air[self.id_of(number)]

        def operation(queue: TaskQueue) -> DueDelivery | None:
            queue.deliveries.landed(delivery, success=success)
            return queue.deliveries.take()

        def hear(taken: DueDelivery | None) -> None:
            del self.in_air[int(delivery.task.id)]
            self._taken(taken)

        return Caller(operation, {}, hear)

    def command(self, command: commands.Command, outcomes: dict[int, Seen]) -> Caller:
        return Caller(lambda queue: commands.perform(queue, command), outcomes)

    def set_aside(self, number: int) -> Caller:
        task_id = self.id_of(number)
        return Caller(lambda queue: queue.set_aside("payload", task_id, b"rotten"), {})

"""Several callers of the store thread in one batch: what each asks for, and what is true if it is told so.

`Crowd` has a queue with tasks in every state, in hand and in the air. It runs callers in batches, as the store thread
does, and keeps what the callers were told: which tasks they hold, and what has become of which event.
"""

import math
import random
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue import commands
from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.compaction import PAUSE_AFTER_FAILURE
from camiohookd.queue.holdings import Holding, given_out
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import Cause, DueDelivery, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.wire.event import Event
from tests.faults.exploring import recover_twice
from tests.faults.model import Acknowledged, Asked, Ledger, Seen, kill, plain, see_all
from tests.faults.recording import FailingDisk
from tests.support.queue_factory import REPLY, HandClock, backoff, make_event, open_queue

HOUR = 3600.0
DAYS = 10 * 24 * HOUR
BOUNDS = Bounds(max_tasks=1000, max_bytes=10**12, min_free_bytes=0, max_age=HOUR, done_keep=HOUR, failed_keep=DAYS)
ENDLESS = 200
"""Rounds after which work that should end does not."""

HOSTS = 4
FORGOTTEN, RETRIED, POSTED_AGAIN, DROPPED, LATER, ROOM = 0, 1, 2, 5, 16, 50
EXPIRED = "it waited longer than queue.max_age; last error: 503"


def _event(number: int) -> Event:
    """Those that will have failed and the one that needs room are large; the one for later has a host of its own."""
    size = 1500 if number == ROOM else 800 if number < 6 else 60
    host = "later.test" if number == LATER else f"host-{number % HOSTS}.test"
    return make_event(number, size=size, camera=f"camera {number % 3}", host=host)


EVENT = {number: _event(number) for number in range(60)}


def core(seen: Seen) -> Seen:
    """What of a task is promised also where pictures that are kept only for the owner may be deleted."""
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


def _pending(number: int) -> Seen:
    return "pending", EVENT[number].pictures


def _labelled(attempts: int = 0, not_before: float = 0.0) -> Seen:
    return "labelled", plain(REPLY), attempts, not_before


class Crowd:
    """The queue in `folder`. With `suspect`, the one task in hand is one that the process died of before."""

    def __init__(self, folder: Path, *, suspect: bool = False) -> None:
        self.folder = folder
        self.disk = FailingDisk(folder)
        self.clock = HandClock()
        self.ledger = CoreLedger()
        self.told: dict[int, Seen] = {}
        self.maybe: dict[int, Seen] = {}  # what housekeeping may have done
        self.in_hand: set[int] = set()
        self.in_air: dict[int, DueDelivery] = {}
        self._suspect = suspect
        self._open()
        self._prepare()

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

        return Caller(lambda queue: queue.put(EVENT[number]), {number: becomes or _pending(number)}, hear)

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

    def _ends_labelling(self, number: int, operation: Callable[[TaskQueue, int], Any], becomes: Seen) -> Caller:
        task_id = self.id_of(number)
        return Caller(
            lambda queue: operation(queue, task_id), {number: becomes}, lambda _: self.in_hand.remove(task_id)
        )

    def give_back(self, number: int) -> Caller:
        return self._ends_labelling(number, TaskQueue.give_back, _pending(number))

    def fail(self, number: int, cause: Cause) -> Caller:
        fail = partial(TaskQueue.fail, cause=cause, reason="test")
        return self._ends_labelling(number, fail, ("failed", cause, "test", None))

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

    # A queue with something of everything, and a batch for it

    def _prepare(self) -> None:
        self._label(FORGOTTEN)
        self.do(self.take())
        self.do(self.done(FORGOTTEN))
        self.do(self.landed(FORGOTTEN))
        self._label(LATER)
        self.do(self.take())
        self.do(self.retry(LATER, after=DAYS))
        self.do(self.landed(LATER, success=False))
        self.clock.tick(HOUR - 60)
        for number in range(10, 16):
            self._label(number)
        for number in (RETRIED, POSTED_AGAIN, 3, 4, DROPPED):
            self.do(self.put(number))
            self.do(self.claim())
            self.do(self.fail(number, Cause.LABELING))
        in_hand = [20] if self._suspect else [20, 21, 22, 23]
        self.do(*(self.put(number) for number in in_hand))
        if self._suspect:
            self.do(self.claim())
            self.in_hand.clear()
            kill(self.queue)
            self._open()
        self.do(*[self.claim()] * len(in_hand))
        assert self.in_hand == {self.id_of(number) for number in in_hand}
        self.do(*(self.put(number) for number in range(in_hand[-1] + 1, 30)))
        self.do(*[self.take()] * 4)
        assert self.in_air.keys() == {self.id_of(number) for number in (10, 11, 12, 13)}
        self.do(self.done(13))

    def _label(self, number: int) -> None:
        self.do(self.put(number))
        self.do(self.claim())
        self.do(self.labelled(number))

    def batch(self, order: int) -> list[Caller]:
        """Return callers of every kind, each with a task of its own, in the order of that number. Time has passed."""
        self.clock.tick(120)
        callers = [
            self.put(30),
            self.labelled(20),
            self.claim(),
            self.done(10),
            self.retry(11),
            self.landed(13),
            self.refused(12),
            self.take(),
            self.command(commands.RetryTask(str(self.id_of(RETRIED))), {RETRIED: _pending(RETRIED)}),
            self.put(POSTED_AGAIN),
            self.command(commands.ListTasks(), {}),
            self.command(commands.DropTask(str(self.id_of(DROPPED))), {DROPPED: None}),
            self.put(ROOM),
        ]
        if not self._suspect:
            callers += [self.give_back(21), self.fail(22, Cause.LABELING), self.set_aside(23)]
        if order:
            random.Random(order).shuffle(callers)
        return callers

    def run_short_of_room(self, callers: list[Caller]) -> list[Caller]:
        """Run a batch in which there is no room for the event ROOM unless some is made; keep house after it."""
        self.maybe = {FORGOTTEN: None, LATER: ("failed", Cause.EXPIRED, EXPIRED, plain(REPLY))}
        self._mark(Asked(self._by_digest(self.maybe)))
        capacity = self.queue.capacity
        capacity.bounds = replace(BOUNDS, max_bytes=self.queue.store.bytes_used + 1500)
        refused = self.run(callers)
        self.keep_house(30)
        capacity.bounds = BOUNDS
        return refused

    def deleted_pictures(self) -> int:
        """Return how many events have lost the pictures that were kept only for the owner."""
        kept = [*self.queue.tasks.in_state(State.LABELLED, 0), *self.queue.tasks.in_state(State.FAILED, 0)]
        return sum(self.queue.get(task_id).payload is None for task_id in kept)

    # What must be true

    def check(self, landed: Collection[int] = ()) -> None:
        """Nothing is in hand or in the air that no caller holds, and all events are as the callers were told.

        `landed` are events whose try may have ended though the caller was refused the next one: that needs no disk.
        """
        held = {Holding(task_id, each.flight) for task_id, each in self.in_air.items()}
        held |= {Holding(task_id, 0) for task_id in self.in_hand}
        given, ended = given_out(self.queue), {self.id_of(number) for number in landed}
        assert given <= held
        assert {task_id for task_id, _ in held - given} <= ended
        found = {digest: core(seen) for digest, (_, seen) in see_all(self.queue).items()}
        for number, told in self.told.items():
            seen = found.pop(EVENT[number].digest, None)
            assert seen == told or (number in self.maybe and seen == self.maybe[number]), f"event {number}"
        assert not found

    def finish(self) -> None:
        """All goes on without a restart: old tasks expire, and what waits is labelled and delivered."""
        self.clock.tick(PAUSE_AFTER_FAILURE + 1)
        self._keep_house_to_the_end()
        self.told |= self.maybe
        self.maybe = {}
        self.check()
        self._label_all()
        self._deliver_all()
        assert self.queue.tasks.waiting_count == 0
        assert not given_out(self.queue)
        self.do(self.put(40))
        self.clock.tick(HOUR + 1)
        self._keep_house_to_the_end()
        assert self.queue.get(self.id_of(40)).cause is Cause.EXPIRED
        self.told[40] = ("failed", Cause.EXPIRED, "it waited longer than queue.max_age", None)
        assert self.queue.store.health.trouble is None
        assert not self.queue.store.storage.files.wants_compaction()
        self.told = {number: None if told == ("done",) else told for number, told in self.told.items()}
        self.check()

    def _keep_house_to_the_end(self) -> None:
        for _ in range(ENDLESS):
            if not self.keeper.step():
                return
        raise AssertionError("housekeeping does not end")

    def _label_all(self) -> None:
        for _ in range(ENDLESS):
            if not self.in_hand:
                self.do(self.claim())
            if not self.in_hand:
                return
            self.do(self.labelled(self.number_of(self.queue.get(min(self.in_hand)))))
        raise AssertionError("labelling does not end")

    def _deliver_all(self) -> None:
        """The next try of each host fails, and all others succeed."""
        failed: set[int] = set()
        for _ in range(ENDLESS):
            if not self.in_air:
                self.do(self.take())
            if self.in_air:
                number = self.number_of(next(iter(self.in_air.values())).task)
                waits = (told := self.told[number]) is not None and told[0] == "labelled"
                fails = waits and number % HOSTS not in failed
                if waits:
                    self.do(self.retry(number) if fails else self.done(number))
                failed |= {number % HOSTS} if fails else set()
                self.do(self.landed(number, success=not fails))
            elif (pause := self.queue.tasks.until_delivery()) == math.inf:
                return
            else:
                self.clock.tick(pause + 0.001)
        raise AssertionError("delivering does not end")

    def finish_again(self) -> None:
        """A new event goes all the way."""
        self._label(41)
        self._deliver_all()
        assert self.told[41] == ("done",)
        self.check()

    def reopen_after_a_kill(self) -> None:
        kill(self.queue)
        self.in_hand.clear()
        self.in_air.clear()
        self._open()


def problems_after_a_kill(crowd: Crowd, copy: Path) -> list[str]:
    """Return what would be wrong if the process died now."""
    shutil.copytree(crowd.folder, copy)
    recovered = recover_twice(copy)
    shutil.rmtree(copy)
    return [*recovered.problems, *crowd.ledger.problems(recovered.tasks)]

"""A queue with tasks in every state, a batch of callers for it, and what must be true after that batch."""

import math
import random
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from camiohookd.queue import commands
from camiohookd.queue.compaction import PAUSE_AFTER_FAILURE
from camiohookd.queue.holdings import Holding, given_out
from camiohookd.queue.task import Cause, State
from tests.faults.callers import (
    BOUNDS,
    DAYS,
    DROPPED,
    EVENT,
    FORGOTTEN,
    HOSTS,
    HOUR,
    LATER,
    POSTED_AGAIN,
    RETRIED,
    ROOM,
    Caller,
    Crowd,
    core,
    pending,
)
from tests.faults.exploring import recover_twice
from tests.faults.model import Asked, Seen, kill, plain, see_all
from tests.support.queue_factory import REPLY

ENDLESS = 200
"""Rounds after which work that should end does not."""

EXPIRED = "it waited longer than queue.max_age; last error: 503"


class BusyQueue(Crowd):
    """A queue in `folder`. With `suspect`, the one task in hand is one that the process died of before."""

    def __init__(self, folder: Path, *, suspect: bool = False) -> None:
        super().__init__(folder)
        self.maybe: dict[int, Seen] = {}  # what housekeeping may have done
        self._suspect = suspect
        self._prepare()

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
            self.command(commands.RetryTask(str(self.id_of(RETRIED))), {RETRIED: pending(RETRIED)}),
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
        """Nothing is in hand or in flight that no caller holds, and all events are as the callers were told.

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
        """Work goes on without a restart: old tasks expire, and what waits is labeled and delivered."""
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
        raise AssertionError("labeling does not end")

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
        """Label and deliver one more event."""
        self._label(41)
        self._deliver_all()
        assert self.told[41] == ("done",)
        self.check()

    def reopen_after_a_kill(self) -> None:
        kill(self.queue)
        self.in_hand.clear()
        self.in_air.clear()
        self._open()


def problems_after_a_kill(crowd: BusyQueue, copy: Path) -> list[str]:
    """Return what would be wrong if the process died now."""
    shutil.copytree(crowd.folder, copy)
    recovered = recover_twice(copy)
    shutil.rmtree(copy)
    return [*recovered.problems, *crowd.ledger.problems(recovered.tasks)]

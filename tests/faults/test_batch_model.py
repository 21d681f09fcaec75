"""The queue against a plain dictionary, with several callers in each batch, and a disk that fails.

Any call of the disk may fail while a batch, housekeeping or a compaction runs. After each step, without a restart, the
queue must hold what the callers were told, and at the end everything that waits must be labeled and delivered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.holdings import Holding, given_out
from camiohookd.queue.task import Cause, DueDelivery, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments, table_files
from tests.faults.test_queue_model import BOUNDS, EVENT, NUMBER_OF, QueueModel, seen
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, commit

FIRST = st.integers(0, 16)
"""The number of the call that fails; at 0 none does."""


class Caller(NamedTuple):
    """`hear` is given the result, `refused` is called if there is none; `event` is whose task is meant, if one is."""

    operation: Callable[[TaskQueue], Any]
    hear: Callable[[Any], None]
    event: int | None = None
    refused: Callable[[], None] = lambda: None


class BatchModel(QueueModel):
    def __init__(self) -> None:
        self.refused: set[int] = set()  # events whose record may be on the disk though their caller was refused
        self.has_crashed = False
        super().__init__()

    def crash(self) -> None:
        super().crash()
        self.has_crashed = True

    def open(self) -> TaskQueue:
        """A crash may find done what was refused, if its record was written; a clean restart may not."""
        queue = super().open()
        for task in [queue.get(task_id) for task_id in queue.tasks.in_state(None, 0)] if self.has_crashed else []:
            task_id, event = int(task.id), NUMBER_OF[task.digest]
            if event not in self.refused:
                continue
            if task_id not in self.tasks:
                if task.state is State.PENDING:
                    commit(queue, partial(TaskQueue.drop, task_id=task_id))
                # Damage may bring back any task that was dropped, see `accept_loss_of`.
            elif task.state is State.LABELLED and self.tasks[task_id].state is State.PENDING:
                self.tasks[task_id] = seen(event, task)
        self.has_crashed = False
        return queue

    # What callers ask for

    def callers(self, data: st.DataObject) -> list[Caller]:
        """Return some callers, no two of which mean the same task."""
        found = [self.claiming(), self.taking(), self.taking()]
        found += [self.putting(number) for number in EVENT]
        found += [self.ending_labeling(task_id, data) for task_id in self.in_hand()]
        found += [self.ending_delivery(task_id, data) for task_id in self.in_air if task_id in self.tasks]
        found += [self.landing(task_id) for task_id in self.in_air]
        found += [self.redriving(task_id) for task_id in self.having(State.FAILED) if not self.is_lost(task_id)]
        found += [self.dropping(task_id) for task_id in self.tasks if task_id not in self.in_air]
        some = st.lists(st.sampled_from(range(len(found))), min_size=2, max_size=10, unique=True)
        chosen, events = [], set()
        for caller in [found[place] for place in data.draw(some)]:
            if caller.event is None or caller.event not in events:
                chosen.append(caller)
                events.add(caller.event)
        return chosen

    def putting(self, number: int) -> Caller:
        return Caller(lambda queue: queue.put(EVENT[number]), lambda receipt: self.was_put(number, receipt), number)

    def claiming(self) -> Caller:
        return Caller(lambda queue: queue.claim(), self.was_claimed)

    def ending_labeling(self, task_id: int, data: st.DataObject) -> Caller:
        event = self.tasks[task_id].event
        match data.draw(st.sampled_from(["labelled", "give back", "fail"])):
            case "labelled":
                return Caller(lambda queue: _label_and_claim(queue, task_id), self.was_labelled(task_id), event)
            case "give back":
                return Caller(
                    lambda queue: queue.give_back(task_id), lambda _: self.change(task_id, in_hand=False), event
                )
            case _:
                return Caller(
                    lambda queue: queue.fail(task_id, Cause.LABELING, "test"),
                    lambda _: self.failed(task_id, Cause.LABELING),
                    event,
                )

    def was_labelled(self, task_id: int) -> Callable[[Task | None], None]:
        def hear(claimed: Task | None) -> None:
            self.change(task_id, state=State.LABELLED, has_reply=True, in_hand=False, suspect=False, strikes=0)
            self.was_claimed(claimed)

        return hear

    def taking(self) -> Caller:
        return Caller(lambda queue: queue.deliveries.take(), self.was_taken)

    def ending_delivery(self, task_id: int, data: st.DataObject) -> Caller:
        what = data.draw(st.sampled_from(["done", "retry", "refused"]))

        def operation(queue: TaskQueue) -> None:
            match what:
                case "done":
                    queue.deliveries.done(task_id)
                case "retry":
                    queue.deliveries.retry(task_id, "503")
                case _:
                    queue.fail(task_id, Cause.REFUSED, "404")

        def hear(_: None) -> None:
            self.was_recorded(task_id, what)
            self.queue.deliveries.landed(self.in_air.pop(task_id), success=what != "retry")

        return Caller(operation, hear, self.tasks[task_id].event)

    def landing(self, task_id: int) -> Caller:
        """A try that was not made after all: it ends, and the next delivery is taken in the same operation."""
        flown = self.in_air[task_id]

        def operation(queue: TaskQueue) -> DueDelivery | None:
            queue.deliveries.landed(flown, success=None)
            return queue.deliveries.take()

        def hear(taken: DueDelivery | None) -> None:
            del self.in_air[task_id]
            self.was_taken(taken)

        def refused() -> None:
            self.queue.deliveries.landed(flown, success=None)  # again, as the delivery loop does
            del self.in_air[task_id]

        event = self.tasks[task_id].event if task_id in self.tasks else None
        return Caller(operation, hear, event, refused)

    def redriving(self, task_id: int) -> Caller:
        return Caller(lambda queue: queue.redrive(task_id), lambda _: self.redriven(task_id), self.tasks[task_id].event)

    def dropping(self, task_id: int) -> Caller:
        def hear(_: None) -> None:
            del self.tasks[task_id]

        return Caller(lambda queue: queue.drop(task_id), hear, self.tasks[task_id].event)

    # The disk

    @rule(data=st.data(), first=FIRST, length=st.sampled_from([1, 1, 2, 4]), short=st.booleans())
    def share_a_batch(self, data: st.DataObject, first: int, length: int, short: bool) -> None:
        """Several callers ask at once, maybe for more room than there is, and the disk may fail meanwhile."""
        callers = self.callers(data)
        if short:
            self.queue.capacity.bounds = replace(BOUNDS, max_bytes=self.queue.store.bytes_used + 900)
        ran: list[int] = []  # the places of the callers; those that run again once there is room occur twice
        attempts = [BatchEntry(partial(_note_and_run, ran, place, caller)) for place, caller in enumerate(callers)]
        with self.failing(first, length):
            run_together(self.queue, attempts)
        self.queue.capacity.bounds = BOUNDS
        full = [isinstance(attempt.error, QueueFull) for attempt in attempts]
        assert short or not any(full)
        last_ran = {place: moment for moment, place in enumerate(ran)}  # a refused batch may not have run some of them
        for place in sorted(range(len(callers)), key=lambda place: last_ran.get(place, len(ran))):
            if attempts[place].error is None:
                callers[place].hear(attempts[place].result)
            else:
                assert full[place] or isinstance(attempts[place].error, StoreUnavailable), attempts[place].error
                callers[place].refused()
                self.refused |= {event for event in (callers[place].event,) if event is not None}
        for task_id in self.with_kept_pictures():
            self.change(task_id, evicted=self.queue.get(task_id).payload is None)

    @rule(first=FIRST)
    def keep_house_while_the_disk_fails(self, first: int) -> None:
        with self.failing(first, 1):
            while self.housekeeper.step():
                pass
        self.housekeeping()

    @rule(first=FIRST, limit=st.sampled_from([1, 400, 100_000]))
    def fail_a_compaction(self, first: int, limit: int) -> None:
        with self.failing(first, 1), suppress(OSError):
            while not self.queue.store.storage.compact_step(limit):
                pass
        assert len(list(Path(self.folder.name).glob("queue.journal-*"))) <= 3

    @contextmanager
    def failing(self, first: int, length: int) -> Iterator[None]:
        """Have calls of the disk fail inside; then have it take a change, as the housekeeper's probe does."""
        disk, calls = self.queue.store.disk, 0
        assert isinstance(disk, CountingDisk)

        def fails(_call: str, _path: Path) -> OSError | None:
            nonlocal calls
            calls += 1
            return OSError("refused") if first <= calls < first + length and first else None

        disk.fails = fails
        yield
        disk.fails = lambda *_: None
        commit(self.queue, lambda queue: queue.store.note_time())
        assert self.queue.store.health.trouble is None

    @invariant()
    def what_is_given_out_is_held(self) -> None:
        held = {Holding(task_id, each.flight) for task_id, each in self.in_air.items()}
        assert given_out(self.queue) == held | {Holding(task_id, 0) for task_id in self.in_hand()}


def _label_and_claim(queue: TaskQueue, task_id: int) -> Task | None:
    queue.labelled(task_id, REPLY)
    return queue.claim()


def _note_and_run(ran: list[int], place: int, caller: Caller, queue: TaskQueue) -> Any:
    ran.append(place)
    return caller.operation(queue)


def test_callers_of_a_batch_get_true_answers_whatever_call_of_the_disk_fails(
    long_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 700)  # the events are small
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 2000)
    bounded = settings(
        max_examples=3000 if long_run else 40,
        stateful_step_count=60 if long_run else 30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(BatchModel, settings=bounded)

"""Compare the queue with a plain dictionary: hypothesis acts as sender, worker, owner and power cut.

After every step, the queue must equal the dictionary, task by task. At the end, every waiting task must still be
labeled and delivered.
"""

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from camiohookd.errors import StoreUnavailable, WrongState
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import Cause, DueDelivery, Receipt, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments
from camiohookd.storage.journal import Del, LiveIds, Note, Put, Record, Scan, Set
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.record import DamagedRecordError
from tests.support.fault_disk import CountingDisk
from tests.support.lines import lines_of
from tests.support.queue_factory import REPLY, HandClock, commit, crash, make_event, open_queue

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
EVENTS = 12
BOUNDS = Bounds(max_bytes=10**9, min_free_bytes=0, max_age=6 * HOUR, done_keep=2 * HOUR, failed_keep=4 * HOUR)
MEMORY = Path("/dev/shm")  # a tmpfs on every Linux; this test has no power cuts


@dataclass(frozen=True, slots=True)
class Expected:
    """The relevant parts of a task, as the dictionary holds it."""

    event: int
    state: State = State.PENDING
    since: float = 0.0
    ended: float = 0.0
    has_reply: bool = False
    cause: Cause | None = None
    attempts: int = 0
    in_hand: bool = False
    suspect: bool = False
    strikes: int = 0
    evicted: bool = False  # its pictures were deleted to make room


def seen(number: int, task: Task) -> Expected:
    """Return the same parts of a task of the queue."""
    return Expected(
        event=number,
        state=task.state,
        since=task.since,
        ended=task.ended,
        has_reply=task.reply is not None,
        cause=task.cause,
        attempts=task.attempts,
        in_hand=task.in_hand,
        suspect=task.suspect,
        strikes=task.strikes,
        evicted=task.state in (State.FAILED, State.LABELLED) and task.payload is None,
    )


def form(number: int) -> dict[str, Any]:
    """Return an event; some are larger, and they come from three cameras and two hosts."""
    return {
        "pictures": 1 + number % 2,
        "size": 30 + 700 * (number % 3),
        "camera": f"camera {number % 3}",
        "host": f"host-{number % 2}.test",
    }


EVENT = {number: make_event(number, **form(number)) for number in range(EVENTS)}
NUMBER_OF = {event.digest: number for number, event in EVENT.items()}


class QueueModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.clock = HandClock()
        self.tasks: dict[int, Expected] = {}
        self.ids_given: set[int] = set()
        self.ids_are_known = True
        self.labels_lost: set[int] = set()
        self.in_air: dict[int, DueDelivery] = {}
        self.newest_first = self.fair = False
        self.queue = self.open()

    def open(self) -> TaskQueue:
        order = {"newest_first": self.newest_first, "fair": self.fair}
        queue = open_queue(Path(self.folder.name), clock=self.clock, bounds=BOUNDS, **order)
        self.housekeeper = Housekeeper(queue)
        self.running = True
        return queue

    def crash(self) -> None:
        self.running = False
        crash(self.queue)
        self.in_air.clear()

    def teardown(self) -> None:
        try:
            if self.running:
                self.finish_everything()
        finally:
            if self.running:
                self.crash()
            self.folder.cleanup()

    @initialize(newest_first=st.booleans(), fair=st.booleans(), labelled=st.integers(0, 3), pending=st.integers(0, 3))
    def begin(self, newest_first: bool, fair: bool, labelled: int, pending: int) -> None:
        """Choose the order; begin with some events, since few sequences of random steps get as far as a delivery."""
        self.newest_first, self.fair = newest_first, fair
        self.restart_cleanly()
        for number in range(labelled):
            self.clock.tick(1.0)
            self.put(number)
            self.claim()
            for task_id in self.in_hand():
                self.label(task_id)
        for number in range(labelled, labelled + pending):
            self.put(number)

    # The sender

    @rule(number=st.integers(0, EVENTS - 1))
    def put(self, number: int) -> None:
        self.was_put(number, commit(self.queue, lambda q: q.put(EVENT[number])))

    def was_put(self, number: int, receipt: Receipt) -> None:
        known = next((task_id for task_id, task in self.tasks.items() if task.event == number), None)
        task_id = int(receipt.id)
        if known is not None and self.is_lost(known):
            del self.tasks[known]
            known = None
        if known is None:
            assert not receipt.duplicate
            assert task_id not in self.ids_given or not self.ids_are_known, "an id was given out twice"
            self.ids_given.add(task_id)
            self.tasks[task_id] = Expected(number, since=self.now())
            return
        assert receipt[:2] == (str(known), True)
        if self.tasks[known].state is State.FAILED:
            self.redriven(known, posted_again=True)

    def is_lost(self, task_id: int) -> bool:
        """Return whether a failed task has neither pictures nor labels left."""
        task = self.tasks[task_id]
        return task.state is State.FAILED and task.evicted and not task.has_reply

    # The worker

    @precondition(lambda self: self.having(State.PENDING))
    @rule()
    def claim(self) -> None:
        self.was_claimed(commit(self.queue, lambda q: q.claim()))

    def was_claimed(self, task: Task | None) -> None:
        expected = self.next_claims()
        assert bool(expected) == (task is not None)
        if task is not None:
            task_id = int(task.id)
            assert task_id in expected
            self.change(task_id, in_hand=True)
            if task_id not in self.queue.store.table:
                return  # another caller of the same batch dropped it
            payload = self.queue.read_payload(task)
            event = EVENT[self.tasks[task_id].event]
            assert (payload.pictures, payload.meta["rest"]) == (event.pictures, event.rest)

    def next_claims(self) -> set[int]:
        """Return the tasks that may be claimed next; there are several if cameras take turns."""
        free = [task_id for task_id in self.having(State.PENDING) if not self.tasks[task_id].in_hand]
        suspects = [task_id for task_id in free if self.tasks[task_id].suspect]
        if suspects:
            return set() if self.in_hand() else {min(suspects)}
        if any(self.tasks[task_id].suspect for task_id in self.in_hand()):
            return set()
        by_camera: dict[str | None, list[int]] = defaultdict(list)
        for task_id in free:
            by_camera[EVENT[self.tasks[task_id].event].camera if self.fair else None].append(task_id)
        return {max(ids) if self.newest_first else min(ids) for ids in by_camera.values()}

    @precondition(lambda self: self.in_hand())
    @rule(data=st.data(), what=st.sampled_from(["labelled", "labelled", "give back", "fail"]))
    def end_labeling(self, data: st.DataObject, what: str) -> None:
        task_id = data.draw(st.sampled_from(self.in_hand()))
        if what == "labelled":
            self.label(task_id)
        elif what == "give back":
            commit(self.queue, lambda q: q.give_back(task_id))
            self.change(task_id, in_hand=False)
        else:
            commit(self.queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
            self.failed(task_id, Cause.LABELING)

    def label(self, task_id: int) -> None:
        commit(self.queue, lambda q: q.labelled(task_id, REPLY))
        self.change(task_id, state=State.LABELLED, has_reply=True, in_hand=False, suspect=False, strikes=0)

    @precondition(lambda self: self.having(State.LABELLED))
    @rule()
    def take_delivery(self) -> None:
        delivery = commit(self.queue, lambda q: q.deliveries.take())
        self.was_taken(delivery)
        if delivery is None:
            due = self.queue.store.schedule.next_due(self.now())
            waiting = set(self.having(State.LABELLED)) - set(self.in_air)
            assert due is not None or self.in_air or not waiting, f"nothing will ever deliver {waiting}"

    def was_taken(self, delivery: DueDelivery | None) -> None:
        if delivery is None:
            return
        task_id = int(delivery.task.id)
        assert self.tasks[task_id].state is State.LABELLED
        assert task_id not in self.in_air, "the same reply is being delivered twice"
        self.in_air[task_id] = delivery
        if task_id in self.queue.store.table and self.queue.get(task_id).reply:  # no other of its batch ended it
            assert self.queue.read_reply(delivery.task) == REPLY

    @precondition(lambda self: self.in_air)
    @rule(data=st.data(), what=st.sampled_from(["done", "done", "retry", "retry later", "refused"]))
    def end_delivery(self, data: st.DataObject, what: str) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.in_air)))
        if task_id in self.tasks:  # the owner may have dropped it
            self.record(task_id, what)
        self.queue.deliveries.landed(self.in_air.pop(task_id), success=not what.startswith("retry"))

    @precondition(lambda self: self.having(State.LABELLED))
    @rule(data=st.data(), what=st.sampled_from(["done", "refused"]))
    def deliver(self, data: st.DataObject, what: str) -> None:
        """Take a delivery and end one, in one step: otherwise few examples have a done task or a refused one."""
        self.take_delivery()
        if self.in_air:
            self.end_delivery(data, what)

    def record(self, task_id: int, what: str) -> None:
        if what == "done":
            commit(self.queue, lambda q: q.deliveries.done(task_id))
        elif what == "refused":
            commit(self.queue, lambda q: q.fail(task_id, Cause.REFUSED, "404"))
        else:
            asked = 1000.0 if what == "retry later" else None
            commit(self.queue, lambda q: q.deliveries.retry(task_id, "503", asked))
        self.was_recorded(task_id, what)

    def was_recorded(self, task_id: int, what: str) -> None:
        attempts = self.tasks[task_id].attempts + 1
        if what == "done":
            # A done task keeps nothing that only waiting tasks need, so that many of them take little memory.
            self.change(task_id, state=State.DONE, since=0.0, ended=self.now(), has_reply=False, evicted=False)
        elif what == "refused":
            self.failed(task_id, Cause.REFUSED)
        self.change(task_id, attempts=attempts)

    # The owner

    @precondition(lambda self: self.having(State.FAILED))
    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(self.having(State.FAILED)))
        if self.is_lost(task_id):
            with pytest.raises(WrongState):
                commit(self.queue, lambda q: q.redrive(task_id))
            return
        commit(self.queue, lambda q: q.redrive(task_id))
        self.redriven(task_id)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.tasks)))
        commit(self.queue, lambda q: q.drop(task_id))
        del self.tasks[task_id]

    # The disk

    @rule(data=st.data(), call=st.sampled_from(["write", "sync"]))
    def let_the_disk_fail(self, data: st.DataObject, call: str) -> None:
        """A refused commit changes nothing, and running work continues."""
        known = {task.event for task in self.tasks.values()}
        operations: list[Callable[[TaskQueue], object]] = []
        operations += [partial(TaskQueue.put, given=EVENT[number]) for number in EVENT.keys() - known]
        operations += [partial(_done, task_id=task_id) for task_id in self.in_air.keys() & self.tasks.keys()]
        operations += [partial(TaskQueue.labelled, task_id=task_id, reply=REPLY) for task_id in self.in_hand()]
        if not operations:
            return
        disk = self.queue.store.disk
        assert isinstance(disk, CountingDisk)
        refusals = iter([OSError("refused")])
        disk.fails = lambda name, _: next(refusals, None) if name == call else None
        with pytest.raises(StoreUnavailable):
            commit(self.queue, data.draw(st.sampled_from(operations)))
        disk.fails = lambda *_: None

    @rule(missing=st.sampled_from([1, 300, 3000]))
    def run_out_of_room(self, missing: int) -> None:
        """Making room deletes only pictures that are kept for the owner, and none if all of them would not suffice."""
        capacity, before = self.queue.capacity, self.queue.store.bytes_used
        capacity.bounds = replace(BOUNDS, max_bytes=max(0, before - missing))
        has_room = self.queue.capacity.make_room(0)
        capacity.bounds = BOUNDS
        evicted = [task_id for task_id in self.with_kept_pictures() if self.queue.get(task_id).payload is None]
        assert bool(evicted) <= has_room
        assert not has_room or self.queue.store.bytes_used <= max(0, before - missing)
        for task_id in evicted:
            self.change(task_id, evicted=True)

    def with_kept_pictures(self) -> list[int]:
        """Return the tasks whose pictures are kept only for the owner."""
        kept = [*self.having(State.FAILED), *self.having(State.LABELLED)]
        return [task_id for task_id in kept if not self.tasks[task_id].evicted]

    # Time

    @rule(seconds=st.sampled_from([0.5, 3.0, 60.0, HOUR, 3 * HOUR]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule(seconds=st.sampled_from([-HOUR, YEAR]))
    def set_the_wall_clock(self, seconds: float) -> None:
        before = self.now()
        self.clock.wall_seconds += seconds
        assert self.now() == before

    @rule()
    def housekeeping(self) -> None:
        while self.housekeeper.step():
            pass
        now = self.now()
        for task_id in sorted(self.waiting(), key=lambda task_id: (self.tasks[task_id].since, task_id)):
            task = self.tasks[task_id]
            if now - task.since <= BOUNDS.max_age or task.in_hand or task_id in self.in_air:
                break
            self.failed(task_id, Cause.EXPIRED)
        for state, keep in ((State.DONE, BOUNDS.done_keep), (State.FAILED, BOUNDS.failed_keep)):
            for task_id in self.having(state):
                if now - self.tasks[task_id].ended > keep:
                    del self.tasks[task_id]

    @rule(limit=st.sampled_from([1, 400, 100_000]), steps=st.integers(1, 4))
    def compaction(self, limit: int, steps: int) -> None:
        for _ in range(steps):
            self.queue.store.storage.compact_step(limit)

    # Ends of a run

    @rule()
    def restart_cleanly(self) -> None:
        self.running = False
        self.queue.close()
        self.in_air.clear()
        for task_id in self.in_hand():
            self.change(task_id, in_hand=False)
        self.queue = self.open()

    @rule(reboots=st.booleans())
    def die(self, reboots: bool) -> None:
        elapsed = self.now()
        self.crash()
        if reboots:
            self.clock.reboot()
        self.queue = self.open()
        assert max([0.0, *(max(task.since, task.ended) for task in self.tasks.values())]) <= self.now() <= elapsed
        in_hand = self.in_hand()
        for task_id in in_hand:
            strikes = self.tasks[task_id].strikes + (len(in_hand) == 1)
            self.change(task_id, in_hand=False, suspect=True, strikes=strikes)
            if strikes >= 3:
                self.failed(task_id, Cause.POISON)

    @rule(seed=st.integers(0, 2**32))
    def damage_a_journal_line(self, seed: int) -> None:
        for task_id in self.in_hand():
            commit(self.queue, lambda q, task_id=task_id: q.give_back(task_id))  # type: ignore[misc]  # binds it
            self.change(task_id, in_hand=False)
        self.crash()
        record = damage_a_line(Path(self.folder.name), random.Random(seed))
        self.queue = self.open()
        self.accept_loss_of(record)
        self.queue.store.storage.compact()  # the housekeeper compacts at once, which removes the damaged line

    def accept_loss_of(self, record: Record) -> None:
        """After damage to a record, its task may be in its earlier state or be lost; a dropped task stays dropped."""
        found = {int(key) for key in self.queue.store.storage.documents}
        match record:
            case Note():
                # The damaged record may be the only one with the highest id. Tasks with whole pictures may be lost.
                changed = found - self.tasks.keys()
                assert changed <= self.ids_given
                self.ids_are_known = False
            case Put() | Set():
                changed = {int(record.id)}
            case Del() | LiveIds():
                changed = set()
        assert found ^ self.tasks.keys() <= changed
        for task_id in changed:
            before = self.tasks.pop(task_id, None)
            if task_id in found:
                self.accept_found(self.queue.get(task_id))
            if before is not None and before.has_reply:
                self.labels_lost.add(task_id)
        # Only damage makes a start search all segments, and it then finds labels that an earlier damage had lost.
        for task_id in self.labels_lost & self.tasks.keys():
            task = self.queue.get(task_id)
            if self.tasks[task_id].state is State.PENDING and task.state is State.LABELLED:
                self.accept_found(task)

    def accept_found(self, task: Task) -> None:
        task_id = int(task.id)
        # A pending task has no payload if only the note survives that its pictures were deleted when it failed.
        has_payload = task.payload is not None or task.state is State.PENDING
        # If the line is lost that a task was delivered, its pictures and labels may be deleted already, each or both.
        is_whole = (not has_payload or self.has_its_pictures(task)) and (task.reply is None or self.has_its_reply(task))
        if not is_whole:
            commit(self.queue, lambda q: q.drop(task_id))  # the worker or the delivery fails such a task as damaged
        else:
            self.tasks[task_id] = seen(NUMBER_OF[task.digest], task)

    def has_its_pictures(self, task: Task) -> bool:
        try:
            return self.queue.read_payload(task).pictures == EVENT[NUMBER_OF[task.digest]].pictures
        except DamagedRecordError:
            return False

    def has_its_reply(self, task: Task) -> bool:
        try:
            return self.queue.read_reply(task) == REPLY
        except DamagedRecordError:
            return False

    # Invariants

    @invariant()
    def the_queue_equals_the_dictionary(self) -> None:
        found = {task.doc_id: self.queue.get(task.doc_id) for task in self.queue.store.table.tinydb}
        assert {task_id: seen(NUMBER_OF[task.digest], task) for task_id, task in found.items()} == self.tasks
        for task_id, task in found.items():
            expected = self.tasks[task_id]
            needs_payload = not (expected.evicted or task.state is State.DONE)
            assert (task.payload is not None) == needs_payload
            assert not needs_payload or self.has_its_pictures(task)
            assert task.reply is None or self.has_its_reply(task)
        for state in State:
            assert self.queue.store.index.counts[state] == len(self.having(state))
        assert list(self.queue.store.index.waiting.after(0)) == self.waiting()
        assert len(self.queue.store.schedule.in_air) == len(self.in_air)

    @invariant()
    def the_counted_bytes_are_correct(self) -> None:
        files = [path for path in Path(self.folder.name).rglob("*") if path.is_file()]
        stored = sum(path.stat().st_size for path in files if path.name not in ("lock", "format", "queue.json.new"))
        assert self.queue.store.bytes_used == stored

    def finish_everything(self) -> None:
        """Label and deliver all waiting tasks: nothing stalls."""
        for task_id in list(self.in_air):
            self.queue.deliveries.landed(self.in_air.pop(task_id), success=True)
        for task_id in self.in_hand():
            commit(self.queue, lambda q, task_id=task_id: q.labelled(task_id, REPLY))  # type: ignore[misc]  # binds it
        while (task := commit(self.queue, lambda q: q.claim())) is not None:
            claimed = int(task.id)
            commit(self.queue, lambda q, claimed=claimed: q.labelled(claimed, REPLY))  # type: ignore[misc]  # as above
        for _ in range(10 * EVENTS):
            if (delivery := commit(self.queue, lambda q: q.deliveries.take())) is not None:
                delivered = int(delivery.task.id)
                commit(self.queue, lambda q, delivered=delivered: q.deliveries.done(delivered))  # type: ignore[misc]  # as above
                self.queue.deliveries.landed(delivery, success=True)
            elif (due := self.queue.store.schedule.next_due(self.now())) is not None:
                self.clock.tick(due - self.now() + 0.001)
        assert len(self.queue.store.index.waiting) == 0

    # The dictionary

    def now(self) -> float:
        return self.queue.store.elapsed.now()

    def change(self, task_id: int, **fields: Any) -> None:
        self.tasks[task_id] = replace(self.tasks[task_id], **fields)

    def failed(self, task_id: int, cause: Cause) -> None:
        self.change(task_id, state=State.FAILED, ended=self.now(), cause=cause, in_hand=False, suspect=False)

    def redriven(self, task_id: int, *, posted_again: bool = False) -> None:
        """Set the task as retried. If it has killed the process, only the owner's retry resets that count."""
        task = self.tasks[task_id]
        state = State.LABELLED if task.has_reply else State.PENDING
        strikes = task.strikes if posted_again and state is State.PENDING else 0
        changes = {"state": state, "since": self.now(), "ended": 0.0, "cause": None, "attempts": 0}
        self.change(task_id, **changes, strikes=strikes, suspect=strikes > 0)

    def having(self, state: State) -> list[int]:
        return sorted(task_id for task_id, task in self.tasks.items() if task.state is state)

    def waiting(self) -> list[int]:
        return sorted(self.having(State.PENDING) + self.having(State.LABELLED))

    def in_hand(self) -> list[int]:
        return [task_id for task_id in self.having(State.PENDING) if self.tasks[task_id].in_hand]


def _done(queue: TaskQueue, task_id: int) -> None:
    queue.deliveries.done(task_id)


def damage_a_line(folder: Path, chance: random.Random) -> Record:
    """Damage a byte of a line of the newest journal; return the record that the line held."""
    journal = max(folder.glob("queue.journal-*"))
    lines = journal.read_bytes().splitlines(keepends=True)
    hit = chance.choice(range(len(lines)))
    [record] = Scan(lines_of(lines[hit]), LostIds(), lambda *_: None)
    damaged = bytearray(lines[hit])
    damaged[chance.randrange(len(damaged) - 1)] ^= 1 << chance.randrange(3)
    lines[hit] = bytes(damaged)
    journal.write_bytes(b"".join(lines))
    return record


def test_the_queue_equals_a_dictionary_after_any_sequence_of_events(
    long_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 700)  # the events are small
    bounded = settings(
        max_examples=5000 if long_run else 70,
        stateful_step_count=60 if long_run else 40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(QueueModel, settings=bounded)

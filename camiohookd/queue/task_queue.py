"""The durable queue: every accepted event is a task, and the next `commit` makes the changes of the verbs durable.

    put ─▶ pending ─claim─▶ (in hand) ─labeled─▶ labeled ─take─▶ (in flight) ──done─▶ done
                              └─ give_back            └──────retry──────┘ └─fail─▶ failed ─redrive─▶ …

`TaskQueue` has the verbs, `Deliveries` those of delivering; `QueueStore` keeps what they change, `TaskReader` answers
questions, and `Capacity` refuses events and makes room. No verb commits: the caller uses some verbs and then `commit`.
All of it belongs to the store thread; only `prepare` and `read_payload` may be called from any thread. Times are in
elapsed seconds, see `clock`.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from camiohookd.errors import StoreUnavailable, WrongState
from camiohookd.queue.capacity import Bounds, Capacity
from camiohookd.queue.deliveries import Deliveries
from camiohookd.queue.reader import TaskReader
from camiohookd.queue.rescue import rescue
from camiohookd.queue.store import QueueStore
from camiohookd.queue.task import WAITING, Cause, Receipt, State, Task, new_task
from camiohookd.storage.documents import Document
from camiohookd.storage.payload_record import Draft, draft, finish
from camiohookd.storage.quarantine import Kind
from camiohookd.system.clock import Clock
from camiohookd.system.disk import Disk
from camiohookd.system.log_fields import about
from camiohookd.units import plural
from camiohookd.wire.event import Event
from camiohookd.wire.reply import Reply, summary

MAX_STRIKES = 3
"""How often the process may die while it labels one task alone, before the task fails."""

log = logging.getLogger("camiohookd.queue")


class Prepared(NamedTuple):
    """An event that is ready to be put; `received` is wall time."""

    event: Event
    received: float
    draft: Draft


class TaskQueue:
    """The queue in the state folder `folder`.

    `backoff(failures)` gives the seconds until the next try after that many failures. It calls
    `on_failed(task, cause, reason)` for every task that fails, before the commit. If `fair`, cameras take turns.
    `briefly` means that it is opened for one command. Raises StateFolderError, StateFolderBusy if the folder cannot be
    used, and StoreUnavailable if the disk fails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backoff: Callable[[int], float],
        bounds: Bounds | None = None,
        newest_first: bool = False,
        fair: bool = True,
        clock: Clock | None = None,
        disk: Disk | None = None,
        on_failed: Callable[[Task, Cause, str], None] = lambda *_: None,
        briefly: bool = False,
    ) -> None:
        store = QueueStore(folder, backoff=backoff, fair=fair, clock=clock, disk=disk, briefly=briefly)
        self.store = store
        self.tasks = TaskReader(store)
        self.capacity = Capacity(store, bounds or Bounds())
        self.deliveries = Deliveries(store, self.capacity.drain, backoff)
        # Shortcuts; documented where they are defined.
        self.batch, self.all_or_nothing = store.changes.batch, store.changes.all_or_nothing
        self.commit, self.undo = store.changes.commit, store.changes.undo
        self.get = store.table.get
        self.read_payload, self.read_reply = store.records.read_payload, store.records.read_reply
        self._on_failed = on_failed
        self._newest_first = newest_first
        with store.opening(), self.batch():
            self._recover(unclean=not store.was_clean)
            store.note_stop(clean=False)
            self.commit()

    def _recover(self, *, unclean: bool) -> None:
        """Recover from the end of the last run."""
        rescued = rescue(self.store)  # do this first: a task whose labels are found is no longer in hand
        in_hand = self.tasks.in_hand()
        for task_id in in_hand:
            self._strike(self.get(task_id), alone=len(in_hand) == 1)
        if unclean:
            maybe_delivered = self.store.schedule.due(self.store.elapsed.now())
            maybe_delivered += rescued.difference(maybe_delivered)
            message = "the last run was cut off: %s in hand, %s may have arrived"
            in_doubt = plural(len(maybe_delivered), "delivery", "deliveries")
            log.warning(
                message,
                plural(len(in_hand), "event was", "events were"),
                in_doubt,
                extra=about("labelling_interrupted"),
            )
        else:
            maybe_delivered = list(rescued)
        self.deliveries.note_maybe_delivered(maybe_delivered)

    def _strike(self, task: Task, *, alone: bool) -> None:
        """Label `task`, during which the process died, alone next time; after `MAX_STRIKES` such deaths, fail it."""
        strikes = task.strikes + alone
        self.store.table.change(int(task.id), {"suspect": True, "strikes": strikes}, remove=("in_hand",))
        if strikes >= MAX_STRIKES:
            reason = f"the service died {strikes} times while it labeled this event alone"
            self.fail(int(task.id), Cause.POISON, reason)
            self.store.changes.once_durable(
                lambda: log.error(
                    "task %s failed: %s", task.id, reason, extra=about("failed", task=task.id, camera=task.camera)
                )
            )

    def close(self) -> None:
        """Write everything to the snapshot, which ``TinyDB("queue.json")`` can read, and unlock the folder.

        If the disk has no room for a snapshot, the journals stay.
        """
        try:
            with self.batch():
                for task_id in self.tasks.in_hand():
                    self.store.table.change(task_id, {}, remove=("in_hand",))
                # Replies in flight may still arrive, as after a crash.
                self.store.note_stop(clean=self.deliveries.all_known)
                self.commit()
        except StoreUnavailable as error:
            log.warning("cannot record that the queue was closed: %s", error, extra=about("queue_not_closed"))
        self.store.close(self.capacity.bounds.min_free_bytes)

    def prepare(self, event: Event) -> Prepared:
        """Do the slow part of `put` in advance; any thread may call this."""
        received = round(self.store.elapsed.wall(), 3)
        return Prepared(event, received, draft(event, received))

    def put(self, given: Event | Prepared) -> Receipt:
        """Accept an event, or find that it is known.

        Raises QueueFull; if its `need` is not 0, `capacity.make_room` may help before another try.
        """
        event = given.event if isinstance(given, Prepared) else given
        known = self._known(event)
        if known is not None:
            return known
        prepared = given if isinstance(given, Prepared) else self.prepare(given)
        task_id = self.store.table.take_id()
        record = finish(prepared.draft, task_id)
        with self.store.changes.writing():
            self.capacity.check(len(record))
            place = self.store.records.payloads.append(record)
        self.store.table.insert(task_id, new_task(event, place, prepared.received, self.store.elapsed.now()))
        self.store.changes.once_durable(self._accepted)
        return Receipt(str(task_id), duplicate=False)

    def _accepted(self) -> None:
        self.store.accepted += 1

    def _known(self, event: Event) -> Receipt | None:
        task_id = self.store.index.with_digest(event.digest)
        if task_id is None:
            return None
        task = self.get(task_id)
        if task.state is State.FAILED:
            if task.cause is Cause.DAMAGED or (task.reply is None and task.payload is None):
                self.drop(task_id)  # there are neither pictures nor labels left: accept the event as a new one
                return None
            self._redrive(task, keep_strikes=True)
            message = "task %d had failed; its event came again, so it is tried again"
            self.store.changes.once_durable(lambda: log.info(message, task_id, extra=about("duplicate", task=task_id)))
        return Receipt(str(task_id), duplicate=True, retried=task.state is State.FAILED)

    def claim(self) -> Task | None:
        """Return the next task to label, now in hand; None if there is none, or a suspect has to be labeled alone.

        The mark is written and synced later: it is needed after crashes of the process, which lose no write.
        """
        index = self.store.index
        suspect = index.suspects.first()
        if suspect is not None and index.in_hand:
            return None
        task_id = suspect
        if task_id is None:
            task_id = index.claimable.next(newest_first=self._newest_first)
        if task_id is None or self.tasks.is_suspect_in_hand():
            return None
        self.store.table.change(task_id, {"in_hand": True}, durable=False)
        task = self.get(task_id)
        index.claimable.end_turn(task.camera or "")
        return task

    def give_back(self, task_id: int) -> None:
        """Put a claimed task back, which was not labeled and stays pending."""
        self.store.table.expect(task_id, State.PENDING)
        self.store.table.change(task_id, {}, remove=("in_hand",), durable=False)

    def labelled(self, task_id: int, reply: Reply) -> None:
        """Store the reply. Keep the pictures until it is delivered, or room is needed."""
        self.store.table.expect(task_id, State.PENDING)
        self.store.table.mark_labelled(task_id, self.store.keep_reply(task_id, reply), summary(reply))

    def fail(self, task_id: int, cause: Cause, reason: str) -> None:
        """Fail a waiting task. It is kept with its pictures and labels, and can be retried."""
        task = self.get(task_id)
        if task.state not in WAITING:
            raise WrongState(f"task {task_id} is {task.state}, not waiting")
        now = self.store.elapsed.now()
        fields: Document = {"state": State.FAILED.value, "ended": now, "cause": cause.value, "reason": reason}
        if cause in (Cause.REFUSED, Cause.PROBABLY_DELIVERED):
            fields["attempts"] = task.attempts + 1  # the POST that got this answer
        self.store.table.change(task_id, fields, remove=("in_hand", "suspect", "not_before", "firm"))

        def failed() -> None:
            self.capacity.drain.left(now)
            self._on_failed(task, cause, reason)

        self.store.changes.once_durable(failed)

    def redrive(self, task_id: int) -> None:
        """Try a failed task again: deliver its reply if there is one, otherwise label it."""
        self._redrive(self.store.table.expect(task_id, State.FAILED), keep_strikes=False)

    def _redrive(self, task: Task, *, keep_strikes: bool) -> None:
        """Retry a task. With `keep_strikes`, a task that killed the process stays a suspect and is labeled alone."""
        if task.reply is None and task.payload is None:
            raise WrongState(f"task {task.id} cannot be retried: its pictures were deleted to make room")
        state = State.PENDING if task.reply is None else State.LABELLED
        fields: Document = {"state": state.value, "since": self.store.elapsed.now()}
        unneeded = ["ended", "cause", "reason", "attempts"]
        if keep_strikes and task.strikes and state is State.PENDING:
            fields["suspect"] = True
        else:
            unneeded.append("strikes")
        self.store.table.change(int(task.id), fields, remove=tuple(unneeded))

    def drop(self, task_id: int) -> None:
        """Delete a task in any state."""
        self.get(task_id)
        self.store.table.remove(task_id)

    def set_aside(self, kind: Kind, task_id: int, data: bytes) -> None:
        """Keep the damaged record of a task in quarantine."""
        self.store.quarantine.set_aside(kind, f"task-{task_id}", data)

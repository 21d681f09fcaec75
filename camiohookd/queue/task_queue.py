"""The durable queue: every accepted event is a task, and every verb changes it for good with the next `commit`.

    put ─▶ pending ─claim─▶ (in hand) ─labelled─▶ labelled ─take_delivery─▶ (in the air) ─done─▶ done
                              └─ give_back            └─────────retry────────────┘ └─fail─▶ failed ─redrive─▶ …

The verbs only; `queuestore` keeps what they change. All of it belongs to one thread, which calls some verbs and then
`commit` (see `storethread`); `prepare` and `read_payload` alone may be called from any. Times are elapsed seconds, see
`clock`.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from camiohookd import next_try
from camiohookd.errors import StoreUnavailable, WrongState
from camiohookd.queue.capacity import Bounds, Capacity
from camiohookd.queue.recovery import recover
from camiohookd.queue.store import QueueStore
from camiohookd.queue.task import WAITING, Cause, State, Task
from camiohookd.storage.documents import Document
from camiohookd.storage.payload_record import Draft, draft, finish
from camiohookd.storage.segments import Place
from camiohookd.system.clock import Clock
from camiohookd.system.disk import Disk
from camiohookd.wire.event import Event
from camiohookd.wire.reply import Reply, summary

log = logging.getLogger("camiohookd.queue")


class Receipt(NamedTuple):
    """What the sender is told: the task's id, and whether the event was known already."""

    id: str
    duplicate: bool


class Prepared(NamedTuple):
    """An event that is ready to be put; `received` is wall time."""

    event: Event
    received: float
    draft: Draft


class DueDelivery(NamedTuple):
    """A labelled task whose reply is to be posted; `maybe_delivered`: a crash may have cut off the news of it."""

    task: Task
    maybe_delivered: bool


class TaskQueue(QueueStore):
    """The queue in the state folder `folder`.

    `backoff(failures)` gives the seconds until the next try after that many failures; `on_failed` is told of every task
    that fails; `fair`: cameras take turns at being labelled; `briefly`: it is opened for one command. Raises
    StateFolderError, StateFolderBusy when the folder cannot be used, StoreUnavailable when the disk refuses.
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
        on_failed: Callable[[Cause], None] = lambda _: None,
        briefly: bool = False,
    ) -> None:
        super().__init__(folder, backoff=backoff, fair=fair, clock=clock, disk=disk, briefly=briefly)
        self.accepted = 0
        self._backoff = backoff
        self._on_failed = on_failed
        self._newest_first = newest_first
        with self.opening(), self.batch():
            self.room = Capacity(self, bounds or Bounds())
            self._maybe_delivered = recover(self, unclean=not self.storage.notes.get("clean", True))
            self.note_stop(clean=False)
            self.commit()

    def close(self) -> None:
        """Leave everything in the snapshot, readable with ``TinyDB("queue.json")``, and unlock the folder."""
        try:
            with self.batch():
                for task_id in list(self.index.in_hand):
                    self.change(task_id, {}, remove=("in_hand",))
                # Replies in the air may arrive without our knowing: as after a crash.
                self.note_stop(clean=not (self.deliveries.in_air or self._maybe_delivered))
                self.commit()
        except StoreUnavailable as error:
            log.warning("the last run could not be noted as ended well: %s", error)
        super().close()

    def prepare(self, event: Event) -> Prepared:
        """What `put` would have to compute at length; any thread may do it before."""
        received = round(self.elapsed.wall(), 3)
        return Prepared(event, received, draft(event, received))

    def put(self, given: Event | Prepared) -> Receipt:
        """Take an event in, or find that it is known. Raises QueueFull."""
        event = given.event if isinstance(given, Prepared) else given
        known = self._known(event)
        if known is not None:
            return known
        prepared = given if isinstance(given, Prepared) else self.prepare(given)
        task_id = self.storage.take_id()
        record = finish(prepared.draft, task_id)
        try:
            self.storage.files.repair()
            self.room.make(len(record))
            place = self.segments.append(record)
        except OSError as error:
            raise self.refused(error) from error
        self.insert(task_id, _new_task(event, place, prepared.received, self.elapsed.now()))
        self.accepted += 1
        return Receipt(str(task_id), duplicate=False)

    def _known(self, event: Event) -> Receipt | None:
        task_id = self.index.with_digest(event.digest)
        if task_id is None:
            return None
        task = self.get(task_id)
        if task.state is State.FAILED:
            if task.cause is Cause.DAMAGED or (task.reply is None and task.payload is None):
                self.drop(task_id)  # nothing is left to send on its way again: take the event in anew
                return None
            self.redrive(task_id)
            log.info("task %d had failed; its event came again, so it is on its way again", task_id)
        return Receipt(str(task_id), duplicate=True)

    def claim(self) -> Task | None:
        """The next task to label, now in hand; None when there is none to be had.

        The mark is written but waits for the next sync: it is there for crashes of the process, which lose no write.
        """
        suspect = self.index.suspects.first()
        if suspect is not None and self.index.in_hand:
            return None
        task_id = suspect
        if task_id is None:
            task_id = self.index.claimable.next(newest_first=self._newest_first)
        if task_id is None or self._alone():
            return None
        self.change(task_id, {"in_hand": True}, durable=False)
        task = self.get(task_id)
        self.index.claimable.end_turn(task.camera or "")
        return task

    def _alone(self) -> bool:
        """A suspect is in hand: nothing else may be until it is labelled."""
        return any(self.storage.documents[str(task_id)].get("suspect") for task_id in self.index.in_hand)

    def give_back(self, task_id: int) -> None:
        """What was claimed is not labelled after all; it stays pending."""
        self._expect(task_id, State.PENDING)
        self.change(task_id, {}, remove=("in_hand",), durable=False)

    def labelled(self, task_id: int, reply: Reply) -> None:
        """Keep the reply, and let the pictures go."""
        self._expect(task_id, State.PENDING)
        self.mark_labelled(task_id, self.keep_reply(task_id, reply), summary(reply))

    def take_delivery(self, slots: int = sys.maxsize) -> DueDelivery | None:
        """Return the next reply to post, in the air until `landed`; None when none is due.

        `slots` is how many replies are posted at one time; see `DeliverySchedule.take`.
        """
        task_id = self.deliveries.take(self.elapsed.now(), slots)
        if task_id is None:
            return None
        return DueDelivery(self.get(task_id), task_id in self._maybe_delivered)

    def done(self, task_id: int) -> None:
        """The reply arrived."""
        task = self._expect(task_id, State.LABELLED)
        fields = {"state": State.DONE.value, "ended": self.elapsed.now(), "attempts": task.attempts + 1}
        self.room.drain.left(self.elapsed.now())
        self.change(task_id, fields, remove=("reply", "callback_url", "since", "not_before", "firm", "reason"))

    def retry(self, task_id: int, reason: str, retry_after: float | None = None) -> float:
        """The reply is to be posted again later; `retry_after` are the seconds the receiver asked for.

        Returns the seconds until then.
        """
        task = self._expect(task_id, State.LABELLED)
        wait = next_try.delay(self._backoff, task.attempts + 1, retry_after)
        fields: Document = {"attempts": task.attempts + 1, "reason": reason}
        fields["not_before"] = round(self.elapsed.now() + wait, 3)
        if retry_after:
            fields["firm"] = True
        self.change(task_id, fields, remove=() if retry_after else ("firm",))
        return wait

    def landed(self, delivery: DueDelivery, *, success: bool | None, answered: bool = False) -> None:
        """End a try whose outcome is recorded; what it says about the host is not written to the disk.

        For the arguments see `DeliverySchedule.landed`.
        """
        task_id = int(delivery.task.id)
        if success is not None:
            self._maybe_delivered.discard(task_id)
        self.deliveries.landed(task_id, self.elapsed.now(), success=success, answered=answered)

    def fail(self, task_id: int, cause: Cause, reason: str) -> None:
        """Give a waiting task up; it is kept with what is left of it and can be redriven."""
        task = self.get(task_id)
        if task.state not in WAITING:
            raise WrongState(f"task {task_id} is {task.state}, not waiting")
        fields: Document = {
            "state": State.FAILED.value,
            "ended": self.elapsed.now(),
            "cause": cause.value,
            "reason": reason,
        }
        if cause in (Cause.REFUSED, Cause.PROBABLY_DELIVERED):
            fields["attempts"] = task.attempts + 1  # the POST whose answer this is
        self.room.drain.left(self.elapsed.now())
        self.change(task_id, fields, remove=("in_hand", "suspect", "not_before", "firm"))
        self._on_failed(cause)

    def redrive(self, task_id: int) -> None:
        """Send a failed task on its way again: to be delivered if its reply is there, else to be labelled."""
        task = self._expect(task_id, State.FAILED)
        if task.reply is None and task.payload is None:
            raise WrongState(f"task {task_id} cannot be retried: its pictures were deleted to make room")
        state = State.PENDING if task.reply is None else State.LABELLED
        fields = {"state": state.value, "since": self.elapsed.now()}
        self.change(task_id, fields, remove=("ended", "cause", "reason", "attempts", "strikes"))

    def drop(self, task_id: int) -> None:
        """Forget a task, whatever its state."""
        self.get(task_id)
        self.remove(task_id)

    def let_payload_go(self, task_id: int) -> int:
        """Give the pictures of a failed task up to make room; returns how many bytes they take."""
        task = self._expect(task_id, State.FAILED)
        self.change(task_id, {}, remove=("payload",))
        return task.payload.length if task.payload else 0

    def is_in_air(self, task_id: int) -> bool:
        return self.deliveries.is_in_air(task_id)

    def _expect(self, task_id: int, state: State) -> Task:
        task = self.get(task_id)
        if task.state is not state:
            raise WrongState(f"task {task_id} is {task.state}, not {state}")
        return task


def _new_task(event: Event, place: Place, received: float, now: float) -> Task:
    return Task(
        digest=event.digest,
        received=received,
        since=now,
        images=len(event.pictures),
        camera=event.camera,
        user_id=event.user_id,
        callback_url=event.callback_url,
        payload=place,
    )

"""The verbs of delivering: take a labeled task's reply to post it, and record the outcome.

    labeled ─take─▶ (in flight) ──done─▶ done, or retry, or `TaskQueue.fail`
                          └─landed─▶ the schedule notes what the outcome means for the host

As with `TaskQueue`, no verb commits.
"""

import sys
from collections.abc import Callable, Iterable

from camiohookd import next_try
from camiohookd.queue.capacity import DrainRate
from camiohookd.queue.sorted_ids import OrderedIds
from camiohookd.queue.store import QueueStore
from camiohookd.queue.task import DueDelivery, State
from camiohookd.storage.documents import Document


class Deliveries:
    """Changes the labeled tasks in `store`. Belongs to the store thread.

    `backoff(failures)` gives the seconds until the next try after that many failures.
    """

    def __init__(self, store: QueueStore, drain: DrainRate, backoff: Callable[[int], float]) -> None:
        self._store = store
        self._drain = drain
        self._backoff = backoff
        self._maybe_delivered = OrderedIds()  # a tenth of the memory of a set

    def note_maybe_delivered(self, task_ids: Iterable[int]) -> None:
        """Note that the replies of these tasks may have arrived, because the last run did not end cleanly."""
        self._maybe_delivered.fill(task_ids)

    @property
    def all_known(self) -> bool:
        """Return whether the outcome of every delivery is known."""
        return not (self._store.schedule.in_air or self._maybe_delivered)

    def take(self, slots: int = sys.maxsize) -> DueDelivery | None:
        """Return the next reply to post, in flight until `landed`; None when none is due.

        `slots` is the number of concurrent deliveries; see `DeliverySchedule.take`.
        """
        schedule = self._store.schedule
        task_id = schedule.take(self._store.elapsed.now(), slots)
        if task_id is None:
            return None
        return DueDelivery(self._store.table.get(task_id), task_id in self._maybe_delivered, schedule.flight(task_id))

    def done(self, task_id: int) -> None:
        """Record that the reply arrived, and delete reply and pictures."""
        task = self._store.table.expect(task_id, State.LABELLED)
        now = self._store.elapsed.now()
        self._store.changes.once_durable(lambda: self._drain.left(now))
        fields = {"state": State.DONE.value, "ended": now, "attempts": task.attempts + 1}
        unneeded = ("reply", "payload", "callback_url", "since", "not_before", "firm", "reason")
        self._store.table.change(task_id, fields, remove=unneeded)

    def retry(self, task_id: int, reason: str, retry_after: float | None = None) -> float:
        """Plan another try to deliver; `retry_after` is the seconds that the receiver asked for.

        Return the seconds until then.
        """
        task = self._store.table.expect(task_id, State.LABELLED)
        wait = next_try.delay(self._backoff, task.attempts + 1, retry_after)
        fields: Document = {"attempts": task.attempts + 1, "reason": reason}
        fields["not_before"] = round(self._store.elapsed.now() + wait, 3)
        if retry_after:
            fields["firm"] = True
        self._store.table.change(task_id, fields, remove=() if retry_after else ("firm",))
        return wait

    def landed(self, delivery: DueDelivery, *, success: bool | None, answered: bool = False) -> None:
        """End a try whose outcome is recorded. Only the schedule in memory changes.

        A second call does nothing. For the arguments see `DeliverySchedule.landed`.
        """
        task_id = int(delivery.task.id)
        schedule = self._store.schedule
        if schedule.flight(task_id) != delivery.flight:
            return
        if success is not None:
            self._maybe_delivered.discard(task_id)
        schedule.landed(task_id, self._store.elapsed.now(), success=success, answered=answered)

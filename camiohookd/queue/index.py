"""What the queue must find fast, kept beside the documents and changed with every one of them.

The storage tells of every change, made or undone; nothing here is written to the disk, opening the queue rebuilds it.
"""

import re
import sys

from camiohookd.queue.camera_turns import CameraTurns
from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.sorted_ids import OrderedIds, TimedIds
from camiohookd.queue.task import WAITING, State
from camiohookd.storage.documents import Document
from camiohookd.storage.segments import Place, Segments

_HOST = re.compile(r"[^/]*//([^/?#]*)")


def host_of(url: str) -> str:
    """What stands between the slashes: deliveries are paced by it."""
    match = _HOST.match(url)
    return match[1].lower() if match else ""


def _compact(digest: str) -> int | str:
    """The number that it is, which takes half the memory."""
    try:
        return int(digest, 16)
    except ValueError:
        return digest


class TaskIndex:
    """Every access costs the same however many tasks there are. Belongs to the store thread."""

    def __init__(self, segments: Segments, deliveries: DeliverySchedule, *, fair: bool = True) -> None:
        self._segments = segments
        self._deliveries = deliveries
        self.by_state = {state: OrderedIds() for state in State}
        self.waiting = OrderedIds()
        self.claimable = CameraTurns(fair=fair)
        self.suspects = OrderedIds()
        self.in_hand: set[int] = set()
        self._by_digest: dict[int | str, int] = {}
        self.by_age = TimedIds()  # what waits, by `since`
        self.ended = {State.DONE: TimedIds(), State.FAILED: TimedIds()}  # by `ended`
        self.kept_payloads = TimedIds()  # the failed with a payload, by `ended`

    @property
    def counts(self) -> dict[State, int]:
        return {state: len(ids) for state, ids in self.by_state.items()}

    def with_digest(self, digest: str) -> int | None:
        """The task of the event that has this digest."""
        return self._by_digest.get(_compact(digest))

    @property
    def is_claimable(self) -> bool:
        """Whether any task waits to be labelled; it may have to wait for a suspect that is in hand."""
        return bool(self.claimable or self.suspects)

    def latest_time(self) -> float:
        """The latest elapsed time of anything that happened to a task."""
        return max(times.latest() for times in (self.by_age, *self.ended.values()))

    def observe(self, key: str, before: Document | None, after: Document | None) -> None:
        """A document was `before` and is now `after`; None is one that is not there."""
        task_id = int(key)
        if before is not None:
            self._remove(task_id, before)
        if after is not None:
            self._add(task_id, after)

    def _add(self, task_id: int, document: Document) -> None:
        state = State(document["state"])
        self.by_state[state].add(task_id)
        self._by_digest[_compact(document["digest"])] = task_id
        if place := document.get("payload"):
            self._segments.need(Place(*place))
        if state in WAITING:
            self.waiting.add(task_id)
            self.by_age.add(task_id, document.get("since", 0.0))
            self._add_waiting(task_id, state, document)
        else:
            ended = document.get("ended", 0.0)
            self.ended[state].add(task_id, ended)
            if place and state is State.FAILED:
                self.kept_payloads.add(task_id, ended)

    def _add_waiting(self, task_id: int, state: State, document: Document) -> None:
        if state is State.LABELLED:
            self._deliveries.add(
                task_id,
                sys.intern(host_of(document["callback_url"])),  # many tasks share a few of them
                sys.intern(document.get("camera") or ""),
                document.get("not_before", 0.0),
                firm=document.get("firm", False),
            )
        elif document.get("in_hand"):
            self.in_hand.add(task_id)
        elif document.get("suspect"):
            self.suspects.add(task_id)
        else:
            self.claimable.add(task_id, sys.intern(document.get("camera") or ""))

    def _remove(self, task_id: int, document: Document) -> None:
        state = State(document["state"])
        self.by_state[state].discard(task_id)
        if self.with_digest(document["digest"]) == task_id:
            del self._by_digest[_compact(document["digest"])]
        if place := document.get("payload"):
            self._segments.let_go(Place(*place))
        if state not in WAITING:
            self.ended[state].discard(task_id)
            self.kept_payloads.discard(task_id)
            return
        self._deliveries.remove(task_id)
        self.by_age.discard(task_id)
        self.waiting.discard(task_id)
        self.claimable.discard(task_id, document.get("camera") or "")
        self.suspects.discard(task_id)
        self.in_hand.discard(task_id)

"""An index in memory of what the queue must find fast, updated with every document.

The storage reports every change, made or undone. The index is not written to the disk: opening the queue rebuilds it.
"""

import re
import sys
from array import array

import msgspec

from camiohookd.queue.camera_turns import CameraTurns
from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.kept_pictures import KeptPictures
from camiohookd.queue.sorted_ids import AgedIds, OrderedIds
from camiohookd.queue.task import WAITING, State
from camiohookd.storage.documents import Document, Documents
from camiohookd.storage.segments import Place, Segments

_HOST = re.compile(r"[^/]*//([^/?#]*)")


def host_of(url: str) -> str:
    """Return host and port of a URL, by which deliveries are scheduled."""
    match = _HOST.match(url)
    return match[1].lower() if match else ""


class _Facts(msgspec.Struct, frozen=True):
    """The fields of a document that the index needs; see `Task`."""

    state: State
    digest: str
    since: float = 0.0
    ended: float = 0.0
    callback_url: str = ""
    camera: str | None = None
    not_before: float = 0.0
    firm: bool = False
    in_hand: bool = False
    suspect: bool = False
    payload: Place | None = None
    reply: Place | None = None


_decoder = msgspec.json.Decoder(_Facts)


def _compact(digest: str) -> int | str:
    """Convert a digest to a number, which takes half the memory."""
    try:
        return int(digest, 16)
    except ValueError:
        return digest


class TaskIndex:
    """The tasks by digest, state and age. No access takes longer if there are more. Belongs to the store thread."""

    def __init__(
        self, segments: Segments, replies: Segments, deliveries: DeliverySchedule, *, fair: bool = True
    ) -> None:
        self._segments = segments
        self._replies = replies
        self._deliveries = deliveries
        self.by_state = {state: OrderedIds() for state in State}
        self.waiting = OrderedIds()
        self.claimable = CameraTurns(fair=fair)
        self.suspects = OrderedIds()
        self.in_hand: set[int] = set()
        self.suspects_in_hand: set[int] = set()
        self._by_digest: dict[int | str, int] = {}
        self.by_age = AgedIds()  # the waiting, by `since`
        self.ended = {State.DONE: AgedIds(), State.FAILED: AgedIds()}  # by `ended`
        self.kept_pictures = KeptPictures()

    @property
    def counts(self) -> dict[State, int]:
        return {state: len(ids) for state, ids in self.by_state.items()}

    def with_digest(self, digest: str) -> int | None:
        """Return the task of the event that has this digest."""
        return self._by_digest.get(_compact(digest))

    @property
    def waiting_count(self) -> int:
        """Return the number of tasks that are neither delivered nor failed."""
        return len(self.waiting)

    @property
    def is_claimable(self) -> bool:
        """Whether any task waits to be labeled; it may have to wait for a suspect that is in hand."""
        return bool(self.claimable or self.suspects)

    def latest_time(self) -> float:
        """Return the latest elapsed time of anything that happened to a task."""
        return max(times.latest() for times in (self.by_age, *self.ended.values()))

    def fill(self, documents: Documents) -> None:
        """Add all documents at the opening of a queue. It equals observing each, and is much faster."""
        ids: dict[State, list[int]] = {state: [] for state in State}
        times = {state: array("d") for state in State}  # not lists: freed floats would leave gaps in the memory
        for task_id, document in documents.all_encoded():
            facts = _decoder.decode(document)
            ids[facts.state].append(task_id)
            times[facts.state].append(facts.since if facts.state in WAITING else facts.ended)
            self._add_unsorted(task_id, facts)
        for state in State:
            self.by_state[state].fill(ids[state])
            if state in WAITING:
                self.waiting.fill(ids[state])
                self.by_age.fill(zip(times[state], ids[state], strict=True))
            else:
                self.ended[state].fill(zip(times[state], ids[state], strict=True))

    def observe(self, task_id: int, before: Document | None, after: Document | None) -> None:
        """Note that a document was `before` and is now `after`; None means no document."""
        if before is not None:
            task_id = self._remove(task_id, msgspec.convert(before, _Facts))
        if after is not None:
            self._add(task_id, msgspec.convert(after, _Facts))

    def _add(self, task_id: int, facts: _Facts) -> None:
        self.by_state[facts.state].add(task_id)
        if facts.state in WAITING:
            self.waiting.add(task_id)
            self.by_age.add(task_id, facts.since)
        else:
            self.ended[facts.state].add(task_id, facts.ended)
        self._add_unsorted(task_id, facts)

    def _add_unsorted(self, task_id: int, facts: _Facts) -> None:
        """Add a task to the collections that cannot be filled in bulk."""
        self._by_digest[_compact(facts.digest)] = task_id
        if facts.payload:
            self._segments.need(facts.payload)
            if facts.state is State.FAILED:
                self.kept_pictures.add(task_id, facts.payload, facts.ended)
            elif facts.state is State.LABELLED:
                self.kept_pictures.add(task_id, facts.payload)
        if facts.reply:
            self._replies.need(facts.reply)
        if facts.state is State.LABELLED:
            self._deliveries.add(
                task_id,
                sys.intern(host_of(facts.callback_url)),  # many tasks share a few of them
                sys.intern(facts.camera or ""),
                facts.not_before,
                firm=facts.firm,
            )
        elif facts.state is State.PENDING:
            self._add_pending(task_id, facts)

    def _add_pending(self, task_id: int, facts: _Facts) -> None:
        if facts.in_hand:
            self.in_hand.add(task_id)
            if facts.suspect:
                self.suspects_in_hand.add(task_id)
        elif facts.suspect:
            self.suspects.add(task_id)
        else:
            self.claimable.add(task_id, sys.intern(facts.camera or ""))

    def _remove(self, task_id: int, facts: _Facts) -> int:
        """Remove a task. Return its id as it was added: a second object for it would take 32 bytes a task."""
        self.by_state[facts.state].discard(task_id)
        digest = _compact(facts.digest)
        if self._by_digest.get(digest) == task_id:
            task_id = self._by_digest.pop(digest)
        if facts.payload:
            self._segments.let_go(facts.payload)
            self.kept_pictures.discard(task_id, facts.payload)
        if facts.reply:
            self._replies.let_go(facts.reply)
        if facts.state not in WAITING:
            self.ended[facts.state].discard(task_id, facts.ended)
            return task_id
        self._deliveries.remove(task_id)
        self.by_age.discard(task_id, facts.since)
        self.waiting.discard(task_id)
        self.claimable.discard(task_id, facts.camera or "")
        self.suspects.discard(task_id)
        self.in_hand.discard(task_id)
        self.suspects_in_hand.discard(task_id)
        return task_id

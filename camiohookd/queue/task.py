"""A task: one accepted event, from the answer 200 to the delivery of its labels."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from camiohookd.storage.documents import Document
from camiohookd.storage.segments import Place
from camiohookd.wire.event import Event


class State(StrEnum):
    """pending ─▶ labeled (the reply is stored) ─▶ done; or failed, which the owner can retry."""

    PENDING = "pending"
    LABELLED = "labelled"
    DONE = "done"
    FAILED = "failed"


WAITING = (State.PENDING, State.LABELLED)


class Cause(StrEnum):
    """Why a task failed, as a short word for metrics and filters; the task's `reason` is a sentence."""

    EXPIRED = "expired"
    POISON = "poison"
    NO_PICTURE = "no-picture"
    LABELING = "labeling"
    DAMAGED = "damaged"
    REFUSED = "refused"
    NOT_ALLOWED = "not-allowed"
    PROBABLY_DELIVERED = "probably-delivered"


class Task(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task as one TinyDB document; `id` is the document's id.

    `payload` and `reply` are the places of the records of the pictures and of the labels in their segments.
    `labels` is a summary of the reply, which is kept after the reply is deleted. `attempts` counts the finished POSTs
    to the callback, including the one that delivered the reply.

    `received` is wall time (seconds since 1970); `since` (when it was last put into the queue), `not_before` and
    `ended` are elapsed seconds, see `clock`. `firm`: the receiver set `not_before`. `in_hand`: it is being labeled;
    `suspect`: it was in hand when the process died; `strikes`: how often the process died while it labeled this task
    alone.
    """

    id: str = ""
    state: State = State.PENDING
    digest: str = ""
    received: float = 0.0
    since: float = 0.0
    images: int = 0
    camera: str | None = None
    user_id: str | None = None
    callback_url: str = ""
    payload: Place | None = None
    reply: Place | None = None
    labels: str = ""
    attempts: int = 0
    not_before: float = 0.0
    firm: bool = False
    ended: float = 0.0
    cause: Cause | None = None
    reason: str = ""
    in_hand: bool = False
    suspect: bool = False
    strikes: int = 0

    @classmethod
    def from_document(cls, key: str, document: Document) -> "Task":
        return msgspec.convert({**document, "id": key}, cls)

    def to_document(self) -> Document:
        """Convert to JSON data, without the id."""
        document: Document = msgspec.json.decode(msgspec.json.encode(self))
        document.pop("id", None)
        document["state"] = str(self.state)
        return document


def new_task(event: Event, place: Place, received: float, now: float) -> Task:
    """Return the pending task of an accepted event; `received` is wall time, `now` elapsed time."""
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


class Receipt(NamedTuple):
    """The answer to the sender: the task's id, and whether the event was known already.

    `retried`: it had failed, and is tried again.
    """

    id: str
    duplicate: bool
    retried: bool = False


class DueDelivery(NamedTuple):
    """A labeled task whose reply is to be posted.

    `maybe_delivered`: a crash may have lost the outcome of its delivery. `flight` identifies this try.
    """

    task: Task
    maybe_delivered: bool
    flight: int

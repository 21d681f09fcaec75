"""What the commands may ask of the running daemon through its control socket."""

import msgspec

from camiohookd.monitoring.status import StatusReport
from camiohookd.queue import commands


class AskStatus(msgspec.Struct, frozen=True, tag="status"):
    """Answered by `status.StatusReport`."""


class ExpectNonce(msgspec.Struct, frozen=True, tag="expect-nonce"):
    """Answer ``GET /tasks/?nonce=NONCE`` of the public listener with a proof, once; answered by `Proof`."""

    nonce: str


class AllowTestCallback(msgspec.Struct, frozen=True, tag="allow-test-callback"):
    """Let labels be sent to an origin on the loopback for two minutes; answered by `Allowed`."""

    origin: str


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Begin to drain, end it, or with None change nothing; answered by `DrainProgress`.

    The health check fails at once, and new events are refused after `grace` seconds.
    """

    on: bool | None = None
    grace: float = 0.0


class Proof(msgspec.Struct, frozen=True):
    """What the public listener answers the nonce with."""

    proof: str


class Allowed(msgspec.Struct, frozen=True):
    """The origin is allowed for that many seconds."""

    seconds: float


class DrainProgress(msgspec.Struct, frozen=True):
    """Whether the box drains, and already refuses new events.

    `pending` events still have to be labeled, `labelled` ones to be delivered.
    """

    is_on: bool
    refuses: bool
    pending: int
    labelled: int


OwnCommand = AskStatus | ExpectNonce | AllowTestCallback | Drain
"""What the daemon itself answers; the queue answers the others."""

Command = commands.Command | OwnCommand

OwnResult = StatusReport | Proof | Allowed | DrainProgress

"""One POST of the labels to the event's callback URL: `AllowList.check`, then `Courier.deliver`, then an `Outcome`.

    allowlist: may it be called? ─▶ courier: one try ─▶ adapter ─▶ dialing: name, addresses, each checked ─▶ the socket
                                        └─ watchdog: when it has to be over         outcome: what came of it ◀──┘

`AllowList` decides where a delivery may go, `Courier` makes exactly one try and says what came of it, `backoff` says
how long to wait before the next one. What the other side does never raises here.
"""

from camiohookd.delivery.allow_list import AllowList, Target
from camiohookd.delivery.ca_store import trusted_certificates
from camiohookd.delivery.outcome import Outcome, OutcomeKind, backoff
from camiohookd.delivery.sender import Courier

__all__ = ["AllowList", "Courier", "Outcome", "OutcomeKind", "Target", "backoff", "trusted_certificates"]

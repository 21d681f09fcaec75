"""One POST of the labels to the event's callback URL: `AllowList.check`, then `Courier.deliver`, then an `Outcome`.

`AllowList` decides where a delivery may go, `Courier` makes exactly one try and says what came of it, `backoff` says
how long to wait before the next one. What the other side does never raises here.
"""

from camiohookd.callback.allowlist import AllowList
from camiohookd.callback.courier import Courier
from camiohookd.callback.outcome import Outcome, OutcomeKind, backoff

__all__ = ["AllowList", "Courier", "Outcome", "OutcomeKind", "backoff"]

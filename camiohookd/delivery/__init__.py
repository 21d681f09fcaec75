"""POST the labels to the event's callback URL: `AllowList.check`, then `Sender.deliver`, then a `DeliveryOutcome`.

    allow_list: may it be called? ─▶ sender: one try ─▶ adapter ─▶ dialer: name, addresses, each checked ─▶ socket
                                        └─ attempt: its step and time limits      next_try: the outcome ◀─ answer ◀┘

`AllowList` decides where a delivery may go, `Sender` makes exactly one try and says what came of it; `next_try` says
what that means and when to try again. What the other side does never raises here.
"""

from camiohookd.delivery.allow_list import AllowList, Target
from camiohookd.delivery.ca_store import trusted_certificates
from camiohookd.delivery.sender import Sender

__all__ = ["AllowList", "Sender", "Target", "trusted_certificates"]

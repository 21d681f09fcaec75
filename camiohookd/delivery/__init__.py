"""POST the labels to the event's callback URL: `AllowList.check`, then `Sender.deliver`, then a `DeliveryOutcome`.

    allow_list: may it be called? ─▶ sender: one try ─▶ outgoing: dial, send, read ─▶ next_try: the outcome

`AllowList` decides where a delivery may go. `Sender` makes exactly one try; nothing that the other side does makes it
raise. `next_try` decides what the try means and when the next one is.
"""

from camiohookd.delivery.allow_list import AllowList, Target
from camiohookd.delivery.sender import Sender
from camiohookd.outgoing.ca_store import trusted_certificates

__all__ = ["AllowList", "Sender", "Target", "trusted_certificates"]

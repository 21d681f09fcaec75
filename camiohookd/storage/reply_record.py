"""The record of a reply that waits for its delivery.

See `record` for the frame. The magic is ``CHR1``. The meta has the fields of `FACTS` as they are in the document, from
which the task is restored if its document is lost. The data is the reply as JSON.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from camiohookd.storage import record
from camiohookd.storage.record import HEAD_BYTES, Head
from camiohookd.wire.reply import Reply

MAGIC = b"CHR1"
FACTS = ("digest", "received", "images", "camera", "user_id", "callback_url")

_decoder = msgspec.json.Decoder(Reply)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as it was stored: `facts` are the fields of its task's document that are named in `FACTS`."""

    task_id: int
    facts: dict[str, Any]
    reply: Reply


def encode(task_id: int, document: dict[str, Any], reply: Reply | dict[str, Any]) -> bytearray:
    """Return the record of the reply to the task that has this document."""
    meta = msgspec.json.encode({name: document[name] for name in FACTS if name in document})
    made = bytearray().join([bytes(HEAD_BYTES), meta, msgspec.json.encode(reply)])
    record.write_head(made, MAGIC, Head(task_id, len(meta), len(made) - HEAD_BYTES, record.checksum(made)))
    return made


def decode(stored: bytes) -> StoredReply:
    """Decode the record of a reply. Raises DamagedRecordError."""
    head, facts, data = record.decode(stored, MAGIC)
    return StoredReply(head.task_id, facts, _decoder.decode(data))

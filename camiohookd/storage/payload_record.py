"""The record of an event, which mainly holds its decoded pictures.

See `record` for the frame. The magic is ``CHP1``. The meta has ``digest``, ``received`` (wall time), ``pictures`` (the
timestamp and the length of each) and ``rest`` (the payload without its images). The data are the pictures, joined.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from camiohookd.storage import record
from camiohookd.storage.record import HEAD_BYTES, Head
from camiohookd.wire.event import Event
from camiohookd.wire.images import Picture

MAGIC = b"CHP1"

KINDS = tuple(f"{MAGIC.decode()}.{kind}" for kind in record.CHECKSUM_KINDS)
"""The kinds of records that this version can read; it writes the last one.

The package tells them to the trial of an upgrade: an event that the new version accepted goes back with the queue only
if the version before can read its record. A record that today's version could not read needs another magic.
"""


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """An event as it was stored: `meta` has ``digest``, ``received`` and ``rest`` (the payload without its images)."""

    task_id: int
    meta: dict[str, Any]
    pictures: tuple[Picture, ...]


class Draft(NamedTuple):
    """A record without its head, for which `record` has room. Everything that takes long is done."""

    meta_length: int
    record: bytearray
    checksum: int


def draft(event: Event, received: float) -> Draft:
    """Make the record of an event, except its head; `received` is wall time."""
    pictures = [[picture.timestamp, len(picture.data)] for picture in event.pictures]
    meta = msgspec.json.encode({"digest": event.digest, "received": received, "pictures": pictures, "rest": event.rest})
    drafted = bytearray().join([bytes(HEAD_BYTES), meta, *(picture.data for picture in event.pictures)])
    return Draft(len(meta), drafted, record.checksum(drafted))


def finish(draft: Draft, task_id: int) -> bytearray:
    """Complete a record, in place, and return it."""
    drafted = draft.record
    record.write_head(drafted, MAGIC, Head(task_id, draft.meta_length, len(drafted) - HEAD_BYTES, draft.checksum))
    return drafted


def decode(stored: bytes) -> StoredPayload:
    """Decode the record of an event. Raises DamagedRecordError."""
    head, meta, data = record.decode(stored, MAGIC)
    pictures, offset = [], 0
    for timestamp, length in meta.pop("pictures"):
        pictures.append(Picture(timestamp, bytes(data[offset : offset + length])))
        offset += length
    return StoredPayload(head.task_id, meta, tuple(pictures))

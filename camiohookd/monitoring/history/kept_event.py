"""Read one event of the history from its files, for a command: the daemon may be running or not.

Nothing is written. The daemon only adds records, so that a whole one never changes.
"""

from pathlib import Path
from typing import NamedTuple

from camiohookd.monitoring.history import records
from camiohookd.monitoring.history.files import EventFiles
from camiohookd.monitoring.history.records import StoredEvent
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.disk import Disk

FOLDER = Path("history", "events")
"""In the state folder."""


class KeptEvent(NamedTuple):
    """An event, and the JPEGs of its pictures that are kept, by the pictures' numbers from 0."""

    event: StoredEvent
    thumbnails: dict[int, bytes]


def read_event(state: Path, task_id: int) -> KeptEvent | None:
    """Return an event; None if it is not remembered. Raises OSError."""
    folder = state / FOLDER
    if not any(folder.iterdir()):
        return None
    files = EventFiles(folder, Disk())
    event: StoredEvent | None = None
    thumbnails: dict[int, bytes] = {}
    for place, owner, meta, data in files.scan():
        if owner != task_id:
            continue
        try:
            if meta.kind == "event":
                event = records.decode_event(data)
            elif meta.kind == "thumbnail":
                thumbnails[meta.picture] = files.read(place)[2]
        except DamagedRecordError:
            continue  # what else is kept of the event may be whole
    return KeptEvent(event, thumbnails) if event else None

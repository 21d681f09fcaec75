"""All that is remembered, on the disk and in memory: takes in what happens, and makes room.

    what happens ─▶ event segments and index, cameras.json, rings of trends     questions ─▶ `Reader`

Belongs to one thread, that of `History`.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from camiohookd.activity import EventAccepted, EventLabelled, Occurrence
from camiohookd.history import records, trends
from camiohookd.history.cameras import MAX_CAMERAS, CameraBook
from camiohookd.history.files import SEGMENT_BYTES, EventFiles
from camiohookd.history.index import Entry, EventIndex
from camiohookd.history.reader import Reader
from camiohookd.history.records import Step, StoredEvent
from camiohookd.history.trends import Sample, TrendRecorder
from camiohookd.storage.record import DamagedRecordError
from camiohookd.storage.segments import Place
from camiohookd.system.disk import Disk

MAX_BYTES = 32_000_000
"""Of the whole folder."""

SAVE_SECONDS = 300.0
"""How often at most the cameras are written."""

OTHER_BYTES = 3_000_000
"""Of them, what is left for the rings and the cameras."""

_STEPS_CARRIED = 5

log = logging.getLogger("camiohookd.history")


class _Carried(NamedTuple):
    """A camera's last event with a thumbnail, out of a segment that is deleted."""

    entry: Entry
    event: StoredEvent
    picture: int
    jpeg: bytes


class Archive:
    """Remembers the last `keep` events in `folder`, each camera's last picture, and numbers; with 0 only numbers.

    `max_bytes` is the most that the folder takes; `min_free_bytes` is left free on the disk, if need be by forgetting.
    Raises OSError if the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        *,
        disk: Disk,
        min_free_bytes: int = 0,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._keep = keep
        self._disk = disk
        self._min_free_bytes = min_free_bytes
        self._most_event_bytes = max_bytes - OTHER_BYTES
        self._files = EventFiles(folder / "events", disk, segment_bytes)
        self._index = EventIndex(keep, MAX_CAMERAS)
        self._cameras = CameraBook(folder / "cameras.json", disk)
        self._refused = False
        self._save_next = time.monotonic() + SAVE_SECONDS
        self.trends = TrendRecorder(folder)
        self.reader = Reader(self._files, self._index, self._cameras)
        self._read_events()

    def _read_events(self) -> None:
        if not self._keep:
            while (number := self._files.oldest()) is not None:
                self._files.drop(number)
        for place, task_id, meta, data in self._files.scan():
            with suppress(DamagedRecordError):
                match meta.kind:
                    case "event":
                        self._index.put(task_id, records.decode_event(data), place, old=meta.old)
                    case "step":
                        self._index.add_step(task_id, records.decode_step(data))
                    case "thumbnail":
                        self._index.add_thumbnail(task_id, meta.picture, place)
        self._index.tidy()
        self._free_unneeded()

    @property
    def bytes_used(self) -> int:
        """What the events take on the disk."""
        return self._files.bytes_used

    def close(self) -> None:
        """Leave everything on stable storage."""
        self._files.close()
        self.trends.save()
        self._save_cameras()

    # Taking in what happens

    def take_in(self, occurrence: Occurrence, now: float) -> None:
        """Remember what happened; `now` is the time, in seconds since 1970."""
        trends.count(self.trends.now(now), occurrence)
        task_id = int(occurrence.task_id)
        if isinstance(occurrence, EventAccepted):
            self._cameras.seen(occurrence.camera, occurrence.at)
        elif isinstance(occurrence, EventLabelled):
            self._take_in_labelled(task_id, records.stored(occurrence))
        elif step := records.step_of(occurrence):
            self._take_in_step(task_id, step)

    def _take_in_labelled(self, task_id: int, event: StoredEvent) -> None:
        self._cameras.labelled(event.camera, event.received, [name for name, _ in event.labels])
        if not self._keep:
            return
        before = self._index.get(task_id)
        thumbnails = self._thumbnails(before) if before else {}
        place = self._append(records.encode_event(task_id, event))
        if place is not None:
            self._index.put(task_id, event, place)
            self._repeat(task_id, event.labelled, before, thumbnails)

    def _repeat(self, task_id: int, at: float, before: Entry | None, thumbnails: Mapping[int, bytes]) -> None:
        """Add to an event that was labelled again what there was of it: its earlier records are forgotten."""
        for step in before.steps if before else ():
            self._take_in_step(task_id, step)
        if before and before.state != "labelled":
            self._take_in_step(task_id, Step(what="retried", at=at, camera=before.camera))
        for picture, jpeg in thumbnails.items():
            self.keep_thumbnail(task_id, picture, jpeg)

    def _thumbnails(self, entry: Entry) -> dict[int, bytes]:
        found = {picture: self.reader.thumbnail(entry.id, picture) for picture in entry.thumbnails}
        return {picture: jpeg for picture, jpeg in found.items() if jpeg is not None}

    def _take_in_step(self, task_id: int, step: Step) -> None:
        if self._keep and self._index.add_step(task_id, step):
            self._append(records.encode_step(task_id, step))

    def keep_thumbnail(self, task_id: int, picture: int, jpeg: bytes) -> bool:
        """Keep the thumbnail of a picture; return False if its event is not remembered, or the disk is full."""
        if self._index.get(task_id) is None:
            return False
        place = self._append(records.encode_thumbnail(task_id, picture, jpeg))
        if place is not None:
            self._index.add_thumbnail(task_id, picture, place)
        return place is not None

    def tick(self, now: float, state: Sample) -> None:
        """Note the state; to be called several times a minute. If the disk is short, forget events for the queue."""
        self.trends.sample(now, state)
        try:
            self._has_room(0)
        except OSError as error:
            self._complain(error)
        if time.monotonic() >= self._save_next:
            self._save_cameras()

    def _save_cameras(self) -> None:
        self._save_next = time.monotonic() + SAVE_SECONDS
        try:
            self._cameras.save()
        except OSError as error:
            self._complain(error)

    def unsettled(self) -> list[int]:
        """Return the events of which it is not known whether they were delivered."""
        return [entry.id for entry in self._index.newest_first() if entry.state == "labelled"]

    def settle(self, known: Mapping[int, Step | None]) -> None:
        """Correct what has become of events: after a crash the queue knows better.

        None: the queue has forgotten that event. One that is not in `known` still waits.
        """
        for task_id, step in known.items():
            if step is not None:
                self._take_in_step(task_id, step)
            elif (entry := self._index.get(task_id)) is not None:
                entry.state = "unknown"

    # Room

    def _append(self, record: bytes) -> Place | None:
        """Add a record, if need be in the place of older ones; None if the disk refuses or is full."""
        try:
            if not self._has_room(len(record)):
                return None
            place = self._files.append(record)
        except OSError as error:
            self._complain(error)
            return None
        self._refused = False
        if place.offset == 0:
            self._free_unneeded()
        return place

    def _has_room(self, need: int) -> bool:
        """Delete the oldest events until `need` bytes fit; return whether they do."""
        while self._files.bytes_used + need > self._most_event_bytes or self._is_disk_short(need):
            if (number := self._files.oldest()) is None and (number := self._files.retire()) is None:
                return self._files.bytes_used + need <= self._most_event_bytes and not self._is_disk_short(need)
            self._drop(number, carry=not self._is_disk_short(need))
        return True

    def _is_disk_short(self, need: int) -> bool:
        return self._disk.free_bytes(self._folder) < self._min_free_bytes + need

    def _free_unneeded(self) -> None:
        """Delete the segments that have no record of a remembered event."""
        while (number := self._files.oldest()) is not None:
            needed = self._index.needed()
            if needed is not None and needed <= number:
                return
            self._drop(number, carry=False)

    def _drop(self, number: int, *, carry: bool) -> None:
        """Delete a segment; `carry` over the last pictures of cameras."""
        carried = [each for entry in self._index.pictured() if (each := self._carried(entry, number))] if carry else []
        self._index.lose(number)
        self._files.drop(number)
        for entry, event, picture, jpeg in carried:
            place = self._files.append(records.encode_event(entry.id, event, old=True))
            self._index.put(entry.id, event, place, old=True)
            for step in entry.steps[-_STEPS_CARRIED:]:
                self._files.append(records.encode_step(entry.id, step))
                self._index.add_step(entry.id, step)
            place = self._files.append(records.encode_thumbnail(entry.id, picture, jpeg))
            self._index.add_thumbnail(entry.id, picture, place)

    def _carried(self, entry: Entry, number: int) -> _Carried | None:
        """Return what to keep of a camera's last event; None if it is not in that segment, or cannot be read."""
        if number not in entry.segments():
            return None
        picture = next(iter(entry.thumbnails))
        event, jpeg = self.reader.stored(entry), self.reader.thumbnail(entry.id, picture)
        return _Carried(entry, event, picture, jpeg) if event and jpeg else None

    def _complain(self, error: OSError) -> None:
        if not self._refused:
            log.warning(
                "cannot keep the events for the status page: %s; they are labelled and delivered all the same", error
            )
        self._refused = True

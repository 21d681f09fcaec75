"""Keep the history on the disk and in memory: record what happens, and delete the oldest when room is short.

    occurrences ─▶ event segments and index, cameras.json, rings of trends     questions ─▶ `Reader`

Only the thread of `ArchiveThread` may use it.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from camiohookd.monitoring.activity import EventAccepted, EventLabeled, Occurrence
from camiohookd.monitoring.history import records, trends
from camiohookd.monitoring.history.bounded_events import BoundedEvents, EventBounds
from camiohookd.monitoring.history.cameras import MAX_CAMERAS, CameraBook
from camiohookd.monitoring.history.files import SEGMENT_BYTES, EventFiles
from camiohookd.monitoring.history.index import EventIndex, IndexedEvent
from camiohookd.monitoring.history.reader import Reader
from camiohookd.monitoring.history.records import Step, StoredEvent
from camiohookd.monitoring.history.trends import Sample, TrendRecorder
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.disk import Disk

MAX_BYTES = 32_000_000
"""The most bytes that the whole folder may take."""

SAVE_SECONDS = 300.0
"""The least time between two writes of the cameras."""

OTHER_BYTES = 3_000_000
"""Bytes of `MAX_BYTES` that are reserved for the rings and the cameras."""

log = logging.getLogger("camiohookd.history")


class Archive:
    """Keeps the last `keep` events in `folder`, each camera's last picture, and the trends; with 0 only the trends.

    The folder takes at most `max_bytes`. Old events are deleted while the disk has less than `min_free_bytes` free.
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
        self._keep = keep
        self._disk = disk
        self._files = EventFiles(folder / "events", disk, segment_bytes)
        self._index = EventIndex(keep, MAX_CAMERAS)
        self._cameras = CameraBook(folder / "cameras.json", disk)
        self._save_next = time.monotonic() + SAVE_SECONDS
        self.trends = TrendRecorder(folder)
        self.reader = Reader(self._files, self._index, self._cameras)
        bounds = EventBounds(max_bytes - OTHER_BYTES, min_free_bytes, lambda: disk.free_bytes(folder))
        self._events = BoundedEvents(self._files, self._index, self.reader, bounds)
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
                    case "step" if meta.begins or self._index.get(task_id) is not None:
                        self._index.add_step(task_id, records.decode_step(data))
                    case "thumbnail":
                        self._index.add_thumbnail(task_id, meta.picture, place)
        self._index.tidy()
        self._events.drop_unneeded()

    @property
    def bytes_used(self) -> int:
        """Return the bytes that the events take on the disk."""
        return self._files.bytes_used

    @property
    def written(self) -> int:
        """Return the bytes written to the disk since the start."""
        return self._disk.written + self.trends.written

    def close(self) -> None:
        """Write everything to the disk and sync it."""
        self._files.close()
        self.trends.save()
        self._save_cameras()

    # Recording

    def take_in(self, occurrence: Occurrence, now: float) -> None:
        """Record an occurrence; `now` is in seconds since 1970."""
        trends.count(self.trends.now(now), occurrence)
        task_id = int(occurrence.task_id)
        if isinstance(occurrence, EventAccepted):
            self._cameras.seen(occurrence.camera, occurrence.at)
        elif isinstance(occurrence, EventLabeled):
            self._take_in_labelled(task_id, records.stored(occurrence))
        elif step := records.step_of(occurrence):
            self._take_in_step(task_id, step)

    def _take_in_labelled(self, task_id: int, event: StoredEvent) -> None:
        self._cameras.labelled(event.camera, event.received, [name for name, _ in event.labels])
        if not self._keep:
            return
        before = self._index.get(task_id)
        thumbnails = self._thumbnails(before) if before else {}
        place = self._events.append(records.encode_event(task_id, event))
        if place is not None:
            self._index.put(task_id, event, place)
            self._repeat(task_id, event.labelled, before, thumbnails)

    def _repeat(self, task_id: int, at: float, before: IndexedEvent | None, thumbnails: Mapping[int, bytes]) -> None:
        """Write the steps and thumbnails of an event that was labeled again: its earlier records are forgotten."""
        for step in before.steps if before else ():
            self._take_in_step(task_id, step)
        if before and before.state != "labelled":
            self._take_in_step(task_id, Step(what="retried", at=at, camera=before.camera))
        for picture, jpeg in thumbnails.items():
            self.keep_thumbnail(task_id, picture, jpeg)

    def _thumbnails(self, entry: IndexedEvent) -> dict[int, bytes]:
        found = {picture: self.reader.thumbnail(entry.id, picture) for picture in entry.thumbnails}
        return {picture: jpeg for picture, jpeg in found.items() if jpeg is not None}

    def _take_in_step(self, task_id: int, step: Step) -> None:
        begins = self._index.get(task_id) is None
        if self._keep and self._index.add_step(task_id, step):
            self._events.append(records.encode_step(task_id, step, begins=begins))

    def keep_thumbnail(self, task_id: int, picture: int, jpeg: bytes) -> bool:
        """Keep the thumbnail of a picture; return False if its event is not kept, or the disk is full."""
        if self._index.get(task_id) is None:
            return False
        place = self._events.append(records.encode_thumbnail(task_id, picture, jpeg))
        if place is not None:
            self._index.add_thumbnail(task_id, picture, place)
        return place is not None

    def tick(self, now: float, state: Sample) -> None:
        """Record the state, and delete events if the disk is short. Call this several times a minute."""
        self.trends.sample(now, state)
        self._events.make_room()
        if time.monotonic() >= self._save_next:
            self._save_cameras()

    def _save_cameras(self) -> None:
        self._save_next = time.monotonic() + SAVE_SECONDS
        try:
            self._cameras.save()
        except OSError as error:
            self._events.complain(error)

    def unsettled(self) -> list[int]:
        """Return the ids of events that are labeled and, as far as is known, not delivered."""
        return [entry.id for entry in self._index.newest_first() if entry.state == "labelled"]

    def settle(self, known: Mapping[int, Step | None]) -> None:
        """Correct the states of events after a crash, from what the queue knows.

        `known` maps an event to its last step, or to None if the queue has forgotten it. Other events still wait.
        """
        for task_id, step in known.items():
            if step is not None:
                self._take_in_step(task_id, step)
            elif (entry := self._index.get(task_id)) is not None:
                entry.state = "unknown"

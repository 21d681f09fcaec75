"""Answer questions about the history: lists of events, one event, its thumbnails, the cameras, a replay.

Belongs to the archive's thread, and reads its files and index.
"""

import logging
from collections.abc import Iterator

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.monitoring.history import records, replay
from camiohookd.monitoring.history.cameras import CameraBook
from camiohookd.monitoring.history.files import EventFiles
from camiohookd.monitoring.history.index import EventIndex, IndexedEvent
from camiohookd.monitoring.history.records import StoredEvent
from camiohookd.monitoring.history.views import (
    CameraView,
    EventDetails,
    EventList,
    EventSummary,
    PictureDetails,
    RecentDetection,
    Replay,
    State,
)
from camiohookd.pictures.detections import foot
from camiohookd.rules import Explained
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.log_fields import about

MAX_PAGE = 200
_EVENTS_FOR_DETECTIONS = 50

log = logging.getLogger("camiohookd.history")


class Reader:
    """Reads the history, and changes nothing. `History` has the same questions, and explains their arguments."""

    def __init__(self, files: EventFiles, index: EventIndex, cameras: CameraBook) -> None:
        self._files = files
        self._index = index
        self._cameras = cameras

    def events(
        self, *, camera: str | None, label: str | None, state: State | None, before: int | None, limit: int
    ) -> EventList:
        found: list[EventSummary] = []
        limit = min(max(limit, 1), MAX_PAGE)
        for entry in self._before(before):
            if (
                (camera is None or (entry.camera or "") == camera)
                and (label is None or any(name == label for name, _ in entry.labels))
                and (state is None or entry.state == state)
            ):
                if len(found) == limit:
                    return EventList(tuple(found), found[-1].id)
                found.append(_summary(entry))
        return EventList(tuple(found), None)

    def _before(self, before: int | None) -> Iterator[IndexedEvent]:
        entries = self._index.newest_first()
        if before is None:
            return entries
        if self._index.get(before) is None:
            return (entry for entry in entries if entry.id < before)
        for entry in entries:
            if entry.id == before:
                break
        return entries

    def event(self, task_id: int) -> EventDetails | None:
        """Return an event in full; None if it is not kept."""
        entry = self._index.get(task_id)
        if entry is None:
            return None
        event = self.stored(entry) or StoredEvent(received=entry.received, labelled=0.0, rule=Rule())
        return EventDetails(
            summary=_summary(entry),
            labelled=event.labelled,
            rule=event.rule,
            pictures=tuple(
                PictureDetails(
                    number=number,
                    timestamp=picture.timestamp,
                    width=picture.width,
                    height=picture.height,
                    detections=tuple(rules.explain(event.rule, replay.ruled(event.rule, picture))),
                    more=picture.more,
                    has_thumbnail=number in entry.thumbnails,
                )
                for number, picture in enumerate(event.pictures)
            ),
            more_pictures=event.more_pictures,
            event_labels=event.event_labels,
            rejected=event.rejected,
            incomplete=event.incomplete,
            reply=event.reply,
            wait_seconds=event.wait_seconds,
            label_seconds=event.label_seconds,
            decode_seconds=event.decode_seconds,
            model_seconds=event.model_seconds,
            device=event.device,
            steps=tuple(entry.steps),
        )

    def thumbnail(self, task_id: int, picture: int) -> bytes | None:
        """Return a thumbnail as a JPEG; None if there is none, or it cannot be read."""
        entry = self._index.get(task_id)
        place = entry.thumbnails.get(picture) if entry else None
        if place is None:
            return None
        try:
            owner, meta, jpeg = self._files.read(place)
        except (DamagedRecordError, OSError) as error:
            log.debug(
                "cannot read a thumbnail of event %d: %s", task_id, error, extra=about("history_not_read", task=task_id)
            )
            return None
        return jpeg if (owner, meta.picture) == (task_id, picture) else None

    def cameras(self, now: float) -> tuple[CameraView, ...]:
        views = []
        for camera in self._cameras.all():
            entry = self._index.picture_of(camera.name)
            picture = (str(entry.id), next(iter(entry.thumbnails))) if entry else None
            views.append(camera.view(now, picture))
        return tuple(views)

    def detections(self, camera: str, limit: int) -> tuple[RecentDetection, ...]:
        """Return at most `limit` objects with a box, from the camera's last events."""
        found: list[RecentDetection] = []
        entries = [entry for entry in self._index.newest_first() if (entry.camera or "") == camera and entry.event]
        for entry in entries[:_EVENTS_FOR_DETECTIONS]:
            if (event := self.stored(entry)) is not None:
                found += _recent(entry.id, event)
            if len(found) >= limit:
                break
        return tuple(found[:limit])

    def replay(self, task_id: int, rule: Rule) -> Replay | None:
        """Return what `rule` would send for an event; None if its detections are not kept."""
        entry = self._index.get(task_id)
        event = self.stored(entry) if entry else None
        return None if event is None else replay.replay(str(task_id), event, rule)

    def stored(self, entry: IndexedEvent) -> StoredEvent | None:
        """Return the record of an event; None if there is none, or it is damaged."""
        if entry.event is None:
            return None
        try:
            owner, _, data = self._files.read(entry.event)
            return records.decode_event(data) if owner == entry.id else None
        except (DamagedRecordError, OSError) as error:
            log.debug(
                "cannot read event %d of the history: %s",
                entry.id,
                error,
                extra=about("history_not_read", task=entry.id),
            )
            return None


def _summary(entry: IndexedEvent) -> EventSummary:
    return EventSummary(
        id=str(entry.id),
        camera=entry.camera,
        received=entry.received,
        state=entry.state,
        labels=entry.labels,
        pictures=entry.pictures,
        thumbnails=tuple(entry.thumbnails),
        attempts=entry.attempts,
        cause=entry.cause,
        failure=entry.failure,
    )


def _recent(task_id: int, event: StoredEvent) -> Iterator[RecentDetection]:
    for number, picture in enumerate(event.pictures):
        for explained in rules.explain(event.rule, replay.ruled(event.rule, picture)):
            if explained.found.box is not None:
                yield _in_fractions(task_id, number, (picture.width, picture.height), explained)


def _in_fractions(task_id: int, number: int, size: tuple[int, int], explained: Explained) -> RecentDetection:
    width, height = size
    found = explained.found
    assert found.box is not None, "the caller checks this"
    left, top, right, bottom = found.box
    return RecentDetection(
        event=str(task_id),
        picture=number,
        label=found.label,
        probability=found.probability,
        box=(left / width, top / height, right / width, bottom / height),
        foot=foot(found.box, width, height),
        sent=explained.left_out is None,
        threshold=found.threshold,
    )

"""Learn per camera what always stands there: a find at the same place with the same looks, event after event.

    picture and detections, in a label thread ─▶ `EventFinds.places` ─▶ `marked`: detections that are `always_there`
    the event is labeled ─▶ `EventFinds.learn` ─▶ `StaticFinds`

A sign that the model takes for a person is found in every event; a person who waits is not. So only events count, not
pictures, and a find of the current event never marks itself. It is remembered in memory alone and learned again after a
restart. When the camera's view changes, everything about it is forgotten.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection, shared_area
from camiohookd.pictures.looks import Looks, likeness, looks, view
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape
from camiohookd.units import plural

EVENTS = 2
"""The number of earlier events in which a find must have been seen to count as static."""

OF_PICTURES = 0.5
"""The least share of an event's pictures in which the place must look the same for the event to count."""

SAME_PLACE = 0.5
"""The least intersection over union of two boxes at the same place: a model's boxes of one object differ."""

SAME_LOOKS = 0.9
"""The least likeness of two looks that count as the same. A parked car has 0.97 and more, also hours later."""

SAME_VIEW = 0.5
"""The least likeness of two pictures of the same view."""

MISSED_EVENTS = 20
"""Forget a find after so many events in which it was not seen."""

MAX_FINDS = 32
"""Most finds of a camera that are remembered: those seen last."""

MAX_CAMERAS = 128
"""Most cameras that are remembered: those with an event last. All of it together stays below 8 MB."""

MAX_PICTURES = 16
"""Learn only from so many of an event's first pictures, to bound the memory."""

WIDTH = 256
"""Columns, at least, of the gray copy of a picture that is kept while its event is labeled."""

log = logging.getLogger("camiohookd.labeler")


LabeledBox = tuple[str, Box]
"""A label, and a box in fractions of a picture."""


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """A small gray copy of a picture, and what was found in it."""

    gray: Image.Image
    found: Sequence[LabeledBox]
    _looks: dict[Box, Looks] = field(default_factory=dict, init=False)

    def looks(self, box: Box) -> Looks:
        """Return the looks of a part; each is computed once."""
        if box not in self._looks:
            self._looks[box] = looks(self.gray, box)
        return self._looks[box]


def seen(picture: Decoded, found: Sequence[Detection]) -> SeenPicture:
    """Return what is kept of a picture and its detections."""
    factor = picture.image.width // WIDTH
    gray = (picture.image.reduce(factor) if factor > 1 else picture.image).convert("L")
    size = (picture.width, picture.height)
    return SeenPicture(gray, [(each.label, _in_fractions(each.box, size)) for each in found if each.box is not None])


def marked(found: Sequence[Detection], size: tuple[int, int], places: Sequence[LabeledBox]) -> Sequence[Detection]:
    """Return detections in a picture of `size` pixels, marked where they are at one of the static `places`."""
    if not places:
        return found
    return [
        each._replace(always_there=True)
        if each.box is not None and any(_is_at(place, each.label, _in_fractions(each.box, size)) for place in places)
        else each
        for each in found
    ]


def _is_at(place: LabeledBox, label: str, box: Box) -> bool:
    return place[0] == label and _overlap(place[1], box) >= SAME_PLACE


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection over union. For two boxes this is faster than numpy, and there are many pairs."""
    shared = shared_area(one, other)
    if not shared:
        return 0.0
    both = sum((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return shared / (both - shared)


def _in_fractions(box: Box, size: tuple[int, int]) -> Box:
    width, height = size
    return Box(box.left / width, box.top / height, box.right / width, box.bottom / height)


@dataclass(slots=True)
class _Find:
    """A find that is remembered: in how many `events` it was seen, and how many it was `missed` in since."""

    label: str
    box: Box
    looks: Looks
    events: int = 0
    missed: int = 0

    def is_in(self, picture: SeenPicture) -> bool:
        """Return whether it was found in a picture, at the same place with the same looks."""
        return any(self.is_at(*each) for each in picture.found) and self.looks_same_in(picture)

    def looks_same_in(self, picture: SeenPicture) -> bool:
        return likeness(self.looks, picture.looks(self.box)) >= SAME_LOOKS

    def is_at(self, label: str, box: Box) -> bool:
        return _is_at((self.label, self.box), label, box)


@dataclass(slots=True)
class _Camera:
    view: Looks
    finds: list[_Find]


class StaticFinds:
    """The static finds of all cameras; any thread may use it."""

    def __init__(self) -> None:
        self._cameras: OrderedDict[str, _Camera] = OrderedDict()
        self._lock = threading.Lock()

    def static(self, camera: str, picture: SeenPicture) -> list[LabeledBox]:
        """Return which of the finds in a picture are known to be static."""
        with self._lock:
            known = self._cameras.get(camera)
            finds = [find for find in known.finds if find.events >= EVENTS and find.is_in(picture)] if known else []
            if known is None or not finds or likeness(known.view, view(picture.gray)) < SAME_VIEW:
                return []
        return [each for each in picture.found if any(find.is_at(*each) for find in finds)]

    def learn(self, camera: str, event: Sequence[SeenPicture]) -> None:
        """Remember what was seen in the pictures of an event."""
        if not event:
            return
        with self._lock:
            known = self._known(camera, event)
            for find in known.finds:
                find.missed += 1
            for picture in event:
                new = [each for each in picture.found if not any(find.is_at(*each) for find in known.finds)]
                known.finds += [_Find(label, box, picture.looks(box)) for label, box in new]
            for find in known.finds:
                _count(camera, find, event)
            remembered = [find for find in known.finds if find.events and find.missed <= MISSED_EVENTS]
            known.finds = sorted(remembered, key=lambda find: find.missed)[:MAX_FINDS]

    def _known(self, camera: str, event: Sequence[SeenPicture]) -> _Camera:
        """Return what is known of the camera: nothing, if it is new or its view has changed."""
        known = self._cameras.pop(camera, None)
        views = [view(picture.gray) for picture in (event[0], event[len(event) // 2], event[-1])]
        if known is not None:
            alike = sorted(likeness(known.view, each) for each in views)
            if alike[len(alike) // 2] < SAME_VIEW:
                forgotten = sum(find.events >= EVENTS for find in known.finds)
                log.info(
                    "camera=%s: the view has changed, so what is always there is learned again (%s forgotten)",
                    escape(camera),
                    plural(forgotten, "object"),
                    extra=about("view_changed", camera=camera),
                )
                known = None
        known = known or _Camera(views[-1], [])
        known.view = views[-1]  # light and seasons change slowly
        self._cameras[camera] = known
        while len(self._cameras) > MAX_CAMERAS:
            self._cameras.popitem(last=False)
        return known


class EventFinds:
    """What is seen in one event; the threads that label it share it.

    Finds with one of `labels` count, with () all, if their probability is `least` or more.
    """

    def __init__(self, finds: StaticFinds, camera: str, labels: Sequence[str], least: float = 0.0) -> None:
        self._finds = finds
        self._camera = camera
        self._labels = labels
        self._least = least
        self._seen: list[SeenPicture] = []

    def places(self, picture: Decoded, found: Sequence[Detection]) -> list[LabeledBox]:
        """Return which of the finds in a picture are static, and keep what there is to learn."""
        picture_seen = seen(picture, [each for each in found if self._counts(each)])
        if len(self._seen) < MAX_PICTURES:
            self._seen.append(picture_seen)
        return self._finds.static(self._camera, picture_seen)

    def _counts(self, found: Detection) -> bool:
        return found.probability >= self._least and (not self._labels or found.label in self._labels)

    def learn(self) -> None:
        self._finds.learn(self._camera, self._seen)


def _count(camera: str, find: _Find, event: Sequence[SeenPicture]) -> None:
    """Count the event for a find if it was found, and its place looks the same in enough of the pictures."""
    # It need not be found in each picture: with detail = "auto" what does not move is looked at closely in one of them.
    if not any(find.is_in(picture) for picture in event):
        return
    there = [picture for picture in event if find.looks_same_in(picture)]
    if len(there) < OF_PICTURES * len(event):
        return
    find.looks, find.missed = there[-1].looks(find.box), 0
    find.events += 1
    if find.events == EVENTS:
        log.info(
            "camera=%s: something that looks like a %s is always there, %.0f %% from the left and %.0f %% from the top",
            escape(camera),
            escape(find.label),
            50 * (find.box.left + find.box.right),
            50 * (find.box.top + find.box.bottom),
            extra=about("static_find", camera=camera),
        )

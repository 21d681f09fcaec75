"""What was taught, as the last labeler of a chain.

frames, and what earlier labelers found ─┬─▶ kinds: for each object of a refined label
                                         └─▶ states: for each zone of the camera
the whole event ─▶ `conclude`: which states count, and which changed
"""

from collections.abc import Iterator, Sequence

from PIL import Image

from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.taught import crops
from camiohookd.labelers.taught.collection import Collection, Ready
from camiohookd.labelers.taught.steadiness import Steadiness
from camiohookd.labelers.taught.store import Taught, TaughtZone
from camiohookd.labelers.taught.unknown import Decision
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection, Polygon, scaled

OTHER = "other"
"""A label that is never reported: its examples show none of the other labels."""

MAX_OBJECTS = 8
"""Of one picture, how many objects are refined by what was taught under one name: the most probable ones."""

AT_ONCE = 16


class TaughtLabeler:
    """Labels with what is in `collection`; several threads may call it. It returns its own detections alone."""

    device = "cpu"
    at_once = AT_ONCE
    default_probability = 0.0
    """This labeler reports nothing uncertain, so no other threshold is needed."""

    def __init__(self, collection: Collection, steadiness: Steadiness) -> None:
        self._collection = collection
        self._steadiness = steadiness

    def is_for(self, camera: str | None) -> bool:
        """Return whether something is taught for a camera, at present."""
        return bool(self._ready(camera))

    @property
    def input_size(self) -> tuple[int, int]:
        sizes = [each.model.input_size for each in self._collection.current()]
        return max((width for width, _ in sizes), default=1), max((height for _, height in sizes), default=1)

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:  # noqa: ARG002  # a labeler's signature
        return self.input_size

    def close(self) -> None:
        self._collection.close()

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        """Return the states of zones, and the kinds of the objects in the request's `found`. Raises LabelingError."""
        ready = self._ready(request.camera)
        earlier = request.found or [()] * len(frames)
        return Findings([_seen(frame.decoded, found, ready) for frame, found in zip(frames, earlier, strict=True)])

    def conclude(self, pictures: Sequence[Sequence[Detection]], request: LabelRequest) -> Sequence[Sequence[Detection]]:
        """Return what was found in the pictures of a whole event, with the states that count in it."""
        if request.event is None:
            return pictures
        for ready in self._collection.current():
            taught = ready.taught
            if taught.zone and (taught.steady > 1 or taught.reports != "state") and _concerns(taught, request.camera):
                pictures = self._settled(taught, pictures, request.event)
        return pictures

    def _settled(
        self, taught: Taught, pictures: Sequence[Sequence[Detection]], event: int
    ) -> Sequence[Sequence[Detection]]:
        states = [each for found in pictures for each in found if each.labeler == _title(taught)]
        if not states:
            return pictures
        settled = self._steadiness.settle(taught.name, states[-1].label, event, taught.steady)
        shown = taught.reports != "changed" or settled.changed
        dropped = [each for each in states if not shown or each.label != settled.state]
        kept = [[each for each in found if each not in dropped] for found in pictures]
        if settled.changed and taught.reports != "state":
            for found in reversed(kept):
                if state := next((each for each in found if each in states), None):
                    found.append(state._replace(label=taught.changed_label))
                    break
        return kept

    def _ready(self, camera: str | None) -> list[Ready]:
        return [each for each in self._collection.current() if _concerns(each.taught, camera)]


def outline_of(zone: TaughtZone) -> Polygon:
    """Return a zone as the outline of a detection: y up."""
    return tuple((round(x, 4), round(1 - y, 4)) for x, y in zone.polygon)


def _title(taught: Taught) -> str:
    """Return the name to show as the labeler's."""
    return f"taught {taught.name}"


def _concerns(taught: Taught, camera: str | None) -> bool:
    return taught.zone is None or taught.zone.camera == (camera or "")


def _seen(decoded: Decoded, found: Sequence[Detection], ready: Sequence[Ready]) -> list[Detection]:
    """Return what was taught and is seen in a picture in which `found` was found, most probable first."""
    seen: list[Detection] = []
    for each in ready:
        # Reduce it to the size that the examples had.
        image = crops.reduced(decoded.image, each.model.input_size)
        made = _state(each, image) if each.taught.zone else _kinds(each, image, decoded, found)
        seen += (one._replace(labeler=_title(each.taught), threshold=0.0) for one in made)
    return sorted(seen, key=lambda one: -one.probability)


def _state(ready: Ready, image: Image.Image) -> Iterator[Detection]:
    zone = ready.taught.zone
    assert zone is not None, "asked for by the caller"
    box = scaled(crops.bounds(zone.polygon), image.width, image.height)
    part = crops.not_sharper(crops.cut(image, box), ready.taught.size)
    said = ready.learned.verdict(ready.model.features(part).astype(float))
    if label := _reported(ready.taught, said):
        # Without a box, so that zones and areas, which are for objects, do not leave it out.
        yield Detection(label, said.probability, None, outline_of(zone))


def _kinds(ready: Ready, image: Image.Image, whole: Decoded, found: Sequence[Detection]) -> Iterator[Detection]:
    objects = [each for each in found if each.label == ready.taught.on and each.box is not None]
    for each in sorted(objects, key=lambda each: -each.probability)[:MAX_OBJECTS]:
        assert each.box is not None, "chosen above"
        box = scaled(crops.widened(each.box, crops.MARGIN), image.width / whole.width, image.height / whole.height)
        said = ready.learned.verdict(ready.model.features(crops.cut(image, box)).astype(float))
        if label := _reported(ready.taught, said):
            yield each._replace(label=label, probability=each.probability * said.probability)


def _reported(taught: Taught, said: Decision) -> str | None:
    label = None if said.label is None else taught.labels[said.label]
    return None if label == OTHER else label

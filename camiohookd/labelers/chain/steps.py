"""Ask one link of a chain about some frames, and add what it finds to the findings of earlier ones.

pictures as they are decoded ─▶ `ask_about_frames`
files of a whole event ─┬▶ `ask_about_event`: own code gets all files, a model each picture, decoded again
                        └▶ `ask_about_objects`: a link with `on` gets the parts with those objects
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from camiohookd.errors import PictureError
from camiohookd.labelers import Findings, Frame, LabelRequest, Looked
from camiohookd.labelers.chain import crops
from camiohookd.labelers.chain.crops import ObjectCrop
from camiohookd.labelers.chain.link import Link
from camiohookd.labelers.chain.together import together
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape

Size = tuple[int, int]

log = logging.getLogger("camiohookd.labeler")


class Question(NamedTuple):
    """What is asked of all labelers of a chain about an event.

    The `min_probability` of `request` is the rule's, None if each labeler's own holds; from `least` on, detections are
    wanted in any case. `counts` says whether a detection is probable enough for later labelers to see it. `decode`
    decodes a frame's picture again, in full (None) or to cover a size (width, height); it raises PictureError.
    `go_on` is called before each step that takes long; what it raises ends the event. `is_detail_of_rule` says that
    the `detail` of `request` is the rule's, and holds for all labelers.
    """

    request: LabelRequest
    least: float = 1.0
    counts: Callable[[Detection], bool] = lambda _found: True
    decode: Callable[[Frame, Size | None], Decoded] = lambda frame, _size: frame.decoded
    go_on: Callable[[], None] = lambda: None
    is_detail_of_rule: bool = False


@dataclass(slots=True)
class Found:
    """What the labelers of a chain found so far in some frames of an event.

    `pictures` are the detections in each frame. `event` are labels of the event as a whole, with the name of their
    labeler, None if no labeler gave such a list; `by_picture` says whether a labeler found labels for each picture.
    `devices` are those that labeled, as text to show, and `remote` says whether one of them is another machine.
    `looked` says how closely each frame was looked at; () if each was looked at only as a whole.
    """

    pictures: list[list[Detection]]
    event: dict[str, str] | None = None
    by_picture: bool = False
    devices: list[str] = field(default_factory=list)
    remote: bool = False
    looked: tuple[Looked, ...] = ()

    def add_event(self, names: Iterable[str], labeler: str) -> None:
        """Add labels of the event as a whole."""
        self.event = (self.event or {}) | {name: labeler for name in names if name not in (self.event or {})}

    def take(self, other: "Found") -> None:
        """Add all that was found in other frames of the event, except the detections in them."""
        for name, labeler in (other.event or {}).items():
            self.add_event([name], labeler)
        if other.event is not None and self.event is None:
            self.event = {}
        self.by_picture |= other.by_picture
        self.remote |= other.remote
        self.devices += [each for each in other.devices if each not in self.devices]


def ask_about_frames(link: Link, frames: Sequence[Frame], found: Found, question: Question, *, alone: bool) -> None:
    """Ask `link` about frames that are decoded for it.

    `alone` says that the chain has no other labeler: then nothing is marked with its name. Raises LabelingError or
    LabelerDown if the labeler is required.
    """
    seen = [[each for each in picture if question.counts(each)] for picture in found.pictures]
    findings = link.ask(frames, request_to(link, question, None if link.is_first else seen))
    if findings is None:
        return
    _note(link, findings, found)
    for nth, new in enumerate(findings.pictures):
        if alone:
            found.pictures[nth] = list(new)
            continue
        base = found.pictures[nth]
        if findings.kept is not None:
            base = [*_marked(link, findings.kept[nth]), *(each for each in base if not question.counts(each))]
        found.pictures[nth] = together(base, _marked(link, new))


def ask_about_event(link: Link, frames: Sequence[Frame], found: Found, question: Question, *, alone: bool) -> None:
    """Ask `link` about all frames of an event, which have their files but no pixels. Raises as `ask_about_frames`."""
    question.go_on()
    if link.on:
        ask_about_objects(link, frames, found, question)
    elif link.is_whole:
        ask_about_frames(link, frames, found, question, alone=alone)
    else:
        _ask_about_each(link, frames, found, question)


def ask_about_objects(link: Link, frames: Sequence[Frame], found: Found, question: Question) -> None:
    """Ask `link` about the parts of the pictures that show the objects of its `on`. Raises as `ask_about_frames`."""
    if link.is_whole:
        parts = [part for nth in range(len(frames)) for part in _parts(link, nth, frames[nth], found, question)]
        _ask_about_parts(link, parts, found, question)
    else:
        for nth in range(len(frames)):
            question.go_on()
            _ask_about_parts(link, _parts(link, nth, frames[nth], found, question), found, question)


def _ask_about_each(link: Link, frames: Sequence[Frame], found: Found, question: Question) -> None:
    assert link.labeler is not None, "a chain asks only open labelers"
    size = link.labeler.decode_size(request_to(link, question))
    for nth, frame in enumerate(frames):
        question.go_on()
        with _decoded(link, frame, size, question) as decoded:
            if decoded is None:
                continue
            one = Found([found.pictures[nth]])
            ask_about_frames(link, [Frame(frame.picture, decoded)], one, question, alone=False)
            found.pictures[nth] = one.pictures[0]
            found.take(one)


class _Part(NamedTuple):
    """A part of the picture of number `nth`."""

    nth: int
    crop: ObjectCrop


def _parts(link: Link, nth: int, frame: Frame, found: Found, question: Question) -> list[_Part]:
    """Return the parts of one picture that show objects of the link's `on`."""
    objects = [each for each in found.pictures[nth] if each.box and each.label in link.on and question.counts(each)]
    if not objects or link.labeler is None:
        return []
    with _decoded(link, frame, None, question) as full:
        if full is None:
            return []
        size = None if link.is_whole else link.labeler.decode_size(request_to(link, question))
        return [_Part(nth, crop) for crop in crops.cut(frame, full, objects, size)]


def _ask_about_parts(link: Link, parts: Sequence[_Part], found: Found, question: Question) -> None:
    if not parts:
        return
    request = request_to(link, question, [[part.crop.shown] for part in parts])
    findings = link.ask([part.crop.frame for part in parts], request)
    if findings is None:
        return
    _note(link, findings, found)
    for number, (nth, crop) in enumerate(parts):
        base = found.pictures[nth]
        if findings.kept is not None:
            at = next((place for place, each in enumerate(base) if each is crop.found), len(base))
            kept = _marked(link, crops.left_of(crop, findings.kept[number]))
            base = [*base[:at], *kept, *base[at + 1 :]]
        new = [crops.in_picture(crop, each) for each in findings.pictures[number]]
        found.pictures[nth] = together(base, _marked(link, new))


def request_to(link: Link, question: Question, found: Sequence[Sequence[Detection]] | None = None) -> LabelRequest:
    """Return what is asked of one link; `found` is what earlier ones found in each frame, None for the first one."""
    assert link.labeler is not None, "a chain asks only open labelers"
    usual = question.request.min_probability
    least = min(link.labeler.default_probability if usual is None else usual, question.least)
    detail = question.request.detail
    if link.detail is not None and not question.is_detail_of_rule:
        detail = link.detail
    return question.request._replace(min_probability=least, detail=detail, found=found)


def _note(link: Link, findings: Findings, found: Found) -> None:
    """Note what findings say besides the detections."""
    if findings.event is None:
        found.by_picture = True
    else:
        found.add_event(findings.event, link.name)
    found.remote |= findings.remote
    if len(findings.looked) == len(found.pictures):
        found.looked = tuple(findings.looked)
    device = findings.device or (link.labeler.device if link.labeler else "")
    if device not in found.devices:
        found.devices.append(device)


def _marked(link: Link, detections: Iterable[Detection]) -> list[Detection]:
    """Return the detections with the name and the threshold of the link, where they have no name."""
    assert link.labeler is not None, "a chain asks only open labelers"
    threshold = link.labeler.default_probability
    return [
        each if each.labeler is not None else each._replace(labeler=link.name, threshold=threshold)
        for each in detections
    ]


@contextmanager
def _decoded(link: Link, frame: Frame, size: Size | None, question: Question) -> Iterator[Decoded | None]:
    """Decode a frame's picture again; yield None and log a warning if that takes more memory than is allowed."""
    try:
        decoded = question.decode(frame, size)
    except PictureError as error:
        log.warning(
            "labeler %s is not asked about the picture %s: %s",
            escape(link.name),
            escape(frame.picture.timestamp),
            escape(str(error)),
            extra=about("labeler_failed"),
        )
        yield None
        return
    try:
        yield decoded
    finally:
        decoded.release()

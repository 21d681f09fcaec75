"""The labelers of the settings as one, in their order.

camera ─▶ `Chain.route` ─▶ `together`: asked about each picture, by several threads
                       └▶ `afterwards`: asked about the event, once all of its pictures are through
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from camiohookd.labelers import DEFAULT_REQUEST, Concluding, Findings, Frame, Labeler, LabelRequest, Looked
from camiohookd.labelers.chain.link import Link, LinkSettings
from camiohookd.labelers.chain.steps import Found, Question, ask_about_event, ask_about_frames, request_to
from camiohookd.labelers.chain.together import together
from camiohookd.pictures.detections import Detection

AT_ONCE = 16
"""Most pictures in hand if no labeler is asked about single ones."""


class Route:
    """The labelers for the events of one camera.

    `together` look at whole pictures, one after another; `afterwards` are those that come after the first one that
    takes files or parts of pictures. `waits` says whether one of these is own code, which has its own speed.
    """

    def __init__(self, links: Sequence[Link], *, alone: bool) -> None:
        self.together = tuple(takewhile(lambda link: not link.is_whole and not link.on, links))
        self.afterwards = tuple(links[len(self.together) :])
        self.waits = any(link.is_whole for link in self.afterwards)
        self._alone = alone

    @property
    def at_once(self) -> int:
        """The most pictures in a call of `look`."""
        return min((link.labeler.at_once or AT_ONCE for link in self.together if link.labeler), default=AT_ONCE)

    def decode_size(self, question: Question) -> tuple[int, int]:
        """Return the width and height in pixels that a picture has to cover for `look`; (1, 1) if none are needed."""
        sizes = [link.labeler.decode_size(request_to(link, question)) for link in self.together if link.labeler]
        return max((width for width, _ in sizes), default=1), max((height for _, height in sizes), default=1)

    def looks_where_it_changed(self, question: Question) -> bool:
        """Return whether a labeler of `together` looks closer where the pictures of an event differ."""
        return any(_looks_closer(link.labeler, request_to(link, question)) for link in self.together if link.labeler)

    def look(self, frames: Sequence[Frame], question: Question) -> Found:
        """Ask the labelers of `together`. Raises LabelingError or LabelerDown."""
        found = Found([[] for _ in frames])
        for link in self.together:
            ask_about_frames(link, frames, found, question, alone=self._alone and link.is_first)
        return found

    def finish(self, frames: Sequence[Frame], parts: Sequence[Found], question: Question) -> Findings:
        """Ask the labelers of `afterwards`, and return what all labelers found.

        `parts` are the results of `look`, for the event's frames in their order. If labelers tell what is in each
        picture, labels of the event as a whole are given to each picture. Raises LabelingError or LabelerDown.
        """
        found = _joined(parts)
        for link in self.afterwards:
            ask_about_event(link, frames, found, question, alone=self._alone and link.is_first)
        event = found.event
        pictures: Sequence[Sequence[Detection]] = found.pictures
        if event is not None and found.by_picture:
            whole = [Detection(name, 1.0, None, (), labeler, 0.0) for name, labeler in event.items()]
            event, pictures = None, [together(picture, whole) for picture in pictures]
        names = None if event is None else list(event)
        for link in (*self.together, *self.afterwards):
            if isinstance(link.labeler, Concluding):
                pictures = link.labeler.conclude(pictures, question.request)
        return Findings(pictures, names, ", ".join(found.devices), found.remote, found.looked)


class Chain:
    """Labelers that are asked one after another; the label pool's threads share it. It is a labeler itself.

    `last` is one that comes after those of the settings and is not one of them, for the cameras that it names.
    """

    at_once = None

    def __init__(self, links: Sequence[Link], last: Link | None = None) -> None:
        self.links = tuple(links)
        self._last = last
        for link in (*self.links[1:], *((last,) if last else ())):
            link.is_first = False

    @classmethod
    def of(cls, labeler: Labeler) -> "Chain":
        """Return a chain of this one labeler; return a chain unchanged."""
        return labeler if isinstance(labeler, Chain) else cls([Link(LinkSettings("labeler"), labeler)])

    @property
    def alone(self) -> Labeler | None:
        """The labeler, if there is only one."""
        return self.links[0].labeler if len(self.links) == 1 else None

    @property
    def device(self) -> str:
        devices = dict.fromkeys(link.labeler.device for link in self.links if link.labeler)
        return ", ".join(devices)

    @property
    def input_size(self) -> tuple[int, int]:
        return self.alone.input_size if self.alone else (1, 1)

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.route(request.camera).decode_size(Question(request))

    @property
    def default_probability(self) -> float:
        return min((link.labeler.default_probability for link in self.links if link.labeler), default=0.0)

    @property
    def common_threshold(self) -> float | None:
        """The least probability to report if no rule sets one; None if each of several labelers has its own."""
        return self.alone.default_probability if self.alone else None

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why labelers that events do not wait for do not work at present, by their names."""
        return {link.name: link.trouble for link in self.links if link.trouble is not None and not link.required}

    def route(self, camera: str | None) -> Route:
        """Return the labelers for the events of a camera, without those that could not be opened so far."""
        last = (self._last,) if self._last else ()
        links = [link for link in (*self.links, *last) if link.labeler is not None and link.is_for(camera)]
        return Route(links, alone=len(self.links) == 1)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        """Ask all labelers for the request's camera. Raises LabelingError or LabelerDown."""
        route, question = self.route(request.camera), Question(request)
        return route.finish(frames, [route.look(frames, question)], question)

    def close(self) -> None:
        for link in (*self.links, *((self._last,) if self._last else ())):
            link.close()


def _looks_closer(labeler: Labeler, request: LabelRequest) -> bool:
    whole = request._replace(detail="whole")
    return request.detail == "auto" and labeler.decode_size(request) != labeler.decode_size(whole)


def _joined(parts: Sequence[Found]) -> Found:
    """Return what was found in all parts of an event."""
    joined = Found([picture for part in parts for picture in part.pictures])
    for part in parts:
        joined.take(part)
    if any(part.looked for part in parts):
        joined.looked = tuple(each for part in parts for each in part.looked or [Looked()] * len(part.pictures))
    return joined

"""One event's pictures on the threads of the label pool: stored payload ─▶ decoded ─▶ detections ─▶ the reply.

    each part of the pictures ─▶ decoded ─▶ `Route.look`: the labelers that look at pictures
    the whole event ─▶ `Route.finish`: those that come afterwards ─▶ rules ─▶ the reply

The threads that have nothing else to do share an event's pictures (`Shared`): one picture is decoded while another is
in the model, and a single event can use every core. A picture that cannot be used is left out with its reason; the
others are labeled.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from camiohookd import rules
from camiohookd.config.detail import WHOLE, Looking
from camiohookd.config.rule import Rule
from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.labelers import Findings, Frame, Labeler, LabelRequest, Looked
from camiohookd.labelers.chain.chain import Chain, Route
from camiohookd.labelers.chain.crops import without_image
from camiohookd.labelers.chain.steps import Found, Question
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Detection
from camiohookd.pictures.memory import MemoryBudget
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labels import EventLabels, kept_files
from camiohookd.worker.event_parts import Item, compared_parts, parts
from camiohookd.worker.own_pace import OwnPace, Paced
from camiohookd.worker.picture_decoder import Part, PictureDecoder
from camiohookd.worker.spare_time import SpareTime
from camiohookd.worker.static_finds import EventFinds, LabeledBox, StaticFinds, marked

Result = TypeVar("Result")

log = logging.getLogger("camiohookd.labeler")


class Interrupted(Exception):
    """The daemon stops before all pictures of the event were labeled. The event stays in the queue."""


SharedEvent = Paced[Sequence[Item], Part, EventLabels]
"""An event that is being labeled: any thread may `join`, and `done` gets its labels."""


class EventLabeler:
    """Labels events; the label pool's threads share it.

    `trouble` is why the labeler cannot be asked at present, None when it can. `looking` is how pictures are looked at
    where no rule says it.
    """

    def __init__(
        self,
        labeler: Labeler,
        limits: PictureLimits,
        table: Sequence[Rule],
        metrics: Metrics,
        looking: Looking = WHOLE,
    ) -> None:
        self._chain = Chain.of(labeler)
        self._own_pace = OwnPace(
            sum(link.calls_at_once for link in self._chain.links if link.is_whole) or 1, Interrupted
        )
        self._decoder = PictureDecoder(limits, metrics)
        self._rules = table
        self._looking = looking
        self._static = StaticFinds()
        self._metrics = metrics
        self._interrupted = threading.Event()
        self.trouble: str | None = None

    @property
    def device(self) -> str:
        """What the labeler runs on at present, as text to show."""
        return self._chain.device

    @property
    def budget(self) -> MemoryBudget:
        """Return the memory for decoded pictures."""
        return self._decoder.budget

    def use(self, table: Sequence[Rule], looking: Looking) -> None:
        """Use these rules, and `looking` where they set none, from the next event on; any thread may call it."""
        self._rules = table
        self._looking = looking

    @property
    def table(self) -> Sequence[Rule]:
        """Return the rules that hold now."""
        return self._rules

    def rule_for(self, camera: str | None) -> Rule:
        """Return the rule that holds for a camera, with the only labeler's least probability if it sets none."""
        return rules.complete(rules.match(self._rules, camera), self._chain.common_threshold, self._looking.static)

    def event(
        self,
        camera: str | None,
        read: Callable[[], Sequence[Picture]],
        progress: Callable[[], None],
        least: float = 1.0,
        waiting_since: float | None = None,
        waiting: Callable[[], int] = lambda: 0,
        number: int | None = None,
    ) -> SharedEvent:
        """Return an event to be labeled, whose pictures `read` reads; `progress` is called before each step.

        Detections from `least` on are found even if the rule lets none through that are so improbable.
        `waiting_since` is when it was accepted, by `time.monotonic`; `waiting` returns how many other events wait;
        `number` is larger for later events. Ends with LabelingError, LabelerDown, Interrupted or what `read` raises.
        """
        rule, route = self.rule_for(camera), self._chain.route(camera)
        time_left = SpareTime(waiting)

        def spare(steps: int) -> int:
            self._go_on(progress)
            return time_left.steps(steps)

        question = Question(
            LabelRequest(
                camera, rule.min_probability, waiting_since, rule.detail or self._looking.detail, spare, event=number
            ),
            min(least, *rule.min_probability_of.values(), 1.0),
            lambda found: rules.below(rule, found) is None,
            self._decoder.again,
            partial(self._go_on, progress),
            rule.detail is not None,
        )
        static = self._static_finds(camera, rule, route)
        return Paced(
            lambda: self._in_parts(read(), route, question),
            partial(self._label_part, route, question, static),
            partial(self._labels, rule, route, question, static),
            partial(self._own_pace.run, progress=progress) if route.waits else None,
        )

    def interrupt(self) -> None:
        """Stop labeling, and close the labelers; may be called from any thread."""
        self._interrupted.set()
        self._own_pace.close()
        self._chain.close()

    def _static_finds(self, camera: str | None, rule: Rule, route: Route) -> EventFinds | None:
        """Return what finds static objects in an event; None if the event's rule keeps them."""
        if camera is None or rule.static == "keep" or not route.together:
            return None
        return EventFinds(self._static, camera, self._looking.static_labels, rules.least_probability(rule))

    def _in_parts(self, pictures: Sequence[Picture], route: Route, question: Question) -> Iterator[Sequence[Item]]:
        if route.looks_where_it_changed(question) and question.request.spare(1):
            return compared_parts(pictures, route.at_once, self._decoder.limits, self.budget)
        return parts(pictures, route.at_once)

    def _label_part(self, route: Route, question: Question, static: EventFinds | None, items: Sequence[Item]) -> Part:
        """Ask the labelers that look at pictures about at most as many as they take at once."""
        part, left = Part(), deque(items)
        while left:
            with ExitStack() as held:
                frames = self._decoder.take(left, route, part, question, held)
                if frames:
                    question.go_on()
                    started = time.perf_counter()
                    found = self._find(partial(route.look, frames, question))
                    part.found.append(found)
                    for frame, each in zip(frames, found.pictures, strict=True):
                        part.static.append(static.places(frame.decoded, each) if static else [])
                    if route.together:
                        part.note_labeling(started, self._metrics)
                    part.frames += map(without_image, frames)
        return part

    def _labels(
        self, rule: Rule, route: Route, question: Question, static: EventFinds | None, done: Iterable[Part]
    ) -> EventLabels:
        done = list(done)
        frames = [each for part in done for each in part.frames]
        last, started = Part(), time.perf_counter()
        found = [each for part in done for each in part.found]
        findings = self._find(partial(route.finish, frames, found, question))
        if route.afterwards and frames:
            last.note_labeling(started, self._metrics)
        self.trouble = None
        if static:
            static.learn()
        places = [each for part in done for each in part.static]
        pictures = tuple(
            _ruled(rule, frame, each, some) for frame, each, some in zip(frames, findings.pictures, places, strict=True)
        )
        rejected = tuple(each for part in done for each in part.rejected)
        event = None if findings.event is None else tuple(dict.fromkeys(findings.event))
        looked = tuple(findings.looked) or tuple(Looked() for _ in frames)
        self._metrics.pictures_rejected.inc(len(rejected))
        self._count(found, findings, looked)
        return EventLabels(
            rule,
            rules.reply(rule, pictures, event) if pictures else None,
            pictures,
            kept_files(pictures, [frame.picture.data for frame in frames]),
            rejected,
            tuple(each for part in done for each in part.incomplete),
            event,
            sum(part.decode_seconds for part in done),
            sum(part.label_seconds for part in (*done, last)),
            findings.device or self.device,
            looked,
        )

    def _count(self, found: Sequence[Found], findings: Findings, looked: Iterable[Looked]) -> None:
        """Count the pictures of a labeled event, not when each is found, because an event may be started again."""
        by_later = findings.remote and not any(
            some.remote for some in found
        )  # own code on a server answers for the whole event
        for some in found:
            where = "remote" if some.remote or by_later else "home"
            self._metrics.pictures_labelled.labels(where).inc(len(some.pictures))
        for each in looked:
            self._metrics.looked_at(len(each.tiles), each.planned)

    def _go_on(self, progress: Callable[[], None]) -> None:
        if self._interrupted.is_set():
            raise Interrupted
        progress()

    def _find(self, ask: Callable[[], Result]) -> Result:
        try:
            answer = ask()
        except (LabelingError, LabelerDown) as error:
            if self._interrupted.is_set():
                raise Interrupted from None
            self.trouble = str(error) if isinstance(error, LabelerDown) else None
            raise
        if self._interrupted.is_set():  # a labeler that is closed may have given no labels
            raise Interrupted
        return answer


def _ruled(rule: Rule, frame: Frame, found: Sequence[Detection], static: Sequence[LabeledBox]) -> rules.RuledLabels:
    """Apply the rule to what was found in a picture, of which some is at the `static` places."""
    size = (frame.decoded.width, frame.decoded.height)
    return rules.apply(rule, frame.picture.timestamp, size, marked(found, size, static))

"""One event's pictures on the threads of the label pool: stored payload ─▶ decoded ─▶ detections ─▶ the reply.

An event's pictures are `Shared` by the threads that have nothing else to do: while one picture is in the model another
is decoded, and an event that is alone has every core. One bad picture never costs the event: it is left out, with its
reason.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from camiohookd import rules
from camiohookd.config.settings import Rule
from camiohookd.errors import LabelerDown, LabelingError, PictureError
from camiohookd.labelers import Findings, Frame, Labeler
from camiohookd.metrics import Metrics
from camiohookd.pictures import decode as images
from camiohookd.wire.images import Picture
from camiohookd.wire.reply import Reply
from camiohookd.worker.work_sharing import Shared

log = logging.getLogger("camiohookd.labeler")


class Interrupted(Exception):
    """The daemon stops; the event was left before all its pictures were looked at, and keeps for the next start."""


@dataclass(frozen=True, slots=True)
class EventLabels:
    """`reply` None when no picture could be used; `labelled` counts pictures, `found` the objects in all of them;
    `rejected` says of each that was left out why."""

    reply: Reply | None
    labelled: int
    found: int
    rejected: tuple[str, ...]


class _Seen(NamedTuple):
    """What came of some of an event's pictures; `of_event` the labels of the event as a whole, None where the labeler
    tells more."""

    labelled: list[rules.RuledLabels]
    rejected: list[str]
    of_event: Sequence[str] | None = None


SharedEvent = Shared[Sequence[Picture], _Seen, EventLabels]
"""An event that is being labelled: any thread may `join`, and `done` holds its outcome."""


class EventLabeler:
    """What the label pool's threads share.

    `trouble` is why the labeler cannot be asked at present, None when it can.
    """

    def __init__(self, labeler: Labeler, limits: images.PictureLimits, table: Sequence[Rule], metrics: Metrics) -> None:
        self._labeler = labeler
        self._limits = limits
        self._rules = table
        self._metrics = metrics
        self._interrupted = threading.Event()
        self.trouble: str | None = None

    def use_rules(self, table: Sequence[Rule]) -> None:
        """From the next event on these are the rules; may be called from any thread."""
        self._rules = table

    def event(
        self, camera: str | None, read: Callable[[], Sequence[Picture]], progress: Callable[[], None]
    ) -> SharedEvent:
        """An event to be labelled, whose pictures `read` reads; `progress` is called before each step.

        It ends with LabelingError, LabelerDown, Interrupted or what `read` raises.
        """
        rule = rules.complete(rules.match(self._rules, camera), self._labeler.default_probability)
        return Shared(
            lambda: _in_parts(read(), self._labeler.at_once),
            partial(self._look_at, rule, progress),
            partial(self._outcome, rule),
        )

    def interrupt(self) -> None:
        """End what is being labelled, and the labeler with it; from any thread."""
        self._interrupted.set()
        self._labeler.close()

    def _look_at(self, rule: Rule, progress: Callable[[], None], pictures: Sequence[Picture]) -> _Seen:
        """At no more pictures than the labeler takes at once."""
        rejected: list[str] = []
        frames = self._decode(pictures, rejected, progress)
        if not frames:
            return _Seen([], rejected)
        self._go_on(progress)
        findings = self._find(frames, rule)
        labelled = [
            rules.RuledLabels(picture.timestamp, decoded.width, decoded.height, found)
            for (picture, decoded), found in zip(frames, findings.pictures, strict=True)
        ]
        return _Seen(labelled, rejected, findings.event)

    def _outcome(self, rule: Rule, seen: Iterable[_Seen]) -> EventLabels:
        labelled = [each for some in seen for each in some.labelled]
        rejected = tuple(each for some in seen for each in some.rejected)
        of_event = [some.of_event for some in seen if some.of_event is not None]
        event = {label for labels in of_event for label in labels} if of_event else None
        reply = rules.reply(rule, labelled, event) if labelled else None
        # Not as each is found: an event may be begun anew.
        self._metrics.pictures_rejected.inc(len(rejected))
        found = sum(len(rules.apply(rule, picture)) for picture in labelled)
        return EventLabels(reply, len(labelled), found, rejected)

    def _go_on(self, progress: Callable[[], None]) -> None:
        if self._interrupted.is_set():
            raise Interrupted
        progress()

    def _decode(self, pictures: Sequence[Picture], rejected: list[str], progress: Callable[[], None]) -> list[Frame]:
        frames: list[Frame] = []
        for picture in pictures:
            self._go_on(progress)
            try:
                with self._metrics.decode_seconds.time():
                    decoded = images.decode(picture.data, self._limits, self._labeler.input_size)
            except PictureError as error:
                rejected.append(f"{picture.timestamp}: {error}")
            else:
                frames.append(Frame(picture, decoded))
        return frames

    def _find(self, frames: Sequence[Frame], rule: Rule) -> Findings:
        try:
            with self._metrics.inference_seconds.time():
                findings = self._labeler.label(frames, rules.least_probability(rule))
        except (LabelingError, LabelerDown) as error:
            if self._interrupted.is_set():
                raise Interrupted from None
            self.trouble = str(error) if isinstance(error, LabelerDown) else None
            raise
        self.trouble = None
        return findings


def _in_parts(pictures: Sequence[Picture], at_once: int | None) -> Iterator[Sequence[Picture]]:
    size = at_once or max(len(pictures), 1)
    for first in range(0, len(pictures), size):
        yield pictures[first : first + size]

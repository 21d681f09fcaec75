"""One event's pictures on a thread of the label pool: stored payload ─▶ decoded ─▶ detections ─▶ the reply.

One bad picture never costs the event: it is left out, with its reason.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from camiohookd import images, rules
from camiohookd.errors import LabelerDown, LabelingError, PictureError
from camiohookd.labelers import Findings, Frame, Labeler
from camiohookd.metrics import Metrics
from camiohookd.payload import Picture, Reply
from camiohookd.settings import Rule

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The daemon stops; the event was left before all its pictures were looked at, and keeps for the next start."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reply` None when no picture could be used; `labelled` counts pictures, `found` the objects in all of them;
    `rejected` says of each that was left out why."""

    reply: Reply | None
    labelled: int
    found: int
    rejected: tuple[str, ...]


class Labelling:
    """What the label pool's threads share; `label` may be called by several at once.

    `trouble` is why the labeler cannot be asked at present, None when it can.
    """

    def __init__(self, labeler: Labeler, limits: images.Limits, table: Sequence[Rule], metrics: Metrics) -> None:
        self._labeler = labeler
        self._limits = limits
        self._rules = table
        self._metrics = metrics
        self._interrupted = threading.Event()
        self.trouble: str | None = None

    def use_rules(self, table: Sequence[Rule]) -> None:
        """From the next event on these are the rules; may be called from any thread."""
        self._rules = table

    def label(self, camera: str | None, pictures: Sequence[Picture], progress: Callable[[], None]) -> Outcome:
        """Label an event's pictures, calling `progress` before each step.

        Raises LabelingError, LabelerDown, Interrupted.
        """
        rule = rules.complete(rules.match(self._rules, camera), self._labeler.default_probability)
        labelled: list[rules.Labelled] = []
        rejected: list[str] = []
        of_event: set[str] | None = None
        for few in _in_parts(pictures, self._labeler.at_once):
            frames = self._decode(few, rejected, progress)
            if not frames:
                continue
            self._go_on(progress)
            findings = self._look_at(frames, rule)
            if findings.event is not None:
                of_event = (of_event or set()) | set(findings.event)
            labelled += [
                rules.Labelled(picture.timestamp, decoded.width, decoded.height, found)
                for (picture, decoded), found in zip(frames, findings.pictures, strict=True)
            ]
        reply = rules.reply(rule, labelled, of_event) if labelled else None
        # Not as each is found: an event may be begun anew.
        self._metrics.pictures_rejected.inc(len(rejected))
        found = sum(len(rules.apply(rule, picture)) for picture in labelled)
        return Outcome(reply, len(labelled), found, tuple(rejected))

    def interrupt(self) -> None:
        """End what is being labelled, and the labeler with it; from any thread."""
        self._interrupted.set()
        self._labeler.close()

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

    def _look_at(self, frames: Sequence[Frame], rule: Rule) -> Findings:
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

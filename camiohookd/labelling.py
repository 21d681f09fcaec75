"""One event's pictures on a thread of the label pool: stored payload ─▶ decoded ─▶ detections ─▶ the reply.

One bad picture never costs the event: it is left out, with its reason.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from camiohookd import images, rules
from camiohookd.errors import PictureError
from camiohookd.labelers import Labeler
from camiohookd.metrics import Metrics
from camiohookd.payload import Picture, Reply

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
    """What the label pool's threads share; `label` may be called by several at once."""

    def __init__(self, labeler: Labeler, limits: images.Limits, table: Sequence[rules.Rule], metrics: Metrics) -> None:
        self._labeler = labeler
        self._limits = limits
        self._rules = table
        self._metrics = metrics
        self.interrupt = threading.Event()

    def label(self, camera: str | None, pictures: Sequence[Picture], progress: Callable[[], None]) -> Outcome:
        """Label an event's pictures, calling `progress` before each. Raises LabelingError, Interrupted."""
        rule = rules.match(self._rules, camera)
        labelled: list[rules.Labelled] = []
        rejected: list[str] = []
        for picture in pictures:
            if self.interrupt.is_set():
                raise Interrupted
            progress()
            try:
                labelled.append(self._look_at(picture, rule))
            except PictureError as error:
                rejected.append(f"{picture.timestamp}: {error}")
        reply = rules.reply(rule, labelled) if labelled else None
        # Not as each is found: an event may be begun anew.
        self._metrics.pictures_rejected.inc(len(rejected))
        found = sum(len(rules.apply(rule, picture.detections)) for picture in labelled)
        return Outcome(reply, len(labelled), found, tuple(rejected))

    def _look_at(self, picture: Picture, rule: rules.Rule) -> rules.Labelled:
        started = time.perf_counter()
        decoded = images.decode(picture.data, self._limits, self._labeler.input_size)
        ready = time.perf_counter()
        detections = self._labeler.detect(decoded, rule.min_probability)
        self._metrics.decode_seconds.observe(ready - started)
        self._metrics.inference_seconds.observe(time.perf_counter() - ready)
        return rules.Labelled(picture.timestamp, decoded.width, decoded.height, detections)

"""One event's pictures on the threads of the label pool: stored payload ─▶ decoded ─▶ detections ─▶ the reply.

The threads that have nothing else to do share an event's pictures (`Shared`): one picture is decoded while another is
in the model, and a single event can use every core. A picture that cannot be used is left out with its reason and never
costs the event.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from camiohookd import rules
from camiohookd.config.detail import Detail
from camiohookd.config.rule import Rule
from camiohookd.errors import LabelerDown, LabelingError, PictureError
from camiohookd.labelers import Findings, Frame, Labeler, LabelRequest, Looked
from camiohookd.metrics import Metrics
from camiohookd.pictures import decode as images
from camiohookd.pictures.memory import MemoryBudget, NoRoom
from camiohookd.wire.images import Picture
from camiohookd.wire.reply import Reply
from camiohookd.worker.event_parts import Item, compared_parts, parts
from camiohookd.worker.spare_time import SpareTime
from camiohookd.worker.work_sharing import Shared

MAX_NAMED = 10
"""Most labels in one line of the log."""

MAX_FILES_BYTES = 4_000_000
"""Of an event's files, what stays in memory until its reply is stored, which takes long on a full disk."""

log = logging.getLogger("camiohookd.labeler")


class Interrupted(Exception):
    """The daemon stops before all pictures of the event were labeled. The event stays in the queue."""


@dataclass(frozen=True, slots=True)
class EventLabels:
    """What came of an event; `reply` is None when no picture could be used.

    `rejected` and `incomplete` say of single pictures why they were left out, and how much of them was there.
    `event` are the labels of the event as a whole, None if the labeler tells what is in each picture. The seconds are
    sums over all pictures. `rule` was applied to the `pictures`; `files` are their files' bytes, b"" for those over
    `MAX_FILES_BYTES`. `device` is what labeled the pictures, as text to show. `looked` says of each picture how closely
    it was looked at.
    """

    rule: Rule
    reply: Reply | None
    pictures: tuple[rules.RuledLabels, ...]
    files: tuple[bytes, ...]
    rejected: tuple[str, ...]
    incomplete: tuple[str, ...]
    event: tuple[str, ...] | None
    decode_seconds: float
    label_seconds: float
    device: str
    looked: tuple[Looked, ...] = ()

    @property
    def tiles(self) -> int:
        """Return how many tiles of the pictures were looked at."""
        return sum(len(each.tiles) for each in self.looked)

    @property
    def planned_tiles(self) -> int:
        """Return how many tiles would have been looked at if no other event had waited."""
        return sum(each.planned for each in self.looked)

    @property
    def objects(self) -> int:
        return sum(len(picture.sent) for picture in self.pictures)

    def summary(self) -> str:
        """Return the labels that are sent, most probable first, e.g. ``person 0.92, car 0.71``."""
        best: dict[str, float] = {}
        for picture in self.pictures:
            for found in picture.sent:
                best[found.label] = max(best.get(found.label, 0.0), found.probability)
        names = [f"{name} {best[name]:.2f}" for name in sorted(best, key=lambda name: -best[name])]
        if self.event is not None and self.reply is not None:
            names = list(self.reply.labels)
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more or "nothing"


@dataclass(slots=True)
class _Part:
    """What came of some of an event's pictures."""

    pictures: list[rules.RuledLabels] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    event: list[str] | None = None
    decode_seconds: float = 0.0
    label_seconds: float = 0.0
    devices: list[str] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)


SharedEvent = Shared[Sequence[Item], _Part, EventLabels]
"""An event that is being labeled: any thread may `join`, and `done` gets its labels."""


class EventLabeler:
    """Labels events; the label pool's threads share it.

    `trouble` is why the labeler cannot be asked at present, None when it can. `budget` is the memory for decoded
    pictures. `detail` is how closely pictures are looked at where no rule says it.
    """

    def __init__(
        self,
        labeler: Labeler,
        limits: images.PictureLimits,
        table: Sequence[Rule],
        metrics: Metrics,
        detail: Detail = "whole",
    ) -> None:
        self._labeler = labeler
        self._limits = limits
        self.budget = MemoryBudget(limits.max_decoded_bytes)
        self._rules = table
        self._detail = detail
        self._metrics = metrics
        self._interrupted = threading.Event()
        self.trouble: str | None = None

    @property
    def device(self) -> str:
        """What the labeler runs on at present, as text to show."""
        return self._labeler.device

    def use(self, table: Sequence[Rule], detail: Detail) -> None:
        """Use these rules, and this detail where a rule sets none, from the next event on; any thread may call it."""
        self._rules = table
        self._detail = detail

    @property
    def table(self) -> Sequence[Rule]:
        """Return the rules that hold now."""
        return self._rules

    def rule_for(self, camera: str | None) -> Rule:
        """Return the rule that holds for a camera, with the labeler's least probability if it sets none."""
        return rules.complete(rules.match(self._rules, camera), self._labeler.default_probability)

    def event(
        self,
        camera: str | None,
        read: Callable[[], Sequence[Picture]],
        progress: Callable[[], None],
        least: float = 1.0,
        waiting_since: float | None = None,
        waiting: Callable[[], int] = lambda: 0,
    ) -> SharedEvent:
        """Return an event to be labeled, whose pictures `read` reads; `progress` is called before each step.

        Detections from `least` on are found even if the rule lets none through that are so improbable.
        `waiting_since` is when the event was accepted, by `time.monotonic`; `waiting` returns how many other events
        wait. The event ends with LabelingError, LabelerDown, Interrupted or what `read` raises.
        """
        rule = self.rule_for(camera)
        least = min(least, rules.least_probability(rule))
        time_left = SpareTime(waiting)

        def spare(steps: int) -> int:
            self._go_on(progress)
            return time_left.steps(steps)

        request = LabelRequest(camera, least, waiting_since, rule.detail or self._detail, spare)
        return Shared(
            lambda: self._in_parts(read(), request),
            partial(self._label_part, rule, request, progress),
            partial(self._labels, rule),
        )

    def interrupt(self) -> None:
        """Stop labeling, and close the labeler; may be called from any thread."""
        self._interrupted.set()
        self._labeler.close()

    def _in_parts(self, pictures: Sequence[Picture], request: LabelRequest) -> Iterator[Sequence[Item]]:
        at_once = self._labeler.at_once
        whole = request._replace(detail="whole")
        looks_closer = self._labeler.decode_size(request) != self._labeler.decode_size(whole)
        if request.detail == "auto" and at_once and looks_closer and request.spare(1):
            return compared_parts(pictures, at_once, self._limits, self.budget)
        return parts(pictures, at_once)

    def _label_part(
        self, rule: Rule, request: LabelRequest, progress: Callable[[], None], items: Sequence[Item]
    ) -> _Part:
        """Label at most as many pictures as the labeler takes at once."""
        part, left = _Part(), deque(items)
        while left:
            with ExitStack() as held:
                frames = self._decode(left, request, part, progress, held)
                if frames:
                    self._go_on(progress)
                    self._label(frames, rule, request, part)
        return part

    def _labels(self, rule: Rule, done: Iterable[_Part]) -> EventLabels:
        done = list(done)
        pictures = tuple(each for part in done for each in part.pictures)
        rejected = tuple(each for part in done for each in part.rejected)
        whole = [part.event for part in done if part.event is not None]
        event = tuple(dict.fromkeys(name for names in whole for name in names)) if whole else None
        # Count here, not when each is found, because an event may be started again.
        self._metrics.pictures_rejected.inc(len(rejected))
        for each in (each for part in done for each in part.looked):
            self._metrics.looked_at(len(each.tiles), each.planned)
        return EventLabels(
            rule,
            rules.reply(rule, pictures, event) if pictures else None,
            pictures,
            _kept_files(pictures, [each for part in done for each in part.files]),
            rejected,
            tuple(each for part in done for each in part.incomplete),
            event,
            sum(part.decode_seconds for part in done),
            sum(part.label_seconds for part in done),
            ", ".join(dict.fromkeys(each for part in done for each in part.devices)) or self.device,
            tuple(each for part in done for each in part.looked),
        )

    def _go_on(self, progress: Callable[[], None]) -> None:
        if self._interrupted.is_set():
            raise Interrupted
        progress()

    def _decode(
        self,
        left: deque[Item],
        request: LabelRequest,
        part: _Part,
        progress: Callable[[], None],
        held: ExitStack,
    ) -> list[Frame]:
        """Take from `left` as many pictures as there is memory for, waiting for the first one's.

        `held` gives the memory back.
        """
        frames: list[Frame] = []
        size = self._labeler.decode_size(request)
        whole = self._labeler.at_once is None  # it gets the files; of each image one pixel is kept
        while left:
            self._go_on(progress)
            picture, changes = left[0]
            started = time.perf_counter()
            try:
                decoded = images.decode(picture.data, self._limits, size, self.budget, wait=not frames or whole)
            except NoRoom:
                break  # a thread that waits must not hold memory: label what is decoded first
            except PictureError as error:
                part.rejected.append(f"{picture.timestamp}: {error}")
            else:
                frames.append(Frame(picture, decoded, changes))
                if whole:
                    decoded.release()
                held.callback(decoded.release)
                if decoded.incomplete:
                    part.incomplete.append(f"{picture.timestamp}: {decoded.incomplete}")
            left.popleft()
            seconds = time.perf_counter() - started
            part.decode_seconds += seconds
            self._metrics.decode_seconds.observe(seconds)
        return frames

    def _label(self, frames: Sequence[Frame], rule: Rule, request: LabelRequest, part: _Part) -> None:
        started = time.perf_counter()
        findings = self._find(frames, request)
        seconds = time.perf_counter() - started
        part.label_seconds += seconds
        self._metrics.inference_seconds.observe(seconds)
        self._metrics.pictures_labelled.labels("remote" if findings.remote else "home").inc(len(frames))
        part.devices.append(findings.device or self._labeler.device)
        if findings.event is not None:
            part.event = [*(part.event or ()), *findings.event]
        part.looked += findings.looked or [Looked() for _ in frames]
        for (picture, decoded, _), found in zip(frames, findings.pictures, strict=True):
            part.pictures.append(rules.apply(rule, picture.timestamp, (decoded.width, decoded.height), found))
            part.files.append(picture.data)

    def _find(self, frames: Sequence[Frame], request: LabelRequest) -> Findings:
        try:
            findings = self._labeler.label(frames, request)
        except (LabelingError, LabelerDown) as error:
            if self._interrupted.is_set():
                raise Interrupted from None
            self.trouble = str(error) if isinstance(error, LabelerDown) else None
            raise
        self.trouble = None
        return findings


def _kept_files(pictures: Sequence[rules.RuledLabels], files: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the files that are handed on, those with the most probable labels first."""
    room, kept = MAX_FILES_BYTES, [b""] * len(files)
    for nth in sorted(range(len(files)), key=lambda nth: -_best(pictures[nth])):
        if len(files[nth]) <= room:
            room -= len(files[nth])
            kept[nth] = files[nth]
    return tuple(kept)


def _best(picture: rules.RuledLabels) -> float:
    return max((found.probability for found in picture.sent), default=0.0)

"""Decode a part of an event's pictures, as many at once as there is memory for, and record the results."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from camiohookd.errors import PictureError
from camiohookd.labelers import Frame
from camiohookd.labelers.chain.chain import Route
from camiohookd.labelers.chain.steps import Found, Question
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures import decode as images
from camiohookd.pictures.memory import MemoryBudget, NoRoom
from camiohookd.worker.event_parts import Item
from camiohookd.worker.static_finds import LabeledBox


@dataclass(slots=True)
class Part:
    """The results for some of an event's pictures; `frames` have the files, not the pixels."""

    frames: list[Frame] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    static: list[Sequence[LabeledBox]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    decode_seconds: float = 0.0
    label_seconds: float = 0.0

    def note_labeling(self, started: float, metrics: Metrics) -> None:
        """Add the seconds since `started`, by `time.perf_counter`, to those that labelers took."""
        seconds = time.perf_counter() - started
        self.label_seconds += seconds
        metrics.inference_seconds.observe(seconds)


class PictureDecoder:
    """Decodes pictures within `limits`, for any number of threads. `budget` is the memory for decoded pictures."""

    def __init__(self, limits: images.PictureLimits, metrics: Metrics) -> None:
        self.limits = limits
        self.budget = MemoryBudget(limits.max_decoded_bytes)
        self._metrics = metrics

    def take(self, left: deque[Item], route: Route, part: Part, question: Question, held: ExitStack) -> list[Frame]:
        """Take from `left` as many pictures as there is memory for, waiting for the first one's, and decode them.

        `part` gets the reasons of pictures that cannot be used, and the seconds. `held` gives the memory back. Raises
        what `question.go_on` raises.
        """
        frames: list[Frame] = []
        size = route.decode_size(question)
        whole = not route.together  # no labeler reads pixels: one pixel of each image is kept
        while left:
            question.go_on()
            picture, changes = left[0]
            started = time.perf_counter()
            try:
                decoded = images.decode(picture.data, self.limits, size, self.budget, wait=not frames or whole)
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

    def again(self, frame: Frame, size: tuple[int, int] | None) -> images.Decoded:
        """Decode a picture for a labeler that comes later; the thread must not hold memory. Raises PictureError."""
        return images.decode(frame.picture.data, self.limits, size, self.budget)

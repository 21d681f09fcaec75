"""One labeler of a chain: which cameras it is for, whether an event waits for it, and whether it works at present.

    works ──LabelerDown, LabelerEnded──▶ down ──a thread starts it again, after pauses that double──▶ works

An event does without a labeler that is down, unless that one is required: then the event fails and is tried again.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from camiohookd.config import camera_pattern
from camiohookd.config.detail import Detail
from camiohookd.errors import CamiohookdError, LabelerDown, LabelerEnded, LabelingError
from camiohookd.labelers import Findings, Frame, Labeler, LabelRequest
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 300.0

log = logging.getLogger("camiohookd.labeler")


@runtime_checkable
class Restartable(Protocol):
    """A labeler that can be started again without an event."""

    def start(self) -> None:
        """Raises LabelerDown."""
        ...


@runtime_checkable
class Concurrent(Protocol):
    """A labeler of whole events that gains time if several threads ask it at once; others are asked by one."""

    @property
    def calls_at_once(self) -> int: ...


class Watch(Protocol):
    """Is told how the labelers are doing; any thread calls it."""

    def works(self, name: str, works: bool) -> None:
        """Notice that a labeler works from now on, or that it does not."""
        ...

    def failed(self, name: str) -> None:
        """Notice that a labeler has given no labels for an event or a picture of it."""
        ...

    def server(self, name: str, works: bool) -> None:
        """Notice that an inference server is asked from now on, or that it rests."""
        ...

    def server_failed(self, name: str) -> None:
        """Notice that an inference server gave no usable answer to a request."""
        ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The place of a labeler in a chain: see the settings `cameras`, `required` and `on` of ``[[labeler]]``.

    `detail` is how closely it looks where no rule says it; None: as the request says.
    """

    name: str
    cameras: Sequence[str] = ("*",)
    required: bool = True
    on: tuple[str, ...] = ()
    detail: Detail | None = None


class Link:
    """One labeler of a chain. The threads of the label pool share it.

    `labeler` is None until one that is not required could be opened; `reopen` tries that again. `trouble` is why it
    does not work at present, None if it does. `is_first`, which the chain sets, says that no labeler comes before it.
    """

    def __init__(
        self,
        place: LinkSettings,
        labeler: Labeler | None,
        watch: Watch | None = None,
        *,
        reopen: Callable[[], Labeler] | None = None,
        trouble: str | None = None,
    ) -> None:
        self.name = place.name
        self.required = place.required
        self.on = frozenset(place.on)
        self.detail = place.detail
        self.labeler = labeler
        self.is_first = True
        self.trouble: str | None = None
        self._cameras = place.cameras
        self._watch = watch
        self._reopen = reopen
        self._pause = FIRST_PAUSE
        self._closed = threading.Event()
        self._change = threading.Lock()
        self._turn = threading.Lock()
        self._is_failing = False
        if watch:
            watch.works(self.name, labeler is not None)
        if labeler is None:
            self._goes_down(trouble or "it could not be opened")

    @property
    def is_whole(self) -> bool:
        """Whether it is asked about an event as a whole, and takes its pictures' files."""
        return self.labeler is not None and self.labeler.at_once is None

    @property
    def calls_at_once(self) -> int:
        """How many threads ask it about whole events at a time."""
        return self.labeler.calls_at_once if isinstance(self.labeler, Concurrent) else 1

    def is_for(self, camera: str | None) -> bool:
        """Return whether it labels the events of that camera; None is one without a name."""
        return any(camera_pattern.matches(pattern, camera) for pattern in self._cameras)

    def ask(self, frames: Sequence[Frame], request: LabelRequest) -> Findings | None:
        """Return what it finds; None if it gives no labels for these frames and need not.

        Raises LabelingError or LabelerDown if the labeler is required.
        """
        if self.required:
            return self._ask_required(frames, request)
        # One thread asks at a time. If the program gives no answer, the next thread then sees that, and does not ask.
        with self._turn if self.is_whole and self.calls_at_once == 1 else nullcontext():
            labeler = self.labeler
            if labeler is None or self.trouble is not None:
                self._note_failure()
                return None
            try:
                findings = labeler.label(frames, request)
            except (LabelerDown, LabelerEnded) as error:
                self._note_failure()
                self._goes_down(str(error))
            except LabelingError as error:
                self._note_failure()
                self._log_failure(str(error))
            else:
                self._is_failing, self._pause = False, FIRST_PAUSE
                return findings
        return None

    def close(self) -> None:
        """Stop the labeler; do not call `ask` afterwards."""
        self._closed.set()
        if self.labeler is not None:
            self.labeler.close()

    def _ask_required(self, frames: Sequence[Frame], request: LabelRequest) -> Findings:
        assert self.labeler is not None, "a required labeler is open, or nothing starts"
        try:
            findings = self.labeler.label(frames, request)
        except LabelingError:
            self._note_failure()
            raise
        except LabelerDown as error:
            self._note_failure()
            self._set_trouble(str(error))
            raise
        if self.trouble is not None:
            self._set_trouble(None)
        return findings

    def _note_failure(self) -> None:
        if self._watch and not self._closed.is_set():
            self._watch.failed(self.name)

    def _log_failure(self, error: str) -> None:
        """Log the first of several failures in a row; the metric counts them all."""
        if not self._is_failing and not self._closed.is_set():
            self._is_failing = True
            log.warning(
                "labeler %s failed, so an event is delivered without its labels: %s; further failures are not logged "
                "until it works again",
                escape(self.name),
                escape(error),
                extra=about("labeler_failed"),
            )

    def _set_trouble(self, trouble: str | None) -> None:
        self.trouble = trouble
        if self._watch:
            self._watch.works(self.name, trouble is None)

    def _goes_down(self, error: str) -> None:
        with self._change:
            if self.trouble is not None or self._closed.is_set():
                return
            self._set_trouble(error)
        log.warning(
            "labeler %s does not work: %s; events are labeled without its labels until it does",
            escape(self.name),
            escape(error),
            extra=about("labeler_down"),
        )
        threading.Thread(target=self._start_again, name="labeler-start", daemon=True).start()

    def _start_again(self) -> None:
        while not self._closed.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                self._start()
            except CamiohookdError as error:
                log.debug("labeler %s still does not work: %s", self.name, error, extra=about("labeler_down"))
                self.trouble = str(error)
            else:
                break
        if self._closed.is_set():
            if self.labeler is not None:
                self.labeler.close()  # it may have been opened after `close`
            return
        self._set_trouble(None)
        log.info("labeler %s works again", escape(self.name), extra=about("labeler_up"))

    def _start(self) -> None:
        if self.labeler is None:
            if self._reopen is None:
                raise LabelerDown("it could not be opened")
            self.labeler = self._reopen()
        elif isinstance(self.labeler, Restartable):
            self.labeler.start()

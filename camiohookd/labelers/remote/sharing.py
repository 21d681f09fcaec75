"""Share the work between this machine ("home") and inference servers, so that an outage of the servers stops nothing.

    prefer home:    a free place on this machine within `after` of the event's acceptance ─▶ home
                    otherwise servers ── fail ──▶ home
    prefer remote:  servers ── fail ──▶ home

So pictures that have waited too long go to the servers, and this machine labels on. Without a backlog it labels alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from camiohookd.config.settings import SpillSettings
from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, Labeler, LabelRequest
from camiohookd.labelers.remote.runner import RemoteLabeler
from camiohookd.system.log_fields import about

log = logging.getLogger("camiohookd.labeler")


class Sharing:
    """A labeler of two: `home`, which up to `places` threads call at a time, and `remote`; any thread may call it.

    With ``prefer = "remote"``, `on_degraded` is called with True when home labels in place of the servers, and with
    False when they work again.
    """

    def __init__(
        self,
        home: Labeler,
        places: int,
        remote: RemoteLabeler,
        settings: SpillSettings,
        on_degraded: Callable[[bool], None],
    ) -> None:
        self._home = home
        self._places = threading.Semaphore(places)
        self.calls_at_once = places + remote.calls_at_once
        self._remote = remote
        self._after = settings.after
        self._prefers_remote = settings.prefer == "remote"
        self._on_degraded = on_degraded
        self._lock = threading.Lock()
        self._stands_in = False
        self._spills = False
        self.at_once = home.at_once
        self.default_probability = home.default_probability
        self.input_size = home.input_size

    @property
    def device(self) -> str:
        if self._prefers_remote:
            return self._home.device if self._stands_in else self._remote.device
        return self._home.device

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        (width, height), (other_width, other_height) = (
            self._home.decode_size(request),
            self._remote.decode_size(request),
        )
        return max(width, other_width), max(height, other_height)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        if self._prefers_remote:
            return self._at_servers(frames, request) or self._at_home(frames, request)
        if self._has_place(request):
            try:
                return self._with_place(frames, request)
            finally:
                self._places.release()
        return self._at_servers(frames, request) or self._at_home(frames, request)

    def close(self) -> None:
        self._remote.close()
        self._home.close()

    def _has_place(self, request: LabelRequest) -> bool:
        """Wait for a free place on this machine as long as the event may wait; return whether one was taken."""
        if request.waiting_since is None:
            return self._places.acquire()
        left = request.waiting_since + self._after - time.monotonic()
        if left > 0:
            self._note_spill(False)
        return self._places.acquire(timeout=max(left, 0.0))

    def _at_servers(self, frames: Sequence[Frame], request: LabelRequest) -> Findings | None:
        """Return what servers find, None if they do not work."""
        try:
            found = self._remote.label(frames, request)
        except LabelerDown:
            self._note_stand_in(True)
            return None
        except LabelingError as error:
            log.warning("%s; labeling on this machine instead", error, extra=about("remote_refused"))
            return None
        self._note_stand_in(False)
        if not self._prefers_remote:
            self._note_spill(True)
        return found

    def _at_home(self, frames: Sequence[Frame], request: LabelRequest) -> Findings:
        with self._places:
            return self._with_place(frames, request)

    def _with_place(self, frames: Sequence[Frame], request: LabelRequest) -> Findings:
        found = self._home.label(frames, request)
        return found if found.device else found._replace(device=self._home.device)

    def _note_stand_in(self, stands_in: bool) -> None:
        with self._lock:
            changed, self._stands_in = self._stands_in != stands_in, stands_in
        if changed and self._prefers_remote:
            self._on_degraded(stands_in)
            log.warning(
                "no inference server works: labeling on this machine"
                if stands_in
                else "inference servers work again: labeling there",
                extra=about("stand_in"),
            )

    def _note_spill(self, spills: bool) -> None:
        with self._lock:
            changed, self._spills = self._spills != spills, spills
        if changed and spills:
            log.info(
                "pictures that have waited for more than %g s go to inference servers, too",
                self._after,
                extra=about("spill"),
            )
        elif changed:
            log.info("the backlog is gone: labeling on this machine alone", extra=about("spill"))

"""Say how the service is doing: labeler, metrics, queue and recent events ─▶ `status.StatusReport`.

Belongs to the event loop, and does not block.
"""

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from camiohookd.daemon.recent import Recent
from camiohookd.daemon.reload import REFUSED
from camiohookd.daemon.setup import Setup
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.open import name_of
from camiohookd.monitoring.metrics import Metrics
from camiohookd.monitoring.notify.conditions import Key
from camiohookd.monitoring.status import CameraEvent, QueueStatus, RecentError, ServiceVerdict, StatusReport
from camiohookd.queue.views import QueueSnapshot
from camiohookd.system.clock import iso
from camiohookd.system.recent_errors import RecentErrors
from camiohookd.units import plural
from camiohookd.web import draining

MOST_REASONS = 10

Blockers = Callable[[], Mapping[str, str]]
"""Returns why an event posted now would not get through, by the name of the check; empty if it would."""


class Reporter:
    """Makes reports.

    `history_written` returns the bytes that the history has written since the start. `blockers` are why an event would
    not get through, `troubles` what is wrong otherwise. `reload_failed` says whether the last reload was refused.
    """

    def __init__(
        self,
        setup: Setup,
        labeler: Chain,
        metrics: Metrics,
        snapshot: Callable[[], QueueSnapshot],
        history_written: Callable[[], int],
        blockers: Blockers,
        troubles: Callable[[], Mapping[Key, str]],
        recent: Recent,
        errors: RecentErrors,
    ) -> None:
        self._model = ", ".join(map(name_of, setup.config.labelers))  # these settings hold until a restart
        self._labeler = labeler
        self._metrics = metrics
        self._snapshot = snapshot
        self._history_written = history_written
        self._blockers = blockers
        self._troubles = troubles
        self._recent = recent
        self._errors = errors
        self._started = time.monotonic()
        self.reload_failed: Callable[[], bool] = lambda: False

    def report(self) -> StatusReport:
        """Return how things are now."""
        seconds = time.monotonic() - self._started
        verdict, reasons = self._verdict()
        queue, recent = self._snapshot(), self._recent
        return StatusReport(
            verdict=verdict,
            reasons=reasons,
            version=version("camiohookd"),
            queue=queue_status(queue, self._history_written()),
            up_since=iso(time.time() - seconds),
            up_seconds=round(seconds, 1),
            model=self._model,
            device=self._labeler.device,
            degraded=self._metrics.is_degraded(),
            events_last_hour=recent.accepted.count(),
            wait=recent.wait.spread(),
            label=recent.label.spread(),
            delivery=recent.delivery.spread(),
            errors=[
                RecentError(iso(each.at), each.level, each.text, each.count) for each in self._errors.newest_first()
            ],
            cameras=[CameraEvent(camera, iso(event.at), event.labels) for camera, event in recent.cameras()],
        )

    def _verdict(self) -> tuple[ServiceVerdict, list[str]]:
        if blockers := self._blockers():
            return "draining" if blockers.keys() == {draining.CHECK} else "does not work", list(blockers.values())
        reasons = [REFUSED] if self.reload_failed() else []
        reasons += [
            f'The labeler "{name}" does not work, so events are labeled without its labels: {trouble}'
            for name, trouble in self._labeler.troubles.items()
        ]
        reasons += self._troubles().values()
        if (more := len(reasons) - MOST_REASONS) > 0:
            reasons[MOST_REASONS:] = [f"{plural(more, 'more trouble')}; the notifications name each."]
        return ("degraded" if reasons else "works"), reasons


def queue_status(queue: QueueSnapshot, history_written: int = 0) -> QueueStatus:
    """Return what a report says of the queue; `history_written` are the bytes that the history has written."""
    written = queue.written_bytes + history_written
    return QueueStatus(
        tasks=dict(queue.tasks),
        oldest_seconds=round(queue.oldest_seconds, 1),
        stored_bytes=queue.stored_bytes,
        free_bytes=queue.free_bytes,
        written_bytes_per_event=round(written / queue.accepted, 1) if queue.accepted else None,
    )

"""Occurrences as the worker publishes them."""

from camiohookd.config.rule import Rule
from camiohookd.monitoring.activity import EventLabeled
from camiohookd.wire.reply import Reply


def labeled(camera: str | None, *, at: float, summary: str = "nothing", wait: float = 0.0) -> EventLabeled:
    """Return a labeled event without pictures."""
    return EventLabeled(
        task_id="1",
        camera=camera,
        at=at,
        received=at - wait,
        rule=Rule(),
        pictures=(),
        event_labels=None,
        reply=Reply({}),
        summary=summary,
        rejected=(),
        incomplete=(),
        wait_seconds=wait,
        label_seconds=0.1,
        decode_seconds=0.05,
        model_seconds=0.05,
        device="CPU",
    )

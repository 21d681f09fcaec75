"""A labeled event without pictures, as the worker publishes it."""

from camiohookd.config.rule import Rule
from camiohookd.monitoring.activity import EventLabeled
from camiohookd.wire.reply import Reply


def labeled(camera: str | None, *, at: float, summary: str = "nothing", wait: float = 0.0) -> EventLabeled:
    """Return an event that was received at the Unix time `at` minus `wait` seconds, and labeled at `at`."""
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

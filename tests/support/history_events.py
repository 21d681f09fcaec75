"""Labeled events with pictures, as the worker publishes them, for tests of what listens."""

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.monitoring.activity import EventLabeled, LabeledPicture
from camiohookd.pictures.detections import Box, Detection

WIDTH, HEIGHT = 640, 480
RULE = Rule(min_probability=0.5)
PERSON = Detection("person", 0.9, Box(64, 96, 128, 240))
CAR = Detection("car", 0.3, Box(320, 240, 640, 480))
NOW = 1_800_000_000.0


def labeled_event(
    task_id: int,
    camera: str | None = "front",
    *,
    found: tuple[Detection, ...] = (PERSON, CAR),
    rule: Rule = RULE,
    at: float = NOW,
    files: tuple[bytes, ...] = (b"",),
    event_labels: tuple[str, ...] | None = None,
) -> EventLabeled:
    """Return an event with a picture for each of `files`, in each of which `found` was found."""
    pictures = [rules.apply(rule, f"t{nth}", (WIDTH, HEIGHT), found) for nth in range(len(files))]
    return EventLabeled(
        task_id=str(task_id),
        camera=camera,
        at=at,
        received=at - 1,
        rule=rule,
        pictures=tuple(map(LabeledPicture, pictures, files)),
        event_labels=event_labels,
        reply=rules.reply(rule, pictures, event_labels),
        summary="person 0.90",
        rejected=("t9: it is empty",),
        incomplete=(),
        wait_seconds=0.5,
        label_seconds=0.1,
        decode_seconds=0.02,
        model_seconds=0.07,
        device="cpu",
    )
